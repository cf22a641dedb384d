"""Weights stored as int8, and general models that come with Kinema."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

import kinema
from kinema.cli.main import main
from kinema.devices import kept_rng
from kinema.engines.catalog import model_names
from kinema.engines.registry import remove_entry
from kinema.errors import ModelError, OutputError
from kinema.models.dit import DiT, DiTConfig
from kinema.models.dit_model import DiTModelConfig
from kinema.models.hub import SCALE, WEIGHTS, as_int8, load, read_config, read_weights, save, shrink, weights_folder
from kinema.server.api.models import parameters


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("film") / "film"
    network = DiTConfig(width=96, depth=2, heads=2, channels=24, text_dim=384)
    config = DiTModelConfig(
        name="film-x", network=network, autoencoder="codec-8x8", width=32, height=32, fps=8.0, frames=4, film={"about": "x"}
    )
    with kept_rng():
        torch.manual_seed(0)
        weights = {name: value + 0.02 * torch.randn_like(value) for name, value in DiT(network).state_dict().items()}
    save(folder, config, weights, "# film-x\n")
    shutil.copytree(weights_folder() / "codec-8x8", folder / "codec-8x8")
    return folder


def test_each_row_is_rounded_to_127_parts_of_its_largest(film: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    shrink(film, small)
    before, after = read_weights(film), read_weights(small)
    assert before.keys() == after.keys()
    for name, value in before.items():
        rows = value.float().reshape(len(value), -1) if value.dim() else value.float().reshape(1, 1)
        error = (after[name].float() - value.float()).reshape(rows.shape).abs().amax(1)
        assert (error <= rows.abs().amax(1) / 254 + 1e-6).all(), name
    assert (small / WEIGHTS).stat().st_size < 0.6 * (film / WEIGHTS).stat().st_size
    assert parameters(small) == parameters(film) == load(str(film)).parameters == load(str(small)).parameters
    assert (small / "README.md").read_text() == "# small\n" and read_config(small).name == "small"
    assert not (small / "codec-8x8").exists(), "it comes with Kinema"
    once, twice = as_int8(before), as_int8(after)
    assert all(torch.equal(twice[name], once[name]) for name in once if not name.endswith(SCALE))


def test_films_hardly_differ(film: Path, tmp_path: Path) -> None:
    shrink(film, tmp_path / "small")
    made = [
        kinema.generate("a ball", model=str(folder), seconds=0.5, seed=1)[0].frames.astype(int)
        for folder in (film, tmp_path / "small")
    ]
    assert abs(made[0] - made[1]).mean() < 2


def test_what_cannot_be_is_one_line(film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "shrink", str(film), "-o", str(tmp_path / "a")]) == 0
    assert "MB before" in capsys.readouterr().out
    with pytest.raises(OutputError, match="is there already"):
        shrink(film, tmp_path / "a")
    shutil.copytree(film, tmp_path / "b")
    (tmp_path / "b" / WEIGHTS).write_bytes(b"x")
    with pytest.raises(ModelError, match="cannot be read"):
        shrink(tmp_path / "b", tmp_path / "c")
    assert not (tmp_path / "c").exists() and not list(tmp_path.glob(".c*"))
    assert main(["models", "shrink", "nothing", "-o", str(tmp_path / "d")]) == 2


def test_a_general_model_among_the_shipped_ones_films_by_its_name(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(film, tmp_path / "weights" / "kinema-x")
    monkeypatch.setenv("KINEMA_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("KINEMA_MODELS", str(tmp_path / "models.toml"))
    assert model_names() == ["kinema-x"]
    assert kinema.generate("a ball", model="kinema-x", seconds=0.5)[0].size == "32x32"
    with pytest.raises(ModelError, match="comes with Kinema"):
        remove_entry("kinema-x")
    assert main(["models"]) == 0 and "kinema-x" in capsys.readouterr().out
