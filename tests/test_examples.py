"""Every example runs as it stands, with the shipped weights; tests/docs/test_blocks.py runs the blocks of the pages."""

from __future__ import annotations

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
