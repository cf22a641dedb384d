"""The command: every verb end to end on an untrained model, and errors of one line with exit code 2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from kinema import api
from kinema.cli.main import main
from kinema.codec import Autoencoder, CodecConfig, save_codec
from kinema.media import Clip
from kinema.model.config import DenoiserConfig
from kinema.model.denoiser import Denoiser
from kinema.models import ModelConfig, save

FAST = ["--steps", "2"]
CLIP = ["--seconds", "0.5", *FAST]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    shape = DenoiserConfig(width=32, depth=2, heads=2, mlp_ratio=2, slots=4, latent_channels=16, patch=2, text_dim=384)
    config = ModelConfig(
        name="kinema-tiny",
        denoiser=shape,
        codec="codec",
        height=64,
        max_side=128,
        window=24,
        film_window=12,
        fps=(8.0, 32.0),
    )
    save(folder / "kinema-tiny", config, Denoiser(shape).state_dict(), "# untrained\n")
    save_codec(Autoencoder(CodecConfig(width=16)), folder / "codec")
    return folder


@pytest.fixture(autouse=True)
def here(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINEMA_WEIGHTS", str(weights))
    monkeypatch.setattr(api, "_loaded", {})
    monkeypatch.chdir(tmp_path)


def fails(capsys: pytest.CaptureFixture[str], *argv: str, reason: str) -> None:
    before = sorted(Path().iterdir())
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert error.startswith("kinema: ") and error.count("\n") == 1 and "Traceback" not in error
    assert reason in error
    assert sorted(Path().iterdir()) == before


def test_generate_and_repeat(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "a red ball rolls right", *CLIP, "--seed", "3", "-o", "a.mp4"]) == 0
    assert "a.mp4  64x64, 0.5 s at 16 fps" in capsys.readouterr().out
    assert Clip.open("a.mp4").settings["prompt"] == "a red ball rolls right"
    assert main(["generate", "--from", "a.mp4", "-o", "b.mp4"]) == 0
    assert np.array_equal(Clip.open("a.mp4").frames, Clip.open("b.mp4").frames)


def test_generate_several_from_pictures() -> None:
    Image.new("RGB", (300, 200), "gray").save("a.png")
    argv = ["generate", "a blue box", *CLIP, "--count", "2", "--image", "a.png", "--last", "a.png", "--size", "96x64"]
    assert main([*argv, "-o", "c.mp4", "--fps", "8"]) == 0
    assert Clip.open("c-1.mp4").frames.shape == Clip.open("c-2.mp4").frames.shape == (4, 64, 96, 3)


def test_every_verb_on_a_clip() -> None:
    assert main(["generate", "a red ball", *CLIP, "-o", "a.mp4"]) == 0
    Image.new("L", (64, 64), 255).save("mask.png")
    assert main(["image", "a red ball", *FAST, "-o", "p.png"]) == 0
    for argv in (
        ["extend", "a.mp4", "a red ball rolls left", "--seconds", "0.25"],
        ["extend", "a.mp4", "--seconds", "0.25", "--before"],
        ["infill", "p.png@0", "p.png@0.5", "a red ball"],
        ["blend", "a.mp4", "a.mp4", "--seconds", "0.25"],
        ["interpolate", "a.mp4", "--fps", "32"],
        ["edit", "a.mp4", "a blue ball", "--strength", "0.5", "--mask", "mask.png"],
    ):
        assert main([*argv, *FAST, "-o", "out.mp4", "--force"]) == 0, argv
        assert Clip.open("out.mp4").num_frames > 4, argv
    assert main(["perceive", "a.mp4", "-o", "s.json"]) == 0
    assert main(["render", "s.json", *FAST, "-o", "r.mp4"]) == 0
    assert Clip.open("r.mp4").num_frames == 8


def test_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    assert "kinema-tiny" in capsys.readouterr().out
    assert main(["models", "kinema-tiny"]) == 0
    assert "untrained" in capsys.readouterr().out


def test_errors_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.mp4").write_text("mine")
    Path("bad.json").write_text("{}")
    ball = ["generate", "a red ball"]
    fails(capsys, *ball, "--model", "kinema-huge", reason="kinema-tiny")
    fails(capsys, *ball, "--size", "512x512", reason="nearest is 128x128")
    fails(capsys, *ball, "--size", "big", reason="WIDTHxHEIGHT")
    for seconds in ("0", "-1", "nan", "inf", "1e9"):
        fails(capsys, *ball, "--seconds", seconds, reason="seconds" if seconds != "1e9" else "GB")
    fails(capsys, *ball, "--steps", "0", reason="at least 1")
    fails(capsys, *ball, "--guidance", "99", reason="guidance")
    fails(capsys, *ball, "--fps", "500", reason="films 8 to 32")
    fails(capsys, *ball, "--count", "0", reason="count")
    fails(capsys, *ball, "-o", "mine.mp4", reason="--force")
    fails(capsys, *ball, "-o", "no/out.mp4", reason="folder")
    fails(capsys, "generate", "a dragon", "--strict", reason="dragon")
    fails(capsys, "generate", reason="nothing to film")
    fails(capsys, "extend", "gone.mp4", reason="does not exist")
    fails(capsys, "extend", "mine.mp4", reason="mine.mp4")
    fails(capsys, "infill", "a.png@soon", "b.png@1", reason="PICTURE@SECONDS")
    fails(capsys, "render", "bad.json", reason="no field")
    fails(capsys, "train", "huge", reason="no recipe")
    assert Path("mine.mp4").read_text() == "mine"


@pytest.mark.parametrize(
    "verb", ["generate", "extend", "infill", "blend", "edit", "interpolate", "image", "perceive", "render", "train"]
)
def test_help_names_its_flags(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([verb, "--help"])
    text = capsys.readouterr().out
    assert left.value.code == 0
    flags = {
        "generate": "--output --seconds --size --fps --image --last --seed --steps --guidance --model --count --from "
        "--strict --force",
        "train": "--minutes --resume --out",
    }
    for flag in flags.get(verb, "--output --force --model").split():
        assert flag in text
