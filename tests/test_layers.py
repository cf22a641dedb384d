"""Packages lie in layers: each imports only from those below it, and no two modules import each other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import kinema

ROOT = Path(kinema.__file__).parent
LAYERS = (
    *(
        "errors",
        "types",
        "devices",
        "statistics",
        "scene",
        "media",
        "playground",
        "text",
        "canvas",
        "autoencoder",
        "models",
        "diffusion",
    ),
    *(
        "inference",
        "engines",
        "api",
        "simulation",
        "client",
        "envs",
        "datasets",
        "curation",
        "agents",
        "training",
        "evaluation",
        "provenance",
    ),
    *("director", "server", "cli"),
)
"""From the bottom up."""


def module_of(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
    return name.removesuffix(".__init__")


MODULES = {module_of(path): path for path in ROOT.rglob("*.py")}


def imports(path: Path, *, when_loaded: bool = False) -> Iterator[str]:
    """Modules of Kinema that a file imports; when_loaded: only outside functions and type checking."""
    tree = ast.parse(path.read_text())
    nodes = list(ast.walk(tree))
    if when_loaded:
        nodes = [node for node in ast.iter_child_nodes(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    for node in nodes:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else node.module for name in inside]
        else:
            continue
        yield from (name for name in names if name in MODULES and name != "kinema")


def test_every_package_has_its_own_layer() -> None:
    found = {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in MODULES.values()} - {"__init__"}
    assert found == set(LAYERS) and len(set(LAYERS)) == len(LAYERS) <= 27


def test_imports_point_down() -> None:
    for name, path in MODULES.items():
        if name == "kinema":
            continue
        mine = LAYERS.index(name.split(".")[1])
        for other in imports(path):
            assert LAYERS.index(other.split(".")[1]) <= mine, f"{name} imports {other}"


def test_no_two_modules_import_each_other() -> None:
    """Whole circles: follow what is imported when a module is loaded until it comes back."""
    graph = {name: set(imports(path, when_loaded=True)) - {name} for name, path in MODULES.items()}
    done: set[str] = set()

    def follow(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join((*way[way.index(name) :], name))
        if name not in done:
            for other in sorted(graph[name]):
                follow(other, (*way, name))
            done.add(name)

    for name in graph:
        follow(name, ())
