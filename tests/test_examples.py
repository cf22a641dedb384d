"""Every example runs as it stands, with the shipped weights, and so do the Python snippets of README and tutorial."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.stem)
def test_example(path: Path, tmp_path: Path) -> None:
    assert len(path.read_text().splitlines()) < 60
    done = subprocess.run([sys.executable, str(path), str(tmp_path)], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [*tmp_path.glob("*.mp4"), *tmp_path.glob("*.html")]


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md"])
def test_snippets(page: str, tmp_path: Path) -> None:
    snippets = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert snippets
    done = subprocess.run([sys.executable, "-c", "\n".join(snippets)], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
