"""Every example runs as it stands, with the shipped weights; tests/docs/test_blocks.py runs the blocks of the pages."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MORE = {"learn_inside": ["512"]}
"""Arguments after the folder: the number of frames that an agent learns from."""


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.stem)
def test_example(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, since a new one would spend most of its time importing."""
    assert len(path.read_text().splitlines()) < 60
    monkeypatch.setattr(sys, "argv", [str(path), str(tmp_path), *MORE.get(path.stem, [])])
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path), run_name="__main__")
    assert [*tmp_path.glob("*.mp4"), *tmp_path.glob("*.html")]
