"""Films and worlds learned with other parts than the usual ones: a text encoder from a folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("transformers", reason="needs kinema[open-weights]")

import kinema
from kinema.cli.main import main
from kinema.datasets.recorder import record
from kinema.engines.diffusers.tiny import words
from kinema.envs.recorded import RecordedWorld
from kinema.errors import InputError, ModelError
from kinema.media import Clip
from kinema.models.dit_model import DiTModel, DiTModelConfig
from kinema.models.hub import load, read_config
from kinema.text.folder_encoder import FolderEncoder
from kinema.training.film_lesson import FilmRecipe
from kinema.training.films import train_video
from kinema.training.recorded_world import train_world
from kinema.training.recordings import WorldRecipe

RECIPE = FilmRecipe(size="nano", frames=4, batch=4, short_side=32, fps=8.0, compile=False)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four clips of a bright square that goes right, with a text beside each."""
    folder = tmp_path_factory.mktemp("clips")
    for number in range(4):
        frames = np.full((14, 32, 64, 3), 40, np.uint8)
        for t in range(14):
            frames[t, 8:16, 4 + 2 * t : 12 + 2 * t] = (220, 60, 30 * number)
        Clip(frames=frames, fps=8.0).save(folder / f"{number}.mp4")
        (folder / f"{number}.txt").write_text(f"a square goes right, number {number}")
    return folder


def text_encoder(folder: Path, seed: int = 0) -> Path:
    """A tiny UMT5 with random weights."""
    torch.manual_seed(seed)
    words.t5_encoder(umt5=True).save_pretrained(folder)
    words.t5_tokenizer().save_pretrained(folder)
    return folder


def test_films_go_by_the_text_encoder_that_they_were_trained_with(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder = text_encoder(tmp_path / "umt5")
    out = tmp_path / "run"
    recipe = FilmRecipe(**{**vars(RECIPE), "text_encoder": str(encoder)})
    film = train_video(clips, out=out, steps=2, recipe=recipe)
    config = read_config(film)
    assert isinstance(config, DiTModelConfig) and config.text_encoder == str(encoder) and config.network.text_dim == 32
    one, two = (kinema.generate(text, model=str(film), seconds=0.5, steps=2)[0] for text in ("a square", "goes right"))
    assert one.frames.shape == (4, 32, 64, 3) and not np.array_equal(one.frames, two.frames)
    again = ["train", "video", "--data", str(clips), "--resume", str(out), "--steps", "3"]
    assert main([*again, "--batch", "2"]) == 0, "the run knows its encoder, also where another setting changes"
    other = text_encoder(tmp_path / "other", seed=1)
    capsys.readouterr()
    assert main([*again, "--text-encoder", str(other)]) == 2
    assert "other text encoder" in capsys.readouterr().err
    shutil.move(encoder, tmp_path / "hidden")
    with pytest.raises(ModelError, match="needs the text encoder of its training"):
        load(film)
    shutil.move(tmp_path / "hidden", film / "umt5")
    same = kinema.generate("a square", model=str(film), seconds=0.5, steps=2)[0]
    assert same.num_frames == 4
    shutil.rmtree(film / "umt5")
    shutil.move(other, encoder)
    with pytest.raises(ModelError, match="is another one than this was trained with"):
        _ = load(film).text


def test_worlds_know_their_tasks_by_a_text_encoder_of_a_folder(tmp_path: Path) -> None:
    encoder, data = text_encoder(tmp_path / "umt5"), tmp_path / "grid"
    record("MiniGrid-Empty-5x5-v0", data, episodes_wanted=3, size=(32, 48), most=12)
    recipe = WorldRecipe(
        compile=False, frames=4, batch=2, size="nano", context=2, autoencoder_share=0.0, text_encoder=str(encoder)
    )
    folder = train_world(data, out=tmp_path / "run", steps=2, recipe=recipe)
    model = load(folder)
    assert isinstance(model, DiTModel) and model.config.network.text_dim == 32
    assert isinstance(model.text, FolderEncoder)
    assert RecordedWorld(model, seed=1).go(2).frame.shape == (32, 48, 3)


def test_bad_text_encoders_get_one_line(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    arguments = ["train", "video", "--data", str(clips), "--out", str(tmp_path / "run"), "--steps", "1"]
    for folder in ("empty", "nowhere"):
        assert main([*arguments, "--text-encoder", str(tmp_path / folder)]) == 2
        line = capsys.readouterr().err
        assert "no text encoder in" in line and line.count("\n") == 1
    assert main(["train", "smoke", "--text-encoder", "x"]) == 2
    assert "--text-encoder goes with the recipe world or video, not with smoke" in capsys.readouterr().err
    with pytest.raises(InputError):
        train_video(clips, out=tmp_path / "run", steps=1, recipe=FilmRecipe(text_encoder=str(tmp_path / "empty")))
