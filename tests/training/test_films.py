"""Training a model that films: what a row shows, held-out clips, resuming, and filming with the result."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import kinema
from kinema.cli.main import main
from kinema.datasets.clip_batches import ClipBatch, WindowMix, kind_weights
from kinema.datasets.latent_cache import LatentCache
from kinema.diffusion.flow import mean_one
from kinema.errors import InputError
from kinema.inference.dit_films import fill_frames
from kinema.media import Clip
from kinema.models.dit import DiTInput
from kinema.models.dit_model import DiTModel, DiTModelConfig
from kinema.models.hub import read_config
from kinema.training import checkpoint
from kinema.training.clip_usage import clip_usage
from kinema.training.film_lesson import ClipsLesson, FilmRecipe, draw_film_levels, draw_known, film_loss
from kinema.training.films import train_video
from kinema.training.parallel import Share

RECIPE = FilmRecipe(size="nano", frames=4, batch=4, short_side=32, fps=8.0, compile=False)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six clips of a bright square that goes right or down, with a text beside each."""
    folder = tmp_path_factory.mktemp("clips")
    for number in range(6):
        frames = np.full((10, 32, 48, 3), 40, np.uint8)
        for t in range(10):
            at = 4 + 2 * t
            rows, columns = (slice(8, 16), slice(at, at + 8)) if number % 2 else (slice(at, at + 8), slice(8, 16))
            frames[t, rows, columns] = (220, 60, 30 * number)
        Clip(frames=frames, fps=8.0).save(folder / f"{number}.mp4")
        (folder / f"{number}.txt").write_text("a square goes " + ("right" if number % 2 else "down"))
    return folder


@pytest.fixture(scope="module")
def film(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_video(clips, out=tmp_path_factory.mktemp("run"), steps=3, recipe=RECIPE)


def test_known_frames_are_never_all_and_lie_in_every_way() -> None:
    known = draw_known(200, 5, torch.Generator().manual_seed(0))
    assert not known.all(1).any() and known.any(1).float().mean() > 0.9
    first = (known[:, 0] & ~known[:, -1]).any()
    last = (~known[:, 0] & known[:, -1]).any()
    both = (known[:, 0] & known[:, -1] & ~known[:, 2]).any()
    assert first and last and both


def test_rows_have_one_level_or_known_frames_or_levels_of_their_own() -> None:
    recipe = replace(RECIPE, known_share=0.3, forcing_share=0.3)
    level = draw_film_levels(recipe, 2000, 6, torch.Generator().manual_seed(0))
    known = (level == 0).any(1)
    one = (level == level[:, :1]).all(1)
    assert 0.25 < known.float().mean() < 0.33
    assert 0.35 < one.float().mean() < 0.45
    assert not (level == 0).all(1).any() and level.max() == 1.0


def test_pictures_come_first_as_many_as_a_step_of_clips_has_frames(film: Path) -> None:
    cache, seen = LatentCache(film.parent / "latents"), list[DiTInput]()

    def network(given: DiTInput) -> dict[str, Tensor]:
        seen.append(given)
        return {"video": given.video}

    lesson = ClipsLesson(cache, replace(RECIPE, pictures_first=0.5, picture_share=0.0, lengths=1, rates=1))
    early, late = (lesson.losses(network, 7, done, torch.device("cpu")) for done in (0.4, 0.6))
    assert (list(early), list(late)) == (["pictures"], ["video"])
    assert [tuple(given.video.shape[:2]) for given in seen] == [(16, 1), (4, 4)]
    assert seen[0].text is not None and len(seen[0].text) == 16
    often = ClipsLesson(cache, replace(RECIPE, pictures_first=0.0, picture_share=0.3))
    kinds = [next(iter(often.losses(network, step, 0.9, torch.device("cpu")))) for step in range(100)]
    assert 15 <= kinds.count("pictures") <= 45


def test_levels_of_films_lie_nearer_to_noise_than_those_of_pictures() -> None:
    generator = torch.Generator().manual_seed(0)
    recipe = replace(RECIPE, known_share=0.0, forcing_share=0.0, pure_share=0.0)
    pictures, films = (draw_film_levels(recipe, 4000, frames, generator)[:, 0].median() for frames in (1, 12))
    assert abs(float(pictures) - 0.6) < 0.02 and abs(float(films) - 0.839) < 0.02


def test_levels_of_larger_films_lie_nearer_to_noise_unless_the_run_is_from_before_that() -> None:
    seen = dict[tuple[bool, int], float]()
    recipe = replace(RECIPE, known_share=0.0, forcing_share=0.0, pure_share=0.0, batch=2000, lengths=1, rates=1)
    for by_size in (True, False):
        for side in (8, 16):
            lesson = ClipsLesson(Noise(side), replace(recipe, shift_by_size=by_size, frames=2, pictures_first=0.0))
            levels: list[Tensor] = []

            def network(given: DiTInput, levels: list[Tensor] = levels) -> dict[str, Tensor]:
                levels.append(given.level)
                return {"video": given.video}

            lesson.losses(network, 0, 1.0, torch.device("cpu"))
            median = float(levels[0][:, 0].median())
            seen[by_size, side] = median / (1 - median)
    assert abs(seen[True, 16] / seen[True, 8] - 2) < 0.2
    assert seen[False, 16] == seen[False, 8] == seen[True, 8]


class Noise:
    """Clips of so many latents to a side, each two frames or one."""

    channels, text_dim, names, time_factor = 1, 4, ("a",), 1

    def __init__(self, side: int) -> None:
        self.side = side

    def buckets(self, frames: int) -> dict[tuple[int, int], int]:
        return {(self.side, self.side): 1}

    def sample_batch(self, seed: int, step: int, rows: int, frames: int, **_: object) -> ClipBatch:
        return ClipBatch(
            latents=torch.zeros(rows, frames, 1, self.side, self.side), fps=torch.full((rows,), 8.0),
            text_states=torch.zeros(rows, 1, 4), text_mask=torch.ones(rows, 1, dtype=torch.bool), names=("a",) * rows,
            captions=("a",) * rows,
        )  # fmt: skip


def test_known_frames_are_shown_clean_and_not_asked_for() -> None:
    torch.manual_seed(0)
    batch = ClipBatch(
        latents=torch.randn(2, 3, 4, 2, 2), fps=torch.tensor([8.0, 4.0]), text_states=torch.randn(2, 5, 6),
        text_mask=torch.ones(2, 5, dtype=torch.bool), names=("a", "b"), captions=("a", "b"),
    )  # fmt: skip
    level = torch.tensor([[0.0, 1.0, 0.5], [1.0, 0.0, 1.0]])
    noise, seen = torch.randn(batch.latents.shape), list[DiTInput]()

    def network(given: DiTInput) -> dict[str, Tensor]:
        seen.append(given)
        wrong_where_known = (level == 0)[..., None, None, None] * 100.0
        return {"video": batch.latents + wrong_where_known}

    weight = mean_one((level > 0).float())
    loss = film_loss(network, batch, level, weight, torch.tensor([True, False]), noise, torch.device("cpu"))
    assert float(loss) == 0.0
    given = seen[0]
    assert torch.equal(given.video[0, 0], batch.latents[0, 0]) and torch.equal(given.video[0, 1], noise[0, 1])
    torch.testing.assert_close(given.time_s, torch.tensor([[0.0, 0.125, 0.25], [0.0, 0.25, 0.5]]))
    assert given.text_mask is not None and given.text_mask[0].all() and not given.text_mask[1].any()


def test_the_model_films_and_its_card_has_held_out_figures(film: Path, clips: Path) -> None:
    config = read_config(film)
    figures = config.trained["figures"]
    assert {
        f"{which}_{level:g}" for which in ("held_out", "untrained") for level in (0.25, 0.5, 0.75, 1.0)
    } == figures.keys()
    assert config.trained["steps"] == 3 and (film.parent / "films.png").exists()
    assert "| 0.5 |" in (film / "README.md").read_text()
    made = kinema.generate("a square goes right", model=str(film), seconds=0.5)[0]
    assert made.frames.shape == (4, 32, 48, 3)


def test_a_run_goes_on_bit_for_bit_and_not_with_other_clips(clips: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, pictures_first=0.2)  # a share of either length, and the first step of both
    train_video(clips, out=tmp_path / "a", steps=4, recipe=recipe)
    train_video(clips, out=tmp_path / "b", steps=2, recipe=recipe)
    train_video(clips, out=tmp_path / "b", steps=4, resume=True)
    a, b = (checkpoint.load_checkpoint(tmp_path / name) for name in "ab")
    assert b["step"] == 4 and all(torch.equal(x, b["model"][name]) for name, x in a["model"].items())
    (clips / "0.txt").write_text("something else")
    try:
        with pytest.raises(InputError, match="other clips than those"):
            train_video(clips, out=tmp_path / "b", steps=5, resume=True, recipe=RECIPE)
    finally:
        (clips / "0.txt").write_text("a square goes down")
    with pytest.raises(InputError, match="holds a run already"):
        train_video(clips, out=tmp_path / "a", steps=5, recipe=RECIPE)


def test_a_run_for_few_steps_begins_as_the_model_it_begins_with_and_its_sampler_names_the_size(
    clips: Path, film: Path, tmp_path: Path
) -> None:
    recipe = FilmRecipe(begin=str(film.parent), shortcut_share=1.0, batch=4, compile=False, picture_share=0.0, seed=3)
    made = train_video(clips, out=tmp_path / "few", steps=4, recipe=recipe)
    config, before = read_config(made), read_config(film)
    assert isinstance(config, DiTModelConfig) and isinstance(before, DiTModelConfig)
    assert config.network == replace(before.network, step_sizes=True) and config.frames == before.frames
    figures = config.trained["figures"]
    for level in ("0.25", "1"):  # weights in bfloat16 are taken over
        assert abs(figures[f"untrained_{level}"] - before.trained["figures"][f"held_out_{level}"]) < 0.02
    shown = checkpoint.load_checkpoint(tmp_path / "few")["running"]
    assert shown.keys() == {"long steps"}
    train_video(clips, out=tmp_path / "few", steps=5, resume=True)
    model, sizes = kinema.load(made), list[float]()
    assert isinstance(model, DiTModel) and model.network.step_in is not None
    assert model.network.step_in.weight.abs().max() > 0
    model.network.register_forward_pre_hook(lambda _, given: sizes.append(float(given[0].step_size[0])))
    latents = torch.zeros(1, 4, 24, 4, 6)
    for steps, strength, wanted in ((2, 1.0, 0.5), (3, 1.0, 0.0), (2, 0.7, 0.0)):
        fill_frames(
            model, latents, torch.ones(1, 4), prompt="", seed=0, fps=8.0, steps=steps, guidance=1.0, strength=strength
        )
        assert sizes == [wanted] * steps
        sizes.clear()


def test_known_latents_inside_frames_stand_while_the_others_are_filmed(film: Path) -> None:
    model, levels = kinema.load(film), list[Tensor]()
    assert isinstance(model, DiTModel)
    model.network.register_forward_pre_hook(lambda _, given: levels.append(given[0].level))
    known = torch.randn(1, 4, 24, 4, 6, generator=torch.Generator().manual_seed(0))
    unknown = torch.ones(1, 4, 4, 6)
    unknown[:, :, 1:3, 2:4] = 0
    made = fill_frames(model, known, unknown, prompt="a square", seed=0, fps=8.0, steps=2, guidance=2.0)
    stands = (unknown == 0)[:, :, None].expand_as(made)
    assert torch.equal(made[stands], known[stands]) and not (made == known)[~stands].any()
    assert all(torch.equal(level > 0, (unknown > 0).expand(2, -1, -1, -1)) for level in levels) and len(levels) == 2


def test_long_steps_are_taught_in_their_share_of_the_steps_and_end_where_two_do(film: Path) -> None:
    cache = LatentCache(film.parent / "latents")
    recipe, seen = (
        replace(RECIPE, shortcut_share=0.4, shortcuts_from=0.5, picture_share=0.0, pictures_first=0.0, lengths=1, rates=1),
        list[DiTInput](),
    )

    def network(given: DiTInput) -> dict[str, Tensor]:
        seen.append(given)
        return {"video": torch.full_like(given.video, 0.25)}

    lesson, cpu = ClipsLesson(cache, recipe), torch.device("cpu")
    assert {next(iter(lesson.losses(network, step, 0.4, cpu))) for step in range(30)} == {"video"}
    kinds = [next(iter(lesson.losses(network, step, 0.6, cpu))) for step in range(100)]
    assert 25 <= kinds.count("long steps") <= 55
    step = kinds.index("long steps")
    seen.clear()
    assert float(lesson.losses(network, step, 0.6, cpu)["long steps"]) < 1e-8
    begin, middle, taught = seen
    assert taught.step_size is not None and begin.step_size is not None and torch.equal(begin.level, taught.level)
    torch.testing.assert_close(begin.video, taught.video)
    assert ((middle.level < begin.level) | (begin.level == 0)).all()
    whole = taught.step_size
    assert torch.equal(begin.step_size, torch.where(whole == 1 / 8, 0.0, whole / 2))
    parts = [lesson.losses(network, step, 0.6, cpu, Share(number=i, of=2))["long steps"] for i in range(2)]
    assert float(torch.stack(parts).mean()) < 1e-8
    halves = [one.video for one in seen if len(one.video) == 2][2::3]
    torch.testing.assert_close(torch.cat(halves), taught.video)


def test_a_mixture_goes_on_bit_for_bit_and_not_with_other_weights(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, recipe = tmp_path / "other", replace(RECIPE, pictures_first=0.2)
    other.mkdir()
    for number in range(3):
        Clip(frames=np.full((8, 32, 48, 3), 60 * number, np.uint8), fps=8.0).save(other / f"{number}.mp4")
        (other / f"{number}.txt").write_text("nothing at all")
    data = [(clips, 1.0), (other, 2.0)]
    film = train_video(data, out=tmp_path / "a", steps=4, recipe=recipe)
    train_video(data, out=tmp_path / "b", steps=2, recipe=recipe)
    again = ["train", "video", "--data", str(clips), "--data", f"{other}=2", "--resume", str(tmp_path / "b"), "--steps", "4"]
    assert main(again) == 0
    a, b = (checkpoint.load_checkpoint(tmp_path / name)["model"] for name in "ab")
    assert all(torch.equal(x, b[name]) for name, x in a.items())
    config = read_config(film)
    assert config.name == f"film-{clips.name}-other" and config.trained["clips"] == 9
    assert len(LatentCache(tmp_path / "a" / "latents-2").names) == 3
    again[5] = str(other)
    capsys.readouterr()
    assert main(again) == 2 and "holds other clips than those" in capsys.readouterr().err


def test_the_set_that_makes_stretches_short_is_named(clips: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, frames in (("short", 3), ("stills", 1)):
        (tmp_path / name).mkdir()
        for number in range(3):
            Clip(frames=np.full((frames, 32, 48, 3), 60 * number, np.uint8), fps=8.0).save(tmp_path / name / f"{number}.mp4")
            (tmp_path / name / f"{number}.txt").write_text("nothing at all")
    caplog.set_level("INFO")
    alike = replace(RECIPE, lengths=1, rates=1)
    film = train_video([(clips, 1.0), (tmp_path / "short", 1.0)], out=tmp_path / "a", steps=1, recipe=alike)
    assert f"clips of {tmp_path / 'short'} are short: training takes 3 frames at a time" in caplog.text
    assert read_config(film).frames == 3
    with pytest.raises(InputError, match=r"stills: the longest clips .* have 1 frame; expected 2 or more"):
        train_video([(clips, 1.0), (tmp_path / "stills", 1.0)], out=tmp_path / "b", steps=1, recipe=RECIPE)


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of 1 to 16 frames, of two shapes and two rates."""
    folder = tmp_path_factory.mktemp("uneven")
    lengths = {"a": 16, "b": 16, "c": 5, "d": 3, "e": 1, "f": 16, "g": 2, "h": 12, "i": 12, "j": 12}
    for number, (name, count) in enumerate(lengths.items()):
        high, wide = (48, 32) if name == "f" else (32, 48)
        frames = np.full((count, high, wide, 3), 20 * number, np.uint8)
        for t in range(count):
            frames[t, 8:16, 2 * t : 2 * t + 8] = 250 - 20 * number
        Clip(frames=frames, fps=4.0 if name in "bc" else 8.0).save(folder / f"{name}.mp4")
        (folder / f"{name}.txt").write_text(f"a square, the {number}th")
    return folder


@pytest.fixture(scope="module")
def varied(uneven: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_video(
        uneven, out=tmp_path_factory.mktemp("run"), steps=4, recipe=replace(RECIPE, frames=8, pictures_first=0.2)
    )


def test_a_set_without_a_clip_for_the_shortest_windows_is_named(uneven: Path, tmp_path: Path) -> None:
    (tmp_path / "short").mkdir()
    for number in range(3):
        Clip(frames=np.full((2, 32, 48, 3), 60 * number, np.uint8), fps=8.0).save(tmp_path / "short" / f"{number}.mp4")
        (tmp_path / "short" / f"{number}.txt").write_text("nothing at all")
    data = [(uneven, 1.0), (tmp_path / "short", 1.0)]
    with pytest.raises(InputError, match=r"short: the longest clip for training has 2 frames, the shortest windows have 3"):
        train_video(data, out=tmp_path / "a", steps=1, recipe=replace(RECIPE, frames=12))
    train_video(data, out=tmp_path / "b", steps=2, recipe=replace(RECIPE, frames=12, lengths=4, pictures_first=0.2))


def test_batches_have_one_shape_length_and_rate_and_short_clips_are_used(varied: Path) -> None:
    cache, mix = LatentCache(varied.parent / "latents"), WindowMix(lengths=(8, 4, 2), rates=2)
    seen, used = set(), set()
    lengths = {clip["name"]: sum(clip["pieces"]) for clip in cache._clips}
    for step in range(400):
        kind = cache.choose_kind(3, step, mix)
        batch = cache.sample_batch(3, step, 4, kind.frames, mix=mix)
        assert batch.latents.shape[1] == kind.frames and batch.latents.shape[3:] == (kind.height, kind.width)
        assert batch.fps.tolist() == [kind.fps] * 4
        seen.add((kind.frames, kind.fps))
        used |= set(batch.names)
    assert seen == {(8, 8.0), (8, 4.0), (4, 8.0), (4, 4.0), (4, 2.0), (2, 8.0), (2, 4.0), (2, 2.0), (8, 2.0)}
    assert used == {name for name, length in lengths.items() if length >= 2 and name not in cache.held_out}
    assert len(used) < len(lengths) - len(cache.held_out), "a clip of one frame gives pictures alone"


def test_windows_of_a_lower_rate_are_frames_of_the_clip_at_their_real_times(varied: Path) -> None:
    cache, mix = LatentCache(varied.parent / "latents"), WindowMix(lengths=(4,), rates=3)
    numbers = {name: i for i, name in enumerate(cache.names)}
    found = set()
    for step in range(120):
        batch = cache.sample_batch(1, step, 2, 4, mix=mix)
        for name, fps, latents in zip(batch.names, batch.fps.tolist(), batch.latents, strict=True):
            clip = cache._clips[numbers[name]]
            whole = torch.cat([cache._piece(numbers[name], i, 0, n) for i, n in enumerate(clip["pieces"])]).float()
            stride = round(clip["fps"] / fps)
            found.add(stride)
            starts = range(len(whole) - 3 * stride)
            assert any(torch.equal(whole[at : at + 3 * stride + 1 : stride], latents) for at in starts)
    assert found == {1, 2, 3}


def test_how_often_a_kind_is_drawn_is_what_the_report_says(varied: Path) -> None:
    cache, mix = LatentCache(varied.parent / "latents"), WindowMix(lengths=(8, 4, 2), rates=2)
    drawn = [cache.choose_kind(0, step, mix) for step in range(3000)]
    kinds = cache.kinds(mix)
    for kind, share in zip(kinds, kind_weights(kinds), strict=True):
        assert drawn.count(kind) / len(drawn) == pytest.approx(float(share), abs=0.03), kind
    (told,) = clip_usage([("x", cache)], replace(RECIPE, frames=8), 8)
    assert told["clips"] + told["held_out"] == len(cache.names) and told["pictures"] >= 1
    assert {(row["size"], row["frames"], row["fps"], row["clips"]) for row in told["kinds"]} == {
        (f"{8 * kind.width}x{8 * kind.height}", kind.frames, kind.fps, some.num_clips) for kind, some in kinds.items()
    }
    assert sum(row["share"] for row in told["kinds"]) == pytest.approx(1, abs=0.01)


def test_the_network_is_given_seconds_and_as_many_frames_whatever_the_length(varied: Path) -> None:
    cache, seen = LatentCache(varied.parent / "latents"), list[DiTInput]()

    def network(given: DiTInput) -> dict[str, Tensor]:
        seen.append(given)
        return {"video": given.video}

    lesson = ClipsLesson(cache, replace(RECIPE, frames=8, pictures_first=0.0, picture_share=0.0))
    for step in range(60):
        lesson.losses(network, step, 0.9, torch.device("cpu"))
    assert {tuple(given.video.shape[:2]) for given in seen} == {(4, 8), (8, 4), (16, 2)}
    assert {round(float(given.time_s[0, 1]), 3) for given in seen} == {0.125, 0.25, 0.5}


def test_a_varied_run_goes_on_bit_for_bit_and_not_with_other_lengths(
    uneven: Path, varied: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("INFO")
    recipe = replace(RECIPE, frames=8, pictures_first=0.2)
    train_video(uneven, out=tmp_path / "b", steps=2, recipe=recipe)
    assert "clips for training" in caplog.text and "frames at 8 a second" in caplog.text
    assert "give single pictures alone" in caplog.text
    again = ["train", "video", "--data", str(uneven), "--resume", str(tmp_path / "b"), "--steps", "4", "--batch", "4"]
    assert main(again) == 0
    a, b = (checkpoint.load_checkpoint(at)["model"] for at in (varied.parent, tmp_path / "b"))
    assert all(torch.equal(x, b[name]) for name, x in a.items())
    capsys.readouterr()
    assert main([*again, "--lengths", "1"]) == 2
    said = capsys.readouterr().err
    assert "go on with --lengths 3 --rates 2" in said and said.count("\n") == 1
    card = (varied / "README.md").read_text()
    assert "48x32, 8 frames at 8 a second" in card and "give single pictures alone" in card


def test_a_run_from_before_lengths_varied_goes_on_as_it_began(clips: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, pictures_first=0.2, lengths=1, rates=1)
    for name in "ab":
        train_video(clips, out=tmp_path / name, steps=2, recipe=recipe)
    state = checkpoint.load_checkpoint(tmp_path / "b")
    del state["recipe"]["lengths"], state["recipe"]["rates"]
    checkpoint.save_checkpoint(tmp_path / "b", state)
    for name in "ab":
        train_video(clips, out=tmp_path / name, steps=4, resume=True)
    a, b = (checkpoint.load_checkpoint(tmp_path / name)["model"] for name in "ab")
    assert all(torch.equal(x, b[name]) for name, x in a.items())


def test_bad_wishes_get_one_line(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        (["train", "video"], "needs --data DIR"),
        (["train", "video", "--data", str(clips), "--size", "M"], "expected one of nano, XXS, XS"),
        (["train", "video", "--data", str(clips), "--camera", "top"], "goes with the recipe world"),
        (["train", "video", "--data", str(clips), "--patch", "0"], "patch 0: expected 1 to 8"),
        (["train", "world", "--data", str(clips), "--patch", "1"], "--patch goes with the recipe video, not with world"),
        (["train", "world", "--data", str(clips), "--few-steps"], "--few-steps goes with the recipe video, not with world"),
        (["train", "video", "--data", str(clips), "--begin", str(tmp_path)], "no model"),
        (["train", "video", "--data", str(clips), "--begin", "kinema-tiny"], "expected a model of kinema train video"),
        (["train", "video", "--data", str(clips), "--begin", "x", "--size", "XS"], "--size does not go with --begin"),
        (["train", "video", "--data", str(clips), "--begin", "x", "--frames", "4"], "--frames does not go with --begin"),
        (
            ["train", "video", "--data", str(clips), "--resume", str(tmp_path), "--few-steps"],
            "--few-steps goes with a new run",
        ),
        (["train", "world", "--data", str(clips), "--lengths", "1"], "--lengths goes with the recipe video, not with world"),
        (["train", "video", "--data", str(clips), "--lengths", "9"], "lengths 9, rates 2: expected 1 to 8 of both"),
        (["train", "video", "--data", str(clips), "--frames", "1"], "1 frames, 64 px"),
        (["train", "smoke", "--size", "XS"], "--size goes with the recipe world or video, not with smoke"),
        (["train", "video", "--data", str(clips), "--steps", "0"], "0 steps: expected 1 or more"),
        (["train", "video", "--data", str(clips), "--resume", str(tmp_path)], "holds no checkpoint"),
        (["train", "video", "--data", str(clips), "--seed", "-1"], "expected 0 to"),
    ):
        assert main(arguments) == 2
        said = capsys.readouterr().err
        assert message in said and said.count("\n") == 1
