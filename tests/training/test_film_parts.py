"""Films and worlds learned with other parts than the usual ones: a text encoder, an autoencoder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("transformers", reason="needs kinema[open-weights]")
pytest.importorskip("diffusers", reason="needs kinema[open-weights]")

import kinema
from kinema.autoencoder import Autoencoder, AutoencoderConfig, save_autoencoder
from kinema.cli.main import main
from kinema.datasets.latent_cache import LatentCache
from kinema.datasets.recorder import record
from kinema.engines import FilmRequest
from kinema.engines.diffusers.tiny import parts, words
from kinema.engines.dit_engine import DiTEngine
from kinema.engines.protocol import Workflow
from kinema.envs.recorded import RecordedWorld
from kinema.errors import InputError, ModelError
from kinema.media import Clip
from kinema.models.dit import DiTInput
from kinema.models.dit_model import DiTModel, DiTModelConfig
from kinema.models.hub import load, read_config
from kinema.text.folder_encoder import FolderEncoder
from kinema.training.film_lesson import ClipsLesson, FilmRecipe
from kinema.training.films import train_video
from kinema.training.recorded_world import train_world
from kinema.training.world_lesson import WorldRecipe

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
    assert f"It needs the text encoder in `{encoder}`, and no other." in (film / "README.md").read_text()
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


def autoencoder(kind: str, folder: Path, seed: int = 0) -> Path:
    """A tiny one with random weights."""
    torch.manual_seed(seed)
    if kind.startswith("own"):
        config = AutoencoderConfig(channels=4, width=16, depth=1, time_factor=int(kind[-1]))
        save_autoencoder(Autoencoder(config), folder)
    else:
        {"wan": parts.wan_vae, "ltx": parts.ltx_vae, "pictures": parts.picture_vae}[kind]().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", ["own1", "own4", "wan", "pictures", "ltx"])
def test_films_of_any_autoencoder_are_made_extended_and_edited(
    clips: Path, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = autoencoder(kind, tmp_path / "parts" / kind), tmp_path / "run"
    factor = {"own1": 1, "own4": 4, "wan": 4, "pictures": 1, "ltx": 8}[kind]
    data = {**vars(RECIPE), "autoencoder": str(folder), "patch": 1, "frames": 3 if factor < 8 else 2}
    film = train_video(clips, out=out, steps=2, recipe=FilmRecipe(**data))
    config = read_config(film)
    assert isinstance(config, DiTModelConfig)
    assert config.time_factor == factor and config.space_factor == (32 if kind == "ltx" else 8)
    assert train_video(clips, out=out, steps=3, resume=True) == film
    most = 1 + factor * (config.frames - 1)
    assert f"{most} at once" in (film / "README.md").read_text()
    engine = DiTEngine(film)
    known = engine.capabilities.frames
    assert (known.most, known.step) == (most, factor) and known.at_least(2) == 1 + factor

    def filmed(workflow: Workflow, **options: Any) -> Clip:
        return engine.film(FilmRequest(workflow=workflow, prompt="a square", steps=2, **options))[0]

    for frames in (2, most, most + 3):
        assert filmed("generate", seconds=frames / 8).frames.shape == (frames, 32, 64, 3), "cut to what was asked for"
    given = Clip.open(clips / "0.mp4")
    for before in (False, True):
        made = filmed("extend", video=given, seconds=0.5, before=before)
        assert made.num_frames == 18
        assert np.array_equal(made.frames[4:] if before else made.frames[:14], given.frames)
    assert filmed("edit", video=given.cut(slice(most - 1)), strength=0.3).num_frames == most - 1
    first, last = given.cut(slice(1)), given.cut(slice(-1, None))
    made = filmed("first_last", pictures=((first, 0.0), (last, (most - 1) / 8)), seconds=most / 8)
    assert made.num_frames == most
    if factor > 1:
        with pytest.raises(InputError, match=r"films \d frames as one; place them further apart"):
            filmed("keyframes", pictures=((first, 1 / 8), (last, 2 / 8)), seconds=most / 8)
    assert main(["generate", "a square", "--model", str(film), "--steps", "2", "-o", str(tmp_path / "a.mp4")]) == 0
    if kind.startswith("own"):
        shutil.rmtree(folder)
        assert load(film).autoencoder.time_factor == factor, "our own is copied"
        return
    shutil.rmtree(folder)
    with pytest.raises(ModelError, match="needs its autoencoder"):
        load(film)
    autoencoder(kind, film / kind, seed=1)
    with pytest.raises(ModelError, match="was trained with other weights of the autoencoder"):
        load(film)


def test_a_known_picture_stands_where_it_was_placed(clips: Path, tmp_path: Path) -> None:
    folder = autoencoder("own4", tmp_path / "own")
    data = {**vars(RECIPE), "autoencoder": str(folder), "frames": 3}
    engine = DiTEngine(train_video(clips, out=tmp_path / "run", steps=1, recipe=FilmRecipe(**data)))
    given, ae = Clip.open(clips / "0.mp4"), engine.model.autoencoder
    one = FilmRequest(workflow="keyframes", prompt="", steps=2, pictures=((given.cut(slice(1)), 0.0),), seconds=9 / 8)
    made = engine.film(one)[0]
    true = ae.decode_frames(ae.encode_frames(given.frames[:1]))[0]
    assert np.abs(made.frames[0].astype(int) - true).max() <= 2


def test_windows_lie_as_far_apart_in_time_as_their_frames(clips: Path, tmp_path: Path) -> None:
    folder = autoencoder("own4", tmp_path / "own")
    train_video(
        clips, out=tmp_path / "run", steps=1, recipe=FilmRecipe(**{**vars(RECIPE), "autoencoder": str(folder), "frames": 3})
    )
    cache, seen = LatentCache(tmp_path / "run" / "latents"), list[DiTInput]()

    def network(given: DiTInput) -> dict[str, torch.Tensor]:
        seen.append(given)
        return {"video": given.video}

    lesson = ClipsLesson(cache, FilmRecipe(**{**vars(RECIPE), "frames": 3, "pictures_first": 0.0, "picture_share": 0.0}))
    lesson.losses(network, 0, 1.0, torch.device("cpu"))
    torch.testing.assert_close(seen[0].time_s[0], torch.tensor([0.0, 0.5, 1.0]))
    assert cache.buckets(3) == {(4, 8): 3} and cache.longest() == 3, "14 frames: the last 5 of a clip fill no window"


def test_bad_autoencoders_get_one_line(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", "video", "--data", str(clips), "--out", str(tmp_path / "run"), "--steps", "1"]
    parts.mochi_vae().save_pretrained(tmp_path / "mochi")
    wan = parts.wan_vae()
    wan.register_to_config(latents_mean=[0.0])
    wan.save_pretrained(tmp_path / "means")
    for given, message in (
        ([str(tmp_path / "nowhere")], "no autoencoder at"),
        ([str(tmp_path / "mochi")], "of kind 'AutoencoderKLMochi'; expected one of AutoencoderKLWan"),
        ([str(tmp_path / "means")], "has 1 means and 16 deviations of latents"),
        (
            [str(autoencoder("ltx", tmp_path / "ltx")), "--short-side", "48"],
            "short_side 48: expected a multiple of the patch",
        ),
    ):
        assert main([*arguments, "--autoencoder", *given]) == 2
        line = capsys.readouterr().err
        assert message in line and line.count("\n") == 1
    assert main(["train", "world", "--data", str(clips), "--autoencoder", "x"]) == 2
    assert "--autoencoder goes with the recipe video, not with world" in capsys.readouterr().err


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


def test_a_run_begins_with_the_parts_of_its_model_wherever_they_lie_and_with_no_others(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, encoder = autoencoder("own-1", tmp_path / "own"), text_encoder(tmp_path / "umt5")
    wish = {**vars(RECIPE), "autoencoder": str(own), "text_encoder": str(encoder)}
    train_video(clips, out=tmp_path / "run", steps=1, recipe=FilmRecipe(**wish))
    shutil.move(encoder, tmp_path / "run" / "film" / "umt5")
    monkeypatch.chdir(tmp_path)
    recipe = FilmRecipe(begin="run", batch=4, compile=False, shortcut_share=0.5)
    few = read_config(train_video(clips, out=tmp_path / "few", steps=1, recipe=recipe))
    assert isinstance(few, DiTModelConfig) and few.text_encoder == str(tmp_path / "run" / "film" / "umt5")
    with pytest.raises(InputError, match="knows few steps"):
        train_video(clips, out=tmp_path / "none", steps=1, recipe=FilmRecipe(begin="few"))
    text_encoder(tmp_path / "run" / "film" / "umt5", seed=1)
    with pytest.raises(ModelError, match="is another one than this was trained with"):
        train_video(clips, out=tmp_path / "none", steps=1, recipe=recipe)
    autoencoder("own-1", tmp_path / "run" / "film" / "codec", seed=1)
    with pytest.raises(ModelError, match="was trained with other weights of the autoencoder"):
        train_video(clips, out=tmp_path / "none", steps=1, recipe=recipe)
