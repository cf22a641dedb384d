"""The command line on a real, tiny, untrained model: every verb end to end, and every mistake in one line."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from kinema import api
from kinema.autoencoder import Autoencoder, AutoencoderConfig, save_autoencoder
from kinema.cli import options
from kinema.cli.main import build_parser, main
from kinema.cli.train_options import ABOUT, TOGETHER
from kinema.errors import InputError
from kinema.inference import canvas_io, sampling
from kinema.inference.limits import sizes_of
from kinema.media import Clip
from kinema.models.config import DenoiserConfig
from kinema.models.denoiser import Denoiser
from kinema.models.hub import ModelConfig, read_config, save
from kinema.scene.scene import Scene
from kinema.training.film_lesson import FilmRecipe
from kinema.training.recipes import RECIPES
from kinema.training.world_lesson import WorldRecipe

SMALL = DenoiserConfig(width=32, depth=2, heads=2, mlp_ratio=2, slots=4, latent_channels=24, patch=2, text_dim=384)
DEEP = "[" * 200_000 + "]" * 200_000
FAST = ["--seconds", "0.5", "--steps", "2"]
VERBS = (
    "generate",
    "extend",
    "infill",
    "blend",
    "interpolate",
    "edit",
    "image",
    "perceive",
    "render",
    "models",
    "play",
    "train",
    "export",
    "conform",
)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of weights as the wheel holds it: kinema-tiny, here untrained, and its autoencoder."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    config = ModelConfig(
        name="kinema-tiny", denoiser=SMALL, autoencoder="codec", height=64, heights=(32, 48, 64, 96, 128),
        aspects=("1:1", "16:9", "9:16", "4:3", "2:1"), max_side=128, window=24, film_window=12, fps=(8.0, 32.0),
        trained={"steps": 0},
    )  # fmt: skip
    save(folder / "kinema-tiny", config, Denoiser(SMALL).state_dict(), "# kinema-tiny\n\nAn untrained model.\n")
    save_autoencoder(Autoencoder(AutoencoderConfig(channels=24, width=16)), folder / "codec")
    return folder


@pytest.fixture(autouse=True)
def place(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command runs in an empty folder, with the untrained model as the default."""
    monkeypatch.setenv("KINEMA_WEIGHTS", str(weights))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(canvas_io, "_loaded", {})


@pytest.fixture(scope="session")
def film() -> Clip:
    x = np.linspace(0, 255, 64).astype(np.uint8)
    frames = np.stack([np.broadcast_to(np.roll(x, 4 * i)[None, :, None], (64, 64, 3)) for i in range(8)])
    return Clip(frames=np.ascontiguousarray(frames), fps=16.0)


@pytest.fixture
def clip(film: Clip) -> str:
    return str(film.save("given.mp4"))


def files() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path().iterdir() if path.is_file()}


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that must fail as a user error; gives its one line."""

    def run(*argv: str) -> str:
        before = files()
        capsys.readouterr()
        assert main(argv) == 2, argv
        shown = capsys.readouterr()
        assert shown.err.startswith("kinema: ") and shown.err.endswith("\n") and shown.err.count("\n") == 1, shown.err
        assert not shown.out and files() == before
        return shown.err

    return run


def test_generate_and_repeat(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "a red ball rolls right", *FAST, "--size", "96x64", "--guidance", "1.5", "--seed", "7"]) == 0
    assert capsys.readouterr().out.startswith("out.mp4  96x64, 0.5 s at 16 fps, made in")
    made = Clip.open("out.mp4")
    assert made.frames.shape == (8, 64, 96, 3) and made.caption == "a red ball rolls right" and made.state is not None
    assert made.settings["seed"] == 7 and made.settings["steps"] == 2 and made.settings["guidance"] == 1.5
    assert main(["generate", "--from", "out.mp4", "-o", "again.mp4"]) == 0
    again = Clip.open("again.mp4")
    assert again.state is not None and np.array_equal(again.state.x, made.state.x)
    # x264 now and then codes a block of the same frames in another way, so the bytes are compared where nothing is lost in time
    assert np.abs(again.frames.astype(int) - made.frames).mean() < 1.0
    for name in ("once.gif", "twice.gif"):
        assert main(["generate", "--from", "out.mp4", "-o", name]) == 0
    assert Path("once.gif").read_bytes() == Path("twice.gif").read_bytes()
    assert main(["generate", "--from", "out.mp4", "--seed", "8", "-o", "other.mp4"]) == 0
    other = Clip.open("other.mp4")
    assert other.settings["seed"] == 8 and other.state is not None and made.state is not None
    assert other.state.to_json() != made.state.to_json()


def test_generate_repeats_what_the_library_made(film: Clip) -> None:
    options = api.SamplingConfig(num_plan_steps=2, num_render_steps=1)
    api.generate("a blue box", seconds=0.25, seed=3, options=options)[0].save("library.mp4")
    assert main(["generate", "--from", "library.mp4"]) == 0
    assert np.array_equal(Clip.open("out.mp4").frames, Clip.open("library.mp4").frames)


def test_generate_many(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "a star", *FAST, "--count", "2", "--seed", "4", "-o", "film.webm"]) == 0
    assert [Clip.open(f"film-{i}.webm").settings["seed"] for i in (1, 2)] == [4, 5]
    assert set(files()) == {"film-1.webm", "film-2.webm"} and capsys.readouterr().out.count("\n") == 2


def test_generate_from_pictures(film: Clip) -> None:
    film.picture(0).save("first.png")
    film.picture(7).save("last.jpg", quality=95)
    assert main(["generate", *FAST, "--image", "first.png", "--last", "last.jpg"]) == 0
    made = Clip.open("out.mp4")
    assert np.abs(made.frames[0].astype(int) - film.frames[0]).mean() < 4
    assert np.abs(made.frames[-1].astype(int) - film.frames[7]).mean() < 4
    assert main(["generate", *FAST, "--last", "last.jpg", "-o", "b.mp4"]) == 0
    assert main(["generate", "a ball", "--seconds", "0.05", "--steps", "2", "-o", "still.png"]) == 0
    assert Clip.open("still.png").num_frames == 1


def test_clips_from_clips(clip: str) -> None:
    fast = ["--steps", "2"]
    assert main(["extend", clip, "it stops", *FAST, "-o", "after.mp4"]) == 0
    assert main(["extend", clip, *FAST, "--before", "-o", "before.mp4"]) == 0
    assert main(["blend", clip, clip, *FAST, "-o", "blend.mp4"]) == 0
    assert main(["interpolate", clip, "--fps", "32", *fast, "-o", "double.gif"]) == 0
    assert main(["edit", clip, "a blue box", "--strength", "0.5", *fast, "-o", "edit.mkv"]) == 0
    Image.fromarray(np.pad(np.full((32, 64), 255, np.uint8), ((0, 32), (0, 0)))).save("mask.png")
    assert main(["edit", clip, "a blue box", "--mask", "mask.png", *fast, "-o", "masked.mp4"]) == 0
    counts = {"after.mp4": 16, "before.mp4": 16, "blend.mp4": 24, "double.gif": 15, "edit.mkv": 8, "masked.mp4": 8}
    assert {name: Clip.open(name).num_frames for name in counts} == counts
    assert Clip.open("double.gif").fps == 32
    given = Clip.open(clip)
    for name, part in (("after.mp4", slice(0, 8)), ("before.mp4", slice(8, 16)), ("blend.mp4", slice(16, 24))):
        assert np.abs(Clip.open(name).frames[part].astype(int) - given.frames).mean() < 4, name


def test_infill_and_image(film: Clip) -> None:
    film.picture(0).save("a.png")
    film.picture(4).save("b.png")
    assert main(["infill", "a.png@0", "b.png@0.5", "a ball rolls", "--steps", "2"]) == 0
    assert Clip.open("out.mp4").num_frames == 9
    assert main(["image", "a red star", "--size", "64x32", "--steps", "2"]) == 0
    assert Clip.open("out.png").frames.shape == (1, 32, 64, 3)


def test_perceive_then_render(clip: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["perceive", clip]) == 0
    assert "8 frames, read in" in capsys.readouterr().out
    assert Scene.from_json(Path("state.json").read_text()).num_frames == 8
    assert main(["render", "state.json", "--steps", "2", "--size", "48x32"]) == 0
    assert Clip.open("out.mp4").frames.shape == (8, 32, 48, 3)


def test_models(weights: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["models"]) == 0
    output = capsys.readouterr().out
    assert output.startswith("kinema-tiny  4 slots, ") and "heights 32, 48, 64, 96, 128 px (default: 64)" in output
    offered = sizes_of(read_config(weights / "kinema-tiny"))
    assert output.strip().endswith(" ".join(offered)) and {"64x64", "112x64", "80x64"} <= set(offered)
    assert main(["models", "show", "kinema-tiny"]) == 0
    assert "An untrained model." in capsys.readouterr().out
    assert main(["image", "a ball", "--steps", "1", "--model", str(weights / "kinema-tiny")]) == 0
    monkeypatch.setenv("KINEMA_WEIGHTS", "nowhere")
    assert main(["models"]) == 2 and "no model is installed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--model", "kinema-huge"], "no model 'kinema-huge': expected a folder.*or one of: kinema-tiny"),
        (["--size", "4096x4096"], "the nearest is 128x128"),
        (["--size", "big"], "expected WIDTHxHEIGHT"),
        (["--size", "0x64"], "positive"),
        (["--seconds", "0"], "0 seconds: expected more than 0"),
        (["--seconds", "-1"], "-1 seconds: expected more than 0"),
        (["--seconds", "nan"], "expected a number"),
        (["--seconds", "1e308"], "expected a number"),
        (["--count", "999999999999"], "up to 1000"),
        (["--seconds", "inf"], "expected a number"),
        (["--seconds", "1e9"], "GB"),
        (["--seconds", "four"], "expected a number"),
        (["--fps", "1000"], "films 8 to 32"),
        (["--steps", "0"], "--steps: '0': expected 1 to 1000"),
        (["--candidates", "17"], "--candidates: '17': expected 1 to 16"),
        (["--steps", "2.5"], "expected a whole number"),
        (["--guidance", "-1"], "expected 0 to 20"),
        (["--seed", "-1"], "expected 0 to"),
        (["--seed", "99999999999999999999"], "expected 0 to"),
        (["--count", "0"], "at least 1"),
        (["--image", "missing.png"], "missing.png does not exist"),
        (["--image", "."], "is a folder"),
        (["--from", "missing.mp4"], "missing.mp4 does not exist"),
        (["-o", "film.xyz"], "unknown ending '.xyz'"),
        (["-o", "film.png"], "holds one picture"),
        (["-o", "no/film.mp4"], "make the folder first"),
        (["-o", "."], "is a folder"),
        (["--sharpness", "3"], "unrecognized arguments: --sharpness 3; see kinema"),
        (["--seconds"], "expected one argument; see kinema generate --help"),
        (["one\ntwo", "three\nfour"], "unrecognized arguments"),
    ],
)
def test_each_mistake_of_generate_is_one_line(more: list[str], message: str, fails: Callable[..., str]) -> None:
    line = fails("generate", "a red ball", *more)
    assert re.search(message, line), line


def test_words_unknown_and_nothing_to_film(fails: Callable[..., str]) -> None:
    assert "does not know 'dragon'" in fails("generate", "a red dragon", "--strict")
    assert "nothing to film" in fails("generate")
    assert "nothing to film" in fails("generate", "  ")
    assert "expected 'start-end: text'" in fails("generate", "0-2: a ball | | a box")
    assert "invalid choice: 'fly'" in fails("fly")


def test_nothing_is_overwritten_without_force(clip: str, fails: Callable[..., str]) -> None:
    for name in ("out.mp4", "out-2.mp4", "out.png", "state.json"):
        Path(name).write_bytes(b"precious")
    for argv in (
        ["generate", "a ball"], ["generate", "a ball", "--count", "3"], ["extend", clip], ["blend", clip, clip],
        ["infill", "a.png@0", "b.png@1"], ["interpolate", clip, "--fps", "32"], ["edit", clip, "a box"], ["image", "a ball"],
        ["perceive", clip],
    ):  # fmt: skip
        assert "exists; pass --force" in fails(*argv), argv
    assert main(["image", "a ball", "--steps", "1", "--force"]) == 0
    assert Clip.open("out.png").num_frames == 1


def test_each_mistake_of_the_other_verbs_is_one_line(clip: str, fails: Callable[..., str]) -> None:
    Path("empty.mp4").touch()
    Path("text.json").write_text("hello")
    Path("list.json").write_text("[1]")
    Path("deep.json").write_text(DEEP)
    for name in ("deep/config.json", "deep/meta/info.json", "deep/agent.json", "deep/model.safetensors"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(DEEP)
    Path("old.json").write_text('{"format": 99}')
    Path("damaged").mkdir()
    Path("damaged/state.pt").write_bytes(b"half")
    for argv, message in (
        (["extend", "missing.mp4"], "does not exist"),
        (["extend", "empty.mp4"], "is empty"),
        (["extend", clip, "--seconds", "nan"], "expected a number"),
        (["extend", clip, "a dragon", "--strict"], "does not know 'dragon'"),
        (["blend", clip, "text.json"], "not a video"),
        (["interpolate", clip], "required: --fps"),
        (["interpolate", clip, "--fps", "20"], "whole multiple"),
        (["interpolate", clip, "--fps", "64"], "films 8 to 32"),
        (["edit", clip], "required: prompt"),
        (["edit", clip, ""], "the prompt of the edit is empty"),
        (["edit", clip, " \n"], "the prompt of the edit is empty"),
        (["generate", "a ball", "--model", ""], "the name of the model is empty"),
        (["extend", clip, "--model", " "], "the name of the model is empty"),
        (["perceive", clip, "--model", ""], "the name of the model is empty"),
        (["play", "--model", ""], "the name of the model is empty"),
        (["arena", "run", "--model", ""], "the name of the model is empty"),
        (["agent", "score", "--model", ""], "the name of the model is empty"),
        (["models", "show", ""], "the name of the model is empty"),
        (["conform", "http://127.0.0.1:9", "--model", ""], "the name of the model is empty"),
        (["edit", clip, "a box", "--strength", "1.5"], "strength 1.5"),
        (["edit", clip, "a box", "--mask", "text.json"], "not a video or picture"),
        (["edit", clip, "a box", "-o", "a.png"], "holds one picture"),
        (["infill", f"{clip}@0", f"{clip}@now"], "expected PICTURE@SECONDS"),
        (["infill", f"{clip}@0", f"{clip}@nan"], "expected PICTURE@SECONDS"),
        (["infill", f"{clip}@0", f"{clip}@-1"], "expected PICTURE@SECONDS"),
        (["infill", f"{clip}@0", f"{clip}@0"], "apart"),
        (["infill", f"{clip}@0", "a ball"], "at least two"),
        (["infill", "a ball"], "two or more"),
        (["image", "a ball", "-o", "a.txt"], "unknown ending"),
        (["perceive", "missing.mp4"], "does not exist"),
        (["render", "missing.json"], "No such file"),
        (["render", "."], "directory"),
        (["render", clip], "not text"),
        (["render", "text.json"], "not a state file"),
        (["render", "list.json"], "not a state file"),
        (["render", "deep.json"], "not a state file: it is nested too deeply"),
        (["arena", "report", "deep.json"], "no card of an arena run: it is nested too deeply"),
        (["record", "CartPole-v1", "--options", DEEP], "expected a JSON object"),
        (
            ["record", "minari:a/b-v0", "--policy", "mine:f", "--seed", "3"],
            "--policy and --seed: a Minari dataset is taken in",
        ),
        (["extend", clip, "--model", "deep"], "it is nested too deeply"),
        (["train", "world", "--data", "deep"], "it is nested too deeply"),
        (["agent", "score", "deep"], "it is nested too deeply"),
        (["render", "old.json"], "state format 99"),
        (["models", "show", "kinema-huge"], "no model 'kinema-huge'"),
        (["train", "huge"], "no recipe 'huge'; there are tiny"),
        (["train", "smoke", "--resume", "."], "holds no checkpoint"),
        (["train", "smoke", "--device", "abacus"], "no device 'abacus': expected auto, cpu, cuda or mps"),
        (["train", "smoke", "--minutes", "0"], "0 minutes: expected a number above 0"),
        (["train", "smoke", "--minutes", "-1"], "-1 minutes: expected a number above 0"),
        (["train", "smoke", "--steps", "0"], "0 steps: expected 1 or more"),
        (["train", "smoke", "--steps", "-1"], "-1 steps: expected 1 or more"),
        (["train", "smoke", "--out", clip], "is a file"),
        (["train", "smoke", "--out", "/dev/null"], "is a file"),
        (["train", "smoke", "--resume", "damaged"], "is damaged or no checkpoint"),
        (["generate", "--from", clip], "only `generate` can be repeated"),
    ):
        assert message in fails(*argv), argv


def test_a_clip_that_lost_its_settings_is_not_repeated(film: Clip, fails: Callable[..., str]) -> None:
    Clip(frames=film.frames, fps=16.0, settings={"layout": "generate", "seed": "x"}).save("odd.mp4")
    assert "cannot be repeated: it holds no" in fails("generate", "--from", "odd.mp4")


def test_a_state_with_odd_values_is_one_line(clip: str, fails: Callable[..., str]) -> None:
    assert main(["perceive", clip]) == 0
    state = json.loads(Path("state.json").read_text())
    for field, value in {"view": "moon", "entities": [{"slot": 99}], "fps": "fast", "num_frames": 0, "camera": [1]}.items():
        Path("odd.json").write_text(json.dumps({**state, field: value}))
        fails("render", "odd.json")


@pytest.mark.parametrize(
    ("recipe", "others"),
    [
        ("world", {"patch", "autoencoder", "time-factor"}),
        ("video", {"camera", "time-factor"}),
        ("autoencoder", {"camera", "patch", "size", "few-steps"}),
        ("tiny", {"data", "camera", "patch", *(name.replace("_", "-") for name in TOGETHER)}),
    ],
)
def test_help_of_a_recipe_has_its_own_options_and_an_example(
    recipe: str, others: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Those that it refuses are not in it, and the rest is; its defaults are those of the recipe."""
    with pytest.raises(SystemExit) as done:
        main(["train", recipe, "--help"])
    assert done.value.code == 0
    text = capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    every = set(re.findall(r"^  --([\w-]+)", capsys.readouterr().out, re.MULTILINE))
    hidden = every - set(re.findall(r"^  --([\w-]+)", text, re.MULTILINE))
    assert others <= hidden < every
    assert text.startswith(f"usage: kinema train {recipe} [-h]")
    shown = " ".join(text.split())
    assert f"out/train-{recipe}" in shown and "for world" not in shown and "for video" not in shown
    examples = [line.split() for line in text.partition("example:\n")[2].splitlines() if f"kinema train {recipe}" in line]
    assert len(examples) == 1
    assert build_parser().parse_args(examples[0][1:]).recipe == recipe
    for word in sorted(hidden):
        value = [] if word in ("recompute", "full", "few-steps") else ["1"]
        with pytest.raises(InputError, match=f"--{word} goes with"):
            given = build_parser().parse_args(["train", recipe, f"--{word}", *value, "--data", "nowhere"])
            given.data = given.data if recipe in ABOUT or word == "data" else None
            given.run(given)
    if recipe in ("world", "video"):
        wished = {"world": WorldRecipe(), "video": FilmRecipe()}[recipe]
        assert f"(default: {wished.size})" in shown and f"together (default: {wished.batch})" in shown


def test_help_of_train_lists_every_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["train", "--help"])
    assert done.value.code == 0
    listed = capsys.readouterr().out.split("recipes:\n")[1].splitlines()
    assert [line.split()[0] for line in listed if line] == [*ABOUT, *RECIPES]


def test_help_of_perceive_says_the_true_default_size(film: Clip, capsys: pytest.CaptureFixture[str]) -> None:
    """The model's own height (64 here), whatever the clip's."""
    replace(film.fit(128, 128), state=None).save("large.mp4")
    states = []
    for size in ([], ["--size", "64x64"], ["--size", "128x128"]):
        assert main(["perceive", "large.mp4", *size, "-o", "state.json", "--force"]) == 0
        states.append(Path("state.json").read_text())
    assert states[0] == states[1] != states[2]
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["perceive", "--help"])
    assert "default: the model's own height, as wide as" in " ".join(capsys.readouterr().out.split())


def test_help_names_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in VERBS:
        with pytest.raises(SystemExit) as done:
            main([verb, "--help"])
        assert done.value.code == 0
    capsys.readouterr()
    with pytest.raises(SystemExit) as done:
        main(["--help"])
    shown = capsys.readouterr().out
    assert done.value.code == 0 and all(verb in shown for verb in VERBS)
    with pytest.raises(SystemExit):
        main(["generate", "--help"])
    shown = capsys.readouterr().out
    flags = (
        "-o",
        "seconds",
        "size",
        "fps",
        "image",
        "last",
        "seed",
        "steps",
        "candidates",
        "guidance",
        "model",
        "count",
        "strict",
        "force",
    )
    for flag in (*flags, "from"):
        assert (flag if flag.startswith("-") else f"--{flag}") in shown


def test_alone_it_prints_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert capsys.readouterr().out.startswith("usage: kinema")


def test_an_unknown_flag_names_the_help_of_its_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", "a.json", "--sise", "8x8"]) == 2
    assert capsys.readouterr().err == "kinema: unrecognized arguments: --sise 8x8; see kinema render --help\n"
    assert main(["--sise"]) == 2
    assert capsys.readouterr().err == "kinema: unrecognized arguments: --sise; see kinema --help\n"


def test_the_doctor_names_what_it_finds(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:8]] == [
        "kinema", "packages", "devices", "compiler", "memory", "disk", "cache", "models",
    ]  # fmt: skip
    digest = hashlib.sha256((weights / "kinema-tiny" / "model.safetensors").read_bytes()).hexdigest()
    assert any("kinema-tiny" in line and digest in line for line in lines)


def test_the_doctor_says_how_much_of_the_disk_is_free(
    weights: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type(shutil.disk_usage("."))(9 << 30, 6 << 30, 3 << 30)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert main(["doctor"]) == 0
    assert "3.0 GiB free in" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("locale", "prompt", "name"),
    [
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "a crims\u00f6n ball", "ball-\u00f6.mp4"),
        ({"PYTHONIOENCODING": "latin-1"}, "a red ball", "ball-\u65e5.mp4"),
    ],
)
def test_letters_that_a_terminal_does_not_know_stop_nothing(
    weights: Path, tmp_path: Path, locale: dict[str, str], prompt: str, name: str
) -> None:
    line = [*FAST, "--size", "32x32", "-o", str(tmp_path / name)]
    command = [sys.executable, "-m", "kinema.cli.main", "generate", prompt.encode(), *(part.encode() for part in line)]
    done = subprocess.run(command, env={**os.environ, **locale}, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert Clip.open(tmp_path / name).settings["prompt"] == prompt


def test_a_reader_that_leaves_ends_it_quietly(weights: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "kinema.cli.main", "models", "show", "kinema-tiny"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


def test_the_most_steps_and_candidates_are_those_of_the_sampler() -> None:
    assert (options.MOST_STEPS, options.MOST_CANDIDATES) == (sampling.MOST_STEPS, sampling.MOST_CANDIDATES)


@pytest.mark.parametrize("text", ["-1e9", "-.5", "-2", "-1e-3"])
def test_numbers_below_0_are_numbers_however_they_are_written(text: str) -> None:
    assert build_parser().parse_args(["generate", "a ball", "--guidance", text]).guidance == float(text)
