"""The settings of a server: one list, from which come the options of commands, environment variables, keys of a file and the docs.

An option `--keep-days 30` of `kinema serve` is KINEMA_SERVE_KEEP_DAYS=30 in the environment and `keep-days = 30` in the file of
`--config`. The command line goes before the environment, and that before the file. `kinema worker`, `keys`, `backup` and `restore`
read the same variables and file for the options that they have in common with `kinema serve`.
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinema.cli.options import DEVICE_HELP, number, whole
from kinema.errors import InputError, excerpt

PREFIX = "KINEMA_SERVE_"
YES, NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def alias(text: str) -> tuple[str, str]:
    """NAME=MODEL as a pair."""
    name, _, model = text.partition("=")
    if not name or not model:
        raise argparse.ArgumentTypeError(f"{text!r}: expected NAME=MODEL, such as sora-2=kinema-tiny")
    return name, model


def territory(text: str) -> str:
    """A country's code, or EU."""
    from kinema.engines.licenses import parse_territory

    try:
        return parse_territory(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting. option: its name, without dashes before it. parse: of its text; ValueError or argparse's error if it is none.

    unset: what the help says where there is no default. repeated: a list. flag: true or false. secret: not shown. worker: whether
    workers have it too. field: of `kinema.server.settings.Settings`, if it is one of these.
    """

    option: str
    help: str
    parse: Callable[[str], Any] = str
    default: Any = None
    unset: str | None = None
    metavar: str | None = None
    repeated: bool = False
    flag: bool = False
    secret: bool = False
    worker: bool = False
    field: str | None = None

    @property
    def name(self) -> str:
        """Its attribute among a command's arguments."""
        return self.option.replace("-", "_")

    @property
    def variable(self) -> str:
        return PREFIX + self.name.upper()

    @property
    def default_text(self) -> str:
        if self.flag:
            return "no"
        default = ", ".join(self.default) if self.repeated else self.default
        default = f"{default:g}" if isinstance(default, float) else default
        return self.unset or "none" if default is None or default == "" else f"{default}"


CONFIG = Setting(option="config", help="a TOML file of settings, NAME = VALUE", parse=Path, metavar="FILE", worker=True)
SETTINGS = (
    Setting(option="host", help="address to listen on; 127.0.0.1 is this machine alone", default="127.0.0.1"),
    Setting(option="port", help="port to listen on; 0 is any that is free", parse=whole, default=8000),
    Setting(option="workers", help="worker processes on this machine; 0 if all are elsewhere", parse=whole, default=1),
    Setting(
        option="root-path", help="the path below which a proxy shows the server, such as /kinema", default="", metavar="PATH",
        field="root_path",
    ),
    Setting(
        option="trusted-proxy", help="an address or network of proxies whose X-Forwarded headers count",
        default=["127.0.0.1", "::1"], metavar="NETWORK", repeated=True, field="trusted_proxies",
    ),
    Setting(
        option="cors-origin", help="an origin whose pages may call the API with a key, such as https://example.com; * is all",
        default=[], metavar="ORIGIN", repeated=True, field="cors_origins",
    ),
    Setting(
        option="data", help="where everything is kept", parse=Path, default=Path("kinema-data"), metavar="DIR", worker=True,
        field="data",
    ),
    Setting(
        option="database", help="postgresql://USER@HOST/NAME", unset="SQLite in the data folder", metavar="URL", secret=True,
        worker=True, field="database",
    ),
    Setting(
        option="artifacts", help="object storage for films and uploads, such as s3://bucket/prefix", unset="the data folder",
        metavar="URL", worker=True, field="artifacts",
    ),
    Setting(
        option="batch", help="jobs of equal shape filmed together at most", parse=whole, default=4, worker=True, field="batch"
    ),
    Setting(
        option="threads", help="processor threads of each worker", parse=whole, unset="all cores", worker=True, field="threads"
    ),
    Setting(option="device", help=DEVICE_HELP, default="auto", worker=True, field="device"),
    Setting(
        option="keep-days", help="how long videos are kept", parse=number, default=30.0, worker=True, field="retention_days"
    ),
    Setting(
        option="audit-days", help="how long the audit log is kept", parse=number, default=365.0, worker=True,
        field="audit_days",
    ),
    Setting(
        option="job-timeout", help="seconds after which a video that is being made fails", parse=number, metavar="S",
        worker=True, field="job_timeout_s",
    ),
    Setting(
        option="stall", help="seconds after which an open model that says nothing is stopped", parse=number,
        default=1800.0, metavar="S", worker=True, field="stall_s",
    ),
    Setting(
        option="only-model", help="a model whose videos workers make; the others are left to other workers", default=[],
        metavar="NAME", repeated=True, worker=True, field="models",
    ),
    Setting(option="label", help="a visible mark on every film", flag=True, worker=True, field="label"),
    Setting(
        option="blocked-words", help="words that prompts must not hold, one a line", parse=Path, metavar="FILE", worker=True,
        field="blocked",
    ),
    Setting(
        option="policy", help="an object that may refuse prompts and frames", metavar="MODULE:OBJECT", worker=True,
        field="moderation",
    ),
    Setting(
        option="sign-chain", help="your own certificates to sign with, leaf first", parse=Path, metavar="PEM", worker=True,
        field="chain",
    ),
    Setting(option="sign-key", help="the key of the first of them", parse=Path, metavar="PEM", worker=True, field="key"),
    Setting(
        option="alias", help="another name for a model, such as sora-2=kinema-tiny", parse=alias, default=[],
        metavar="NAME=MODEL", repeated=True, field="aliases",
    ),
    Setting(
        option="key-file", help="where the first API key is written", parse=Path, metavar="FILE",
        unset="the terminal; DATA/first-key where there is none",
    ),
    Setting(
        option="max-seconds", help="longest video, in seconds", parse=number, default=600.0, metavar="S", field="max_seconds"
    ),
    Setting(
        option="max-steps", help="most steps of a plan", parse=whole, default=200, metavar="N", field="max_steps"
    ),
    Setting(
        option="max-upload", help="largest file that may be sent, in MiB", parse=whole, default=64, metavar="MIB",
        field="max_upload",
    ),
    Setting(
        option="any-prompt", help="also film prompts that name nothing a model knows", flag=True, field="any_prompt"
    ),
    Setting(
        option="territory", help="where the server is offered, such as DE or EU; models whose licenses exclude it are refused",
        parse=territory, default=[], metavar="CODE", repeated=True, field="territories",
    ),
    Setting(
        option="llm", help="the OpenAI-compatible address of a language model that may plan productions", metavar="URL",
        field="llm",
    ),
    Setting(
        option="llm-model", help="its name there; its key is in KINEMA_LLM_KEY or OPENAI_API_KEY", metavar="NAME",
        field="llm_model",
    ),
    Setting(option="allow-urls", help="fetch pictures from public web addresses", flag=True, field="remote"),
    Setting(
        option="allow-private-webhooks", help="deliver webhooks to private addresses too", flag=True,
        field="private_webhooks",
    ),
)  # fmt: skip
"""In the order in which they are listed."""
BY_NAME = {setting.name: setting for setting in SETTINGS}


def add_settings(parser: argparse.ArgumentParser, names: Iterable[str]) -> None:
    """Add settings as options to a command, and `--config`. `fill` reads them."""
    for setting in (CONFIG, *(BY_NAME[name] for name in names)):
        # An option that was not given is None until `fill`, which knows the environment and the file.
        default = f"{setting.help} (default: {setting.default_text})"
        if setting.flag:
            parser.add_argument(
                f"--{setting.option}", action=argparse.BooleanOptionalAction, default=None, help=setting.help
            )
        elif setting.repeated:
            about = f"{default[:-1]}; may be given several times)"
            parser.add_argument(
                f"--{setting.option}", action="append", type=setting.parse, metavar=setting.metavar, help=about
            )
        else:
            parser.add_argument(f"--{setting.option}", type=setting.parse, metavar=setting.metavar, help=default)


def fill(arguments: argparse.Namespace, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give the settings among a command's arguments their values, from the environment, the file of `--config` or the defaults.

    Returns where each value comes from. InputError for a variable or a key that is no setting, or a value that it cannot have.
    """
    variables = _variables(os.environ if environment is None else environment)
    config = arguments.config or (_parsed(CONFIG, variables["config"], CONFIG.variable) if "config" in variables else None)
    in_file = {} if config is None else _keys(config)
    sources: dict[str, str] = {}
    for setting in SETTINGS:
        if not hasattr(arguments, setting.name):
            continue
        value, source = getattr(arguments, setting.name), "command line"
        if value is None and setting.name in variables:
            value, source = _parsed(setting, variables[setting.name], setting.variable), setting.variable
        elif value is None and setting.name in in_file:
            value, source = _parsed(setting, in_file[setting.name], f"{config}: {setting.option}"), f"{config}"
        elif value is None:
            value, source = (False if setting.flag else setting.default), "default"
        setattr(arguments, setting.name, value)
        sources[setting.name] = source
    return sources


def _variables(environment: Mapping[str, str]) -> dict[str, str]:
    """The values of the environment by setting; what is empty counts as not given."""
    known = {setting.variable: setting.name for setting in (CONFIG, *SETTINGS)}
    given = {name: text for name, text in environment.items() if name.startswith(PREFIX)}
    for name in sorted(given):
        if name not in known:
            raise InputError(
                f"the environment has {name}, which is no setting{_nearest(name, known)}; see kinema serve --help"
            )
    return {known[name]: text for name, text in given.items() if text}


def _keys(file: Path) -> dict[str, Any]:
    """The values of a file by setting."""
    try:
        with file.open("rb") as opened:
            values = tomllib.load(opened)
    except OSError as error:
        raise InputError(f"the settings {file} cannot be read: {error.strerror}; name another file with --config") from None
    except ValueError as error:
        raise InputError(f"the settings {file} are no TOML: {error}; expected lines such as port = 8000") from None
    known = {setting.option: setting.name for setting in SETTINGS}
    read: dict[str, Any] = {}
    for key, value in values.items():
        option = key.replace("_", "-")
        if option not in known:
            raise InputError(f"{file}: {excerpt(key)} is no setting{_nearest(option, known)}; see kinema serve --help")
        read[known[option]] = value
    return read


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), 1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""


def _parsed(setting: Setting, value: Any, where: str) -> Any:
    """A value of the environment (always text) or of a file. where: what an error names."""
    if setting.flag:
        text = str(value).lower() if isinstance(value, str | bool) else ""
        if text not in YES + NO:
            raise InputError(f"{where}: expected true or false, got {_shown(setting, value)}")
        return text in YES
    if setting.repeated:
        parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
        if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
            raise InputError(f"{where}: expected a list of texts, got {_shown(setting, value)}")
        return [_parsed_text(setting, part, where) for part in parts if part]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InputError(f"{where}: expected one value, got {_shown(setting, value)}")
    return _parsed_text(setting, str(value), where)


def _parsed_text(setting: Setting, text: str, where: str) -> Any:
    try:
        return setting.parse(text)
    except argparse.ArgumentTypeError as error:
        raise InputError(f"{where}: {error}") from None


def _shown(setting: Setting, value: Any) -> str:
    """A value for people; secrets are hidden."""
    return "(hidden)" if setting.secret else excerpt(str(value))


def table(arguments: argparse.Namespace, sources: Mapping[str, str]) -> str:
    """The values of a command's settings and where they come from, a line each; secrets are hidden."""
    lines = []
    for setting in SETTINGS:
        if setting.name in sources:
            value = getattr(arguments, setting.name)
            if setting.repeated:
                value = ",".join("=".join(one) if isinstance(one, tuple) else str(one) for one in value)
            shown = "-" if value is None or value == "" else _shown(setting, value)
            lines.append(f"{setting.option:24} {shown:32} {sources[setting.name]}")
    return "\n".join(lines)


def markdown() -> str:
    """The table of docs/serving.md."""
    lines = ["| option | what it is | default | kinema worker too |", "|---|---|---|---|"]
    for setting in (CONFIG, *SETTINGS):
        value = "" if setting.flag else f" {setting.metavar or setting.name.upper()}"
        worker = "yes" if setting.worker else ""
        lines.append(f"| `--{setting.option}{value}` | {setting.help} | {setting.default_text} | {worker} |")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table of docs/serving.md."""
    sys.stdout.write(markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main())
