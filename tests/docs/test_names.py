"""Names and files that the documents put in backticks exist in the package."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "kinema"
DOCUMENTS = sorted(
    [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "SECURITY.md",
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "docs" / "decisions").glob("*.md"),
    ]
)
CLASS = re.compile(r"[A-Z][A-Za-z0-9]*[a-z][A-Za-z0-9]*(\.\w+)*")


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


@cache
def modules() -> dict[str, ast.Module]:
    return {module_of(path): ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")}


@cache
def classes() -> dict[str, ast.ClassDef]:
    return {node.name: node for tree in modules().values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}


def names_in(tree: ast.AST) -> set[str]:
    """Names that a module or class defines or imports, and attributes that its methods set."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.attr)
    return names


def attributes(name: str) -> set[str]:
    """Names of a class and of its base classes in the package."""
    bases = {base.id for base in classes()[name].bases if isinstance(base, ast.Name) and base.id in classes()}
    return names_in(classes()[name]).union(*(attributes(base) for base in bases))


def exists(dotted: str) -> bool:
    """Whether `kinema.a.b.C.d` or `C.d` is a name of the package; no file is imported."""
    parts = dotted.split(".")
    if parts[0] == "kinema":
        length = max(n for n in range(1, len(parts) + 1) if ".".join(parts[:n]) in modules())
        module, parts = ".".join(parts[:length]), parts[length:]
        if not parts:
            return True
        if parts[0] not in names_in(modules()[module]):
            return False
    if len(parts) == 1:
        return parts[0] in classes() or dotted.startswith("kinema.")
    return parts[0] in classes() and parts[1] in attributes(parts[0])


def codes(path: Path) -> list[str]:
    """What a document puts in backticks, without blocks of code and without arguments of calls."""
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [code.partition("(")[0] for code in re.findall(r"`([^`\n]+)`", text)]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_of_a_document_exist(path: Path) -> None:
    found = codes(path)
    dotted = [code for code in found if re.fullmatch(r"kinema(\.\w+)+", code) or CLASS.fullmatch(code)]
    dotted = [code for code in dotted if not code.endswith("Pipeline")]  # of diffusers; tests/engines looks at those
    missing = sorted({name for name in dotted if not exists(name)})
    assert not missing, f"the package has no {', '.join(missing)}"
    files = {code for code in found if re.fullmatch(r"[\w/]+\.py", code)}
    lost = sorted(file for file in files if not (ROOT / file).exists() and not (PACKAGE / file).exists())
    assert not lost, f"there is no {', '.join(lost)}, from the repository's root or from src/kinema"


def test_names_that_do_not_exist_are_seen() -> None:
    assert exists("kinema.World") and exists("kinema.simulation.world.World.step") and exists("ImaginedEnv.reset")
    for wrong in ("kinema.Worlds", "kinema.world.World", "Stamp", "Denoiser.sketch", "kinema.World.deed"):
        assert not exists(wrong), wrong


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_a_document_lead_to_files(path: Path) -> None:
    """`make docs` checks those inside docs/; this test also checks those of the files beside it."""
    links = re.findall(r"\]\(([^)#\s]+)", path.read_text())
    lost = sorted(link for link in links if "://" not in link and not (path.parent / link).exists())
    assert not lost, f"there is no {', '.join(lost)}"


def test_the_package_states_its_version_once() -> None:
    """pyproject.toml, `kinema.__version__` and the newest section of the changelog agree."""
    project = re.search(r'^version = "([\d.]+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    package = re.search(r'^__version__ = "([\d.]+)"$', (PACKAGE / "__init__.py").read_text(), re.MULTILINE)
    newest = re.search(r"^## \[([\d.]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert project and package and newest
    assert project[1] == package[1] == newest[1]
