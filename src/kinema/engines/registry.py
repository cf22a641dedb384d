"""The open models that a user added, kept in one TOML file that a person can edit.

[models.wan]
source = "/models/Wan2.1-T2V-1.3B-Diffusers"     # a folder, a name on the hub, or the address of a server
dtype = "bf16"                                    # fp32, fp16 or bf16; by default what the device does best
aliases = ["sora-2"]
loras = ["/models/film.safetensors=0.8"]
"""

from __future__ import annotations

import datetime
import importlib
import logging
import math
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kinema.engines.licenses import license_named, parse_territory
from kinema.engines.protocol import License, Lora
from kinema.errors import InputError, ModelError, ModelListError, OutputError
from kinema.models.hub import DEFAULT, shipped_dit_models
from kinema.playground.controls import CONTROLS, Control

log = logging.getLogger(__name__)

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
CHOICES = {
    "dtype": ("", "fp32", "fp16", "bf16"),
    "quantize": ("", "int8", "nf4"),
    "offload": ("auto", "none", "model", "group"),
    "cache": ("", "first-block"),
    "lost": ("fail", "resubmit"),
}
KINDS: dict[str, tuple[Any, str]] = {
    "compile": (bool, "true or false"),
    "batch": (int, "a whole number"),
    "idempotent": (bool, "true or false"),
    "aliases": (list, 'a list of names, such as ["sora-2"]'),
    "loras": (list, 'a list of files, such as ["film.safetensors=0.8"]'),
    "license": (dict, 'a table, such as { name = "apache-2.0" }'),
    "lora_files": (dict, 'a table of files by name, such as { film = "film.safetensors" }'),
    "controls": (list, 'a list of drawings, such as ["depth"]'),
    "gguf": (dict, 'a table of files by component, such as { transformer = "wan-Q4_K_M.gguf" }'),
    "arguments": (dict, "a table, such as { max_sequence_length = 16 }"),
    "seconds_per_second": ((int, float), "a number"),
    "memory_bytes": (int, "a whole number"),
}
"""The kinds of values of keys that are no texts, and their names in an error."""
VARIABLE = "KINEMA_MODELS"
MOST_BATCH = 64
DEVICE = re.compile(r"|auto|cpu|mps|cuda(:\d{1,3})?")
OF_A_FOLDER = (
    "batch", "gguf", "controls", "quantize", "arguments", "loras", "lora_files", "dtype", "compile", "cache", "offload", "device",
)  # fmt: skip
"""Keys that say how weights on this machine film."""
OF_A_SERVER = ("upstream_model", "key_variable", "lost", "idempotent")
"""Keys that say how another server is spoken to."""


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """One model of the file.

    source: a folder of diffusers, or the address of a server with /v1/videos. aliases: other names by which requests may ask
    for it. device: of this model alone; "" as the command says. upstream_model: its name on the other server; key_variable: the
    environment variable that holds the key for it; lost: what happens to a video that it lost or may have lost; idempotent:
    whether it knows idempotency keys. lora_files: LoRA that requests may ask for by name. gguf: files with the weights of
    components. controls: drawings of a scene that its ControlNet or in-context LoRA was trained on. arguments: further
    arguments of the pipeline's call. batch: how many films of one shape are made in one pass at most. weights_sha256,
    seconds_per_second, memory_bytes: as `kinema models check` measured them.
    """

    name: str
    source: str
    dtype: str = ""
    quantize: str = ""
    offload: str = "auto"
    compile: bool = False
    batch: int = 1
    cache: str = ""
    device: str = ""
    aliases: tuple[str, ...] = ()
    loras: tuple[Lora, ...] = ()
    license: License | None = None
    lora_files: Mapping[str, str] = field(default_factory=dict)
    gguf: Mapping[str, str] = field(default_factory=dict)
    controls: tuple[Control, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    upstream_model: str = ""
    key_variable: str = ""
    lost: str = "fail"
    idempotent: bool = False
    weights_sha256: str = ""
    seconds_per_second: float | None = None
    memory_bytes: int | None = None

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise InputError(f"model name {self.name[:80]!r}: expected letters, digits, '.', '_' and '-', such as wan-1.3b")
        for alias in self.aliases:
            if not NAME.fullmatch(alias):
                raise InputError(f"alias {alias[:80]!r} of {self.name}: expected letters, digits, '.', '_' and '-'")
        if self.is_upstream:
            _check_address(self)
        _check_place(self)
        _check_numbers(self)
        for control in self.controls:
            if control not in CONTROLS:
                raise InputError(f"control {str(control)[:40]!r} of {self.name}: expected {', '.join(CONTROLS)}")
        if self.gguf and self.quantize:
            raise InputError(f"quantize {self.quantize!r} of {self.name}: a GGUF file is quantized already; leave one out")
        if not 1 <= self.batch <= MOST_BATCH:
            raise InputError(
                f"batch {str(self.batch)[:20]} of {self.name}: expected 1 to {MOST_BATCH}, the films of one shape made in one pass"
            )
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise InputError(
                    f"{name} {getattr(self, name)!r} of {self.name}: expected {', '.join(filter(None, allowed))}"
                )

    @property
    def is_upstream(self) -> bool:
        """Whether another server films."""
        return self.source.startswith(("http://", "https://"))

    def to_table(self) -> dict[str, Any]:
        """Its table without what is as usual, as plain values."""
        table: dict[str, Any] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name in ("name", "license") or value in ("", None, (), False, {}) or value == one.default:
                continue
            if one.name == "loras":
                value = [f"{lora.source}={lora.scale:g}" for lora in value]
            table[one.name] = (
                list(value) if isinstance(value, tuple) else dict(value) if isinstance(value, Mapping) else value
            )
        if self.license is not None:
            usual = license_named(self.license.name)
            own = {one.name: getattr(self.license, one.name) for one in fields(License)}
            named = {
                name: value
                for name, value in own.items()
                if value != "" and (name == "name" or value != getattr(usual, name))
            }
            table["license"] = {name: list(value) if isinstance(value, tuple) else value for name, value in named.items()}
        return table

    def to_toml(self) -> str:
        """Its table as text."""
        head = f"[models.{_quoted(self.name) if '.' in self.name else self.name}]"
        return "\n".join([head, *(f"{name} = {_value(value)}" for name, value in self.to_table().items())]) + "\n"


def _check_place(entry: ModelEntry) -> None:
    """InputError for a key of a folder beside the address of a server or the other way round, and for what is no device."""
    usual = {one.name: one.default for one in fields(ModelEntry)}
    for name in OF_A_FOLDER if entry.is_upstream else OF_A_SERVER:
        value = getattr(entry, name)
        if value and value != usual[name]:
            why = "another server films, so this cannot be said here" if entry.is_upstream else (
                "it is for another server, and the source is a folder"
            )  # fmt: skip
            raise InputError(f"{name} of {entry.name}: {why}; leave it out")
    if not DEVICE.fullmatch(entry.device):
        raise InputError(f"device {entry.device[:40]!r} of {entry.name}: expected auto, cpu, cuda, cuda:1 or mps")


def _check_numbers(entry: ModelEntry) -> None:
    """InputError for measured values that nothing can measure, and for nan, which no pipeline takes."""
    seconds, memory = entry.seconds_per_second, entry.memory_bytes
    if seconds is not None and not 0 <= seconds < math.inf:
        raise InputError(f"seconds_per_second {seconds} of {entry.name}: expected a number from 0 on, or leave it out")
    if memory is not None and memory < 0:
        raise InputError(f"memory_bytes {memory} of {entry.name}: expected a whole number from 0 on, or leave it out")
    odd = next((name for name, value in entry.arguments.items() if _has_nan(value)), None)
    if odd is not None:
        raise InputError(f"arguments of {entry.name}: {odd} is nan; expected a number, or leave it out")


def _has_nan(value: Any) -> bool:
    if isinstance(value, Mapping | list | tuple):
        return any(map(_has_nan, value.values() if isinstance(value, Mapping) else value))
    return isinstance(value, float) and math.isnan(value)


def _check_address(entry: ModelEntry) -> None:
    """A password in an address would stand in lists and logs."""
    try:
        parts = urlsplit(entry.source)
        host, secret, _ = parts.hostname, parts.username or parts.password, parts.port
    except ValueError:
        host = secret = None
    if secret:
        raise InputError(
            f"source of {entry.name}: keys do not belong in an address; name the variable that holds it with key_variable"
        )
    if not host:
        raise InputError(f"source of {entry.name}: expected the address of a server, such as http://127.0.0.1:8000")


def parse_lora(text: str) -> Lora:
    """'film.safetensors=0.8' -> the file and its scale, by default 1."""
    source, sign, scale = text.rpartition("=")
    try:
        return Lora(source=source, scale=float(scale)) if sign and source else Lora(source=text)
    except ValueError:
        raise InputError(f"LoRA {text!r}: expected FILE or FILE=SCALE, such as film.safetensors=0.8") from None


def check_lora(lora: Lora) -> None:
    """ModelError for a LoRA whose file is not there, InputError for a weight that is no number. Names on the hub have one slash and
    no ending."""
    if not math.isfinite(lora.scale):
        raise InputError(f"LoRA {lora.source}: its weight {lora.scale} is no number")
    path = Path(lora.source)
    named = lora.source.count("/") == 1 and not path.suffix and not lora.source.startswith((".", "/", "~"))
    if not path.exists() and not named:
        raise ModelError(f"LoRA {lora.source}: there is no such file; name one, or OWNER/NAME on the hub")


def registry_file() -> Path:
    """KINEMA_MODELS, or models.toml in the user's folder of settings."""
    given = os.environ.get(VARIABLE)
    if given:
        return Path(given)
    settings = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return settings / "kinema" / "models.toml"


_last_good: dict[Path, dict[str, ModelEntry]] = {}


def entries(file: Path | None = None) -> dict[str, ModelEntry]:
    """All models of the file by name; none if there is no file. Where the file is being edited and cannot be read at this moment, a
    server or worker goes on with what it read before, and logs why.

    Raises:
        ModelListError: The file cannot be read, or holds something that is no model: its table and key are named.
    """
    path = file or registry_file()
    try:
        known = _parsed(_text_of(path), path)
    except InputError as error:
        if path not in _last_good:
            raise ModelListError(str(error)) from None
        log.warning("%s; the models read before stay as they were", error)
        return _last_good[path]
    _last_good[path] = known
    return known


def shipped_entries() -> dict[str, ModelEntry]:
    """Entries of the shipped models of the general network, which nobody has to add."""
    return {name: ModelEntry(name=name, source=str(folder)) for name, folder in shipped_dit_models().items()}


def installed_entries(file: Path | None = None) -> dict[str, ModelEntry]:
    """`entries` after those of shipped models, before which a model of the file with the same name goes."""
    return {**shipped_entries(), **entries(file)}


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None


def _parsed(text: str, path: Path) -> dict[str, ModelEntry]:
    """The models of a file's text."""
    try:
        tables = tomllib.loads(text).get("models", {})
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is no TOML: {error}") from None
    if not isinstance(tables, dict):
        raise InputError(f"{path}: expected tables [models.NAME]")
    known = {name: _entry(path, name, table) for name, table in tables.items()}
    taken: dict[str, str] = {name: name for name in known}
    for entry in known.values():
        if DEFAULT in (entry.name, *entry.aliases):
            raise InputError(
                f"{path}: [models.{entry.name}]: {DEFAULT!r} is the name of a model that Kinema ships; choose another"
            )
        for alias in entry.aliases:
            if taken.setdefault(alias, entry.name) != entry.name:
                raise InputError(f"{path}: aliases of [models.{entry.name}]: {alias!r} is taken by [models.{taken[alias]}]")
    return known


def _entry(path: Path, name: str, table: Any) -> ModelEntry:
    if not isinstance(table, dict) or not isinstance(table.get("source"), str):
        raise InputError(f"{path}: [models.{name}] has no source; expected a folder or an address")
    known = {one.name for one in fields(ModelEntry)} - {"name"}
    strange = sorted(set(table) - known)
    if strange:
        raise InputError(f"{path}: [models.{name}] has an unknown key {strange[0]!r}; there are {', '.join(sorted(known))}")
    values = dict(table)
    for key, value in table.items():
        wanted, expected = KINDS.get(key, (str, "a text"))
        texts = value if key in ("aliases", "loras", "controls") else ()
        if key in ("lora_files", "gguf") and isinstance(value, dict):
            texts = value.values()
        is_right = isinstance(value, wanted) and isinstance(value, bool) == (wanted is bool)
        if not is_right or not all(isinstance(one, str) for one in texts):
            raise InputError(f"{path}: {key} of [models.{name}] is {str(value)[:40]!r}: expected {expected}")
    try:
        values |= {key: tuple(values.get(key, ())) for key in ("aliases", "controls")}
        values["loras"] = tuple(parse_lora(text) for text in values.get("loras", ()))
        if "license" in values:
            values["license"] = _license_in(values["license"])
        return ModelEntry(name=name, **values)
    except InputError as error:
        raise InputError(f"{path}: [models.{name}]: {error}") from None


def _license_in(table: Mapping[str, Any]) -> License:
    """A table of a license; what it leaves out is as the license of this name is known."""
    texts = [one.name for one in fields(License) if isinstance(one.default, str)]
    for key, value in table.items():
        if key == "must_accept" and isinstance(value, bool):
            continue
        if key == "excluded" and isinstance(value, list) and all(isinstance(one, str) for one in value):
            continue
        if key not in texts or not isinstance(value, str):
            raise InputError(
                f"license has {key!r}: expected texts under {', '.join(texts)}, true or false under must_accept, and a list of "
                "country codes under excluded"
            )
    values = dict(table)
    if "excluded" in values:
        values["excluded"] = tuple(parse_territory(one) for one in values["excluded"])
    return license_named(values.pop("name", ""), **values)


def find_entry(name: str, file: Path | None = None) -> ModelEntry | None:
    """The model of this name or alias; None if the file has none."""
    known = installed_entries(file)
    return known.get(name) or next((entry for entry in known.values() if name in entry.aliases), None)


def save_entry(entry: ModelEntry, file: Path | None = None) -> Path:
    """Write a model into the file, in place of one of the same name; returns the file. Comments stay."""
    path = file or registry_file()
    text = _text_of(path)
    known = _parsed(text, path)
    taken = {
        alias: other.name for other in known.values() if other.name != entry.name for alias in (*other.aliases, other.name)
    }
    for name in (entry.name, *entry.aliases):
        if name in taken:
            raise InputError(f"the name {name!r} is taken by {taken[name]}; choose another")
    if entry.name in known:
        document = _tomlkit().parse(text)
        _change(document["models"][entry.name], entry.to_table())
        changed = str(_tomlkit().dumps(document))
    else:
        changed = f"{text.rstrip()}\n\n" if text.strip() else "# Models that films are made with; see docs/engines.md.\n\n"
        changed += entry.to_toml()
    return _write(changed, {**known, entry.name: entry}, path)


def remove_entry(name: str, file: Path | None = None) -> ModelEntry:
    """Take a model out of the file. Its folder stays, and so do comments beside other models."""
    path = file or registry_file()
    text = _text_of(path)
    known = _parsed(text, path)
    if name not in known:
        other = next((entry.name for entry in known.values() if name in entry.aliases), None)
        if name in shipped_entries():
            raise ModelError(f"{name} comes with Kinema, and was not added")
        more = f"it is another name of {other}" if other else f"there are {', '.join(known) or 'none'}"
        raise ModelError(f"no model {name!r} was added; {more}")
    removed = known.pop(name)
    document = _tomlkit().parse(text)
    del document["models"][name]
    _write(_tomlkit().dumps(document), known, path)
    return removed


def _tomlkit() -> Any:
    """Reads TOML with its comments; loaded only when the file is changed."""
    return importlib.import_module("tomlkit")


def _change(table: Any, values: Mapping[str, Any]) -> None:
    """Give a table of tomlkit these values; what is the same already stays as it is written."""
    for key in [key for key in table if key not in values]:
        del table[key]
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(table.get(key), Mapping):
            _change(table[key], value)
        elif key not in table or table[key] != value:
            table[key] = _tomlkit().parse(f"value = {_value(value)}")["value"]


def _write(text: str, known: Mapping[str, ModelEntry], path: Path) -> Path:
    """Write the file, after it was checked that it holds these models."""
    if {one.name: one.to_table() for one in _parsed(text, path).values()} != {
        one.name: one.to_table() for one in known.values()
    }:
        raise InputError(f"{path} is written in a way that cannot be changed without losing something; edit it by hand")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except UnicodeEncodeError:
        raise InputError("a name or path that is no Unicode cannot stand in the list of models; rename it") from None
    except OSError as error:
        raise OutputError(f"{path} could not be written: {error.strerror or error}") from None
    return path


def with_measured(entry: ModelEntry, **measured: Any) -> ModelEntry:
    """The entry with what `check` measured."""
    return replace(entry, **measured)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}" for c in escaped) + '"'


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_quoted(str(name))} = {_value(one)}" for name, one in value.items()) + " }"
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if not isinstance(value, int | float):
        raise InputError(f"{str(value)[:40]!r} cannot stand in the list of models")
    return repr(value)
