"""A model cut into small files: nothing is lost but the precision of int8, and damage is found."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from kinema.errors import ModelError, OutputError
from kinema.models import parts
from kinema.models.hub import WEIGHTS, load, read_weights, weights_folder
from kinema.models.parts import holds_parts, whole_model, write_parts

FILM = weights_folder() / "kinema-film"


def test_a_model_in_parts_is_whole_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", 1_000_000)
    for _ in range(2):  # the second time in place of the first
        write_parts(FILM, tmp_path / "parts")
    files = list((tmp_path / "parts").iterdir())
    assert holds_parts(tmp_path / "parts") and not holds_parts(FILM)
    assert max(path.stat().st_size for path in files) <= 1_000_000
    assert len(list((tmp_path / "parts").glob(f"{WEIGHTS}.*"))) > 3
    whole = whole_model(tmp_path / "parts", tmp_path / "whole")
    before, after = read_weights(FILM), read_weights(whole)
    assert before.keys() == after.keys()
    assert all(torch.allclose(before[name].float(), after[name].float(), atol=1e-2) for name in before)
    assert load(whole, device="cpu").parameters == load(FILM, device="cpu").parameters


def test_a_part_that_is_missing_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", 1_000_000)
    write_parts(FILM, tmp_path / "parts")
    (tmp_path / "parts" / f"{WEIGHTS}.001").unlink()
    with pytest.raises(ModelError, match=r"are not those of parts\.json; fetch all files"):
        whole_model(tmp_path / "parts", tmp_path / "whole")
    assert not (tmp_path / "whole").exists()


def test_other_files_are_not_deleted(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="something else than a model in parts"):
        write_parts(FILM, tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "mine"
