"""Laws of an autoencoder of one's own footage: of any time factor, better than its mean color, resumed bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kinema.autoencoder import load_autoencoder
from kinema.autoencoder.autoencoder import AutoencoderConfig
from kinema.cli.main import main
from kinema.datasets.recorder import record
from kinema.errors import InputError
from kinema.media import Clip
from kinema.training import checkpoint
from kinema.training.autoencoder.footage import (
    AutoencoderRecipe,
    measure_footage,
    open_footage,
    read_stock,
    train_autoencoder,
)
from kinema.training.autoencoder.train import AutoencoderTrainer, TrainConfig, clip_frames

RECIPE = AutoencoderRecipe(channels=8, width=16, depth=1, short_side=32)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five clips of a square that goes right; two of them are wider, and one is short."""
    folder, rng = tmp_path_factory.mktemp("clips"), np.random.default_rng(0)
    for number in range(6):
        frames = np.empty((4 if number == 5 else 20, 32, 64 if number < 2 else 48, 3), np.uint8)
        frames[:] = np.linspace(30, 200, frames.shape[2])[None, None, :, None]
        for t in range(len(frames)):
            frames[t, 8:24, 2 + t : 18 + t] = rng.integers(0, 256, 3) if t == 0 else frames[0, 9, 3]
        Clip(frames=frames, fps=8.0).save(folder / f"{number}.mp4")
        (folder / f"{number}.txt").write_text("a square goes right")
    return folder


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_it_begins_at_the_best_linear_one_and_learns(clips: Path, tmp_path: Path, factor: int) -> None:
    recipe = replace(RECIPE, time_factor=factor)
    folder = train_autoencoder(clips, out=tmp_path, steps=12, recipe=recipe)
    made = load_autoencoder(folder)
    assert (made.config.time_factor, made.config.channels) == (factor, 8)
    stock = read_stock([(open_footage(clips), 1.0)], recipe)
    figures = measure_footage(made, stock.held_back)
    assert figures["this autoencoder"][1] > figures["the mean color of each picture"][1] + 3
    card = (folder / "README.md").read_text()
    assert all(f"| {who} | {numbers} | {value:.2f} |" in card for who, (numbers, value) in figures.items())
    assert figures["this autoencoder"][0] == str(8 * 4 // factor)
    latents = made.encode_frames(Clip.open(clips / "2.mp4").frames)
    assert 0.5 < latents.std() < 2


def test_a_latent_of_the_linear_beginning_is_of_its_own_frames_alone() -> None:
    rng = np.random.default_rng(0)

    def noise(_: np.random.Generator, count: int, side: int) -> torch.Tensor:
        return torch.from_numpy(rng.integers(0, 256, (count, 9, side, side, 3)).astype(np.uint8))

    def things(generator: np.random.Generator, count: int, side: int) -> tuple[torch.Tensor, torch.Tensor]:
        pictures = noise(generator, count, side)
        return pictures, torch.zeros(pictures.shape[:-1], dtype=torch.bool)

    shape = AutoencoderConfig(channels=8, width=16, depth=1, time_factor=4)
    assert clip_frames(4) == 9
    trainer = AutoencoderTrainer(TrainConfig(pixels=4 * 9 * 16 * 16, sides=((16, 1.0),)), shape, things, noise, steps=1)
    weight = trainer.autoencoder.encoder.linear.weight
    blocks = weight.view(8, 64, 2, 12)
    assert not blocks[:, :, 0].any() and blocks[:, :, 1].any()
    pictures, weights = trainer.batch()
    assert pictures.shape == (4, 9, 3, 16, 16) and weights.shape == (4, 9, 1, 16, 16)


def test_frames_of_latents_are_made_as_in_decoding(clips: Path) -> None:
    """The loss sees what `decode` gives after `encode`."""
    stock = read_stock([(open_footage(clips), 1.0)], RECIPE)
    pictures, _ = stock.learned[0]

    def things(rng: np.random.Generator, count: int, side: int) -> tuple[torch.Tensor, torch.Tensor]:
        return pictures.draw_things(rng, count, side)

    config = TrainConfig(pixels=2 * 9 * 32 * 32, sides=((32, 1.0),))
    trainer = AutoencoderTrainer(config, RECIPE.network(), things, lambda *given: things(*given)[0], steps=1)
    video, weight = trainer.batch()
    still = torch.zeros(2 * 3, 8, 4, 4)
    trainer.dtype = torch.float32
    _, made = trainer.loss(video, weight, still)
    with torch.no_grad():
        expected = trainer.autoencoder.decode(trainer.autoencoder.encode(video))
    torch.testing.assert_close(made.clamp(-1, 1).view_as(expected), expected, atol=1e-5, rtol=1e-4)


def test_a_run_goes_on_bit_for_bit_and_not_with_another_recipe_or_footage(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, lengths in (("a", (4,)), ("b", (2, 4))):
        for steps in lengths:
            train_autoencoder(clips, out=tmp_path / name, steps=steps, resume=steps != lengths[0], recipe=RECIPE)
    a, b = (checkpoint.load_checkpoint(tmp_path / name) for name in "ab")
    assert b["step"] == 4 and all(torch.equal(x, b["model"][name]) for name, x in a["model"].items() if name != "rate")
    again = ["train", "autoencoder", "--data", str(clips), "--resume", str(tmp_path / "a"), "--steps", "5"]
    assert main(again) == 0
    for option, message in (
        (["--channels", "9"], "holds a run with channels 8"),
        (["--time-factor", "3"], "expected 1, 2 or 4"),
    ):
        assert main([*again, *option]) == 2
        line = capsys.readouterr().err
        assert message in line
    (tmp_path / "more").mkdir()
    Clip(frames=np.zeros((12, 32, 48, 3), np.uint8), fps=8.0).save(tmp_path / "more" / "1.mp4")
    (tmp_path / "more" / "1.txt").write_text("nothing")
    with pytest.raises(InputError, match="is not what the run in"):
        train_autoencoder([(clips, 1.0), (tmp_path / "more", 1.0)], out=tmp_path / "a", steps=5, resume=True)
    with pytest.raises(InputError, match="holds a run already"):
        train_autoencoder(clips, out=tmp_path / "a", steps=5)
    with pytest.raises(InputError, match="holds one clip; expected 2"):
        train_autoencoder(tmp_path / "more", out=tmp_path / "c", steps=5, recipe=RECIPE)


def test_recordings_are_footage_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record("CartPole-v1", tmp_path / "cart", episodes_wanted=3, size=(32, 48), most=20)
    command = [
        "train",
        "autoencoder",
        "--data",
        str(tmp_path / "cart"),
        "--time-factor",
        "2",
        "--channels",
        "4",
        "--steps",
        "2",
    ]
    assert main([*command, "--out", str(tmp_path / "run")]) == 0
    assert load_autoencoder(tmp_path / "run" / "autoencoder").config.time_factor == 2
    capsys.readouterr()
    for option, message in (
        (["--nproc", "2"], "--nproc goes with the recipe world or video, not with autoencoder"),
        (["--patch", "1"], "--patch goes with the recipe video, not with autoencoder"),
        (["--short-side", "20"], "expected a multiple of 8 from 16 on"),
    ):
        assert main([*command, *option]) == 2
        line = capsys.readouterr().err
        assert message in line and line.count("\n") == 1
    assert main(["train", "autoencoder"]) == 2
    assert "needs --data DIR" in capsys.readouterr().err
    assert main(["train", "video", "--data", "x", "--channels", "8"]) == 2
    assert "--channels goes with the recipe autoencoder, not with video" in capsys.readouterr().err
