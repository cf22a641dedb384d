"""A public function, class or type alias has a name of its own: it is defined in one module of the package."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import kinema

ROOT = Path(kinema.__file__).parent
EXCUSED = {
    "add": "each module of a `kinema` command adds its options; `kinema.cli.main` calls it",
    "run": "each module of a `kinema` command runs it",
}
"""Names that more than one module defines, and why."""
NO_NAMES = {"log", "router", "main"}
"""Objects that every module of a kind has: its logger, its routes, its command."""


def defined(tree: ast.Module) -> Iterator[str]:
    """Public functions, classes, type aliases and other objects of a module; not its constants, which are in capitals."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {target.id for target in targets if isinstance(target, ast.Name)}
            yield from (name for name in names if len(name) == 1 or not name.isupper())


def modules_by_name() -> dict[str, set[str]]:
    """The modules that define each public name; Alembic's revisions all define the same."""
    modules: dict[str, set[str]] = defaultdict(set)
    for path in sorted(set(ROOT.rglob("*.py")) - set(ROOT.glob("server/storage/migrations/**/*.py"))):
        module = path.relative_to(ROOT).as_posix()
        for name in defined(ast.parse(path.read_text())):
            if not name.startswith("_") and name not in NO_NAMES:
                modules[name].add(module)
    return modules


def test_a_public_name_is_defined_in_one_module() -> None:
    twice = {name: sorted(modules) for name, modules in modules_by_name().items() if len(modules) > 1}
    assert twice.keys() <= EXCUSED.keys(), {name: twice[name] for name in twice.keys() - EXCUSED.keys()}


def test_excuses_are_few_and_needed() -> None:
    modules = modules_by_name()
    assert len(EXCUSED) <= 5
    assert {name for name in EXCUSED if len(modules[name]) > 1} == EXCUSED.keys()
    assert all(module.startswith("cli/") for name in ("add", "run") for module in modules[name]), modules
