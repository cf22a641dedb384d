"""Reads a diffusers folder without loading it: which class it is, what it is made of, how large it is, and its license."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kinema.engines.licenses import license_named
from kinema.engines.protocol import License
from kinema.errors import ModelError
from kinema.types import parse_json

INDEX, MODULAR_INDEX = "model_index.json", "modular_model_index.json"
WEIGHT_FILES = ("*.safetensors", "*.bin")


def is_diffusers_folder(path: Path) -> bool:
    """Whether a folder has one of the two indexes."""
    return (path / INDEX).is_file() or (path / MODULAR_INDEX).is_file()


@dataclass(frozen=True, kw_only=True)
class ModelFolder:
    """A folder in one of diffusers' two formats.

    base: the class that the index names; blocks: that of a modular folder's blocks. components: names of the components that are
    there. configs: their config.json. settings: further values of the index. bytes: of all weights.
    """

    path: Path
    modular: bool
    base: str
    components: tuple[str, ...]
    configs: Mapping[str, Mapping[str, Any]]
    bytes: int
    license: License
    blocks: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


def read_folder(path: Path, given: Mapping[str, str] | None = None) -> ModelFolder:
    """Read and check a folder.

    Args:
        path: The folder.
        given: Files elsewhere with the weights of some components, by their names; of these the folder needs the config alone.

    Raises:
        ModelError: It has no index, the index cannot be read, or a component that the index names is missing or half there, or a
            given file.
    """
    elsewhere = {name: Path(file) for name, file in (given or {}).items()}
    for file in elsewhere.values():
        if not file.is_file():
            raise ModelError(f"no file {file}: expected weights in the GGUF format")
        with file.open("rb") as opened:
            if opened.read(4) != b"GGUF":
                raise ModelError(f"{file} is no GGUF file; name one that ends in .gguf")
    if not path.is_dir():
        raise ModelError(f"no folder {path}: expected one with {INDEX} or {MODULAR_INDEX}")
    modular = not (path / INDEX).is_file()
    index_path = path / (MODULAR_INDEX if modular else INDEX)
    if not index_path.is_file():
        inside = sorted(p.name for p in path.iterdir())[:6]
        lacks = f"{path} has neither {INDEX} nor {MODULAR_INDEX} (it has {', '.join(inside) or 'nothing'})"
        raise ModelError(f"{lacks}: expected a model in diffusers' format")
    index = _json(index_path)
    base = index.get("_class_name")
    if not isinstance(base, str):
        raise ModelError(f"{index_path} names no _class_name; fetch the model again")
    names = [
        name for name, value in index.items()
        if not name.startswith("_") and isinstance(value, list) and value[:2] != [None, None]
    ]  # fmt: skip
    components, configs = [], {}
    for name in names:
        spec = index[name][2] if modular and len(index[name]) > 2 and isinstance(index[name][2], dict) else {}
        folder = path / (spec.get("subfolder") or name)
        if modular and not folder.is_dir():
            continue  # made from its config, or fetched from elsewhere
        _check_component(path, name, folder, weights=name not in elsewhere)
        components.append(name)
        config = next(
            (folder / file for file in ("config.json", "scheduler_config.json") if (folder / file).is_file()), None
        )
        configs[name] = _json(config) if config else {}
    return ModelFolder(
        path=path, modular=modular, base=base, components=tuple(components), configs=configs, license=_license(path),
        bytes=sum(file.stat().st_size for file in weight_files(path, elsewhere)),
        blocks=str(index.get("_blocks_class_name") or ""),
        settings={name: value for name, value in index.items() if not name.startswith("_") and not isinstance(value, list)},
    )  # fmt: skip


def weight_files(path: Path, elsewhere: Mapping[str, Path | str]) -> list[Path]:
    """All files of a folder's weights in order, those of some components given from elsewhere."""
    inside = sorted(file for pattern in WEIGHT_FILES for file in path.rglob(pattern))
    own = [file for file in inside if file.relative_to(path).parts[0] not in elsewhere]
    return own + [Path(elsewhere[name]) for name in sorted(elsewhere)]


def _check_component(path: Path, name: str, folder: Path, *, weights: bool) -> None:
    """ModelError for a component that is missing, or, if its weights are read, whose index of shards names a file that is not
    there."""
    if not folder.is_dir() or not any(folder.iterdir()):
        raise ModelError(
            f"{path} is not whole: its index names {name!r}, but there is no folder {folder}; fetch the model again"
        )
    if not weights:
        return
    if (folder / "config.json").is_file() and not any(file for pattern in WEIGHT_FILES for file in folder.glob(pattern)):
        raise ModelError(
            f"{path} is not whole: there are no weights in {folder.name}/; fetch the model again, or name a file with --gguf FILE"
        )
    for shards in folder.glob("*.index.json"):
        for file in sorted(set(_json(shards).get("weight_map", {}).values())):
            if not (folder / file).is_file():
                raise ModelError(f"{path} is not whole: {folder.name}/{file} is missing; fetch the model again")
    incomplete = [file.name for pattern in ("*.incomplete", "*.part") for file in folder.glob(pattern)]
    if incomplete:
        raise ModelError(f"{path} is not whole: {folder.name}/{incomplete[0]} is half there; fetch the model again")
    for pattern in WEIGHT_FILES:
        for file in folder.glob(pattern):
            with file.open("rb") as opened:
                if opened.read(24).startswith(b"version https://git-lfs"):
                    raise ModelError(
                        f"{file} holds a pointer, not weights: fetch them with `git lfs pull`, or by the model's name on the hub"
                    )


def _json(path: Path) -> dict[str, Any]:
    try:
        value = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}); fetch the model again") from None
    if not isinstance(value, dict):
        raise ModelError(f"{path} is no JSON object; fetch the model again")
    return value


def _license(path: Path) -> License:
    """What the head of the model's card says: `license`, `license_name`, `license_link`."""
    card = path / "README.md"
    if not card.is_file():
        return License()
    text = card.read_text(encoding="utf-8", errors="replace")
    head = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
    if head is None:
        return License()
    named = dict(re.findall(r"^(license(?:_name|_link)?):\s*(.+?)\s*$", head[1], re.MULTILINE))
    name = named.get("license_name") or named.get("license", "")
    return license_named(name.strip("'\""), named.get("license_link", "").strip("'\""))
