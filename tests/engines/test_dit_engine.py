"""A model of the general network as an engine: what is known stands, the rest is sampled, all that uses engines works with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import kinema
from kinema.autoencoder import load_autoencoder, to_uint8, to_unit
from kinema.cli.main import main
from kinema.diffusion.flow import draw_levels, sample, sampling_levels
from kinema.engines import Cancelled, FilmRequest
from kinema.engines.dit_engine import DiTEngine
from kinema.engines.opening import capabilities_for, entry_of_source, open_engine
from kinema.errors import InputError
from kinema.media import Clip
from kinema.models.dit import DiT, DiTConfig
from kinema.models.dit_model import DiTModel, DiTModelConfig
from kinema.models.hub import load, save, weights_folder

NETWORK = DiTConfig(width=32, depth=2, heads=2, channels=24, patch=2, time_every=1, text_dim=384)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model that films 8 frames of 48x32 at once."""
    torch.manual_seed(0)
    network = DiT(NETWORK)
    torch.nn.init.normal_(network.modulation.bias, std=0.3)
    config = DiTModelConfig(
        name="film-test", network=NETWORK, autoencoder="codec-8x8", width=48, height=32, fps=8.0, frames=8, film={"about": "tests"}
    )  # fmt: skip
    made = tmp_path_factory.mktemp("models") / "film"
    save(made, config, network.state_dict(), "# film-test\n")
    return made


def clip(frames: int, width: int = 48, height: int = 32, seed: int = 0) -> Clip:
    """A soft gradient that moves."""
    y, x = np.mgrid[0:height, 0:width]
    phase = np.arange(frames)[:, None, None] * 0.2 + seed
    waves = [127 + 100 * np.sin(phase + x[None] / 9 + k) * np.cos(y[None] / 7 + k) for k in range(3)]
    return Clip(frames=np.stack(waves, -1).astype(np.uint8), fps=8.0)


def filmed(folder: Path, prompt: str, **options: Any) -> Clip:
    return kinema.generate(prompt, model=str(folder), **options)[0]


def through(given: Clip) -> np.ndarray:
    """Its pictures after the autoencoder, which is all that a model can give back of them."""
    autoencoder = load_autoencoder(weights_folder() / "codec-8x8")
    return to_uint8(autoencoder.decode(autoencoder.encode(to_unit(given.frames)[None]).float()))[0]


def test_films_are_of_the_wished_length_and_size_and_follow_seed_and_words(folder: Path) -> None:
    made = filmed(folder, "a red ball", seconds=1.0, seed=1)
    assert made.frames.shape == (8, 32, 48, 3) and made.fps == 8 and made.settings["model"] == "film"
    same = filmed(folder, "a red ball", seconds=1.0, seed=1)
    assert np.array_equal(made.frames, same.frames)
    for other in ({"seed": 2}, {"prompt": "a blue box"}):
        words = {"prompt": "a red ball", "seed": 1, **other}
        assert not np.array_equal(filmed(folder, seconds=1.0, **words).frames, made.frames)
    long = filmed(folder, "a red ball", seconds=2.5, size="50x40", fps=16)
    assert long.num_frames == 40 and long.size == "50x40"


def test_known_pictures_stand_where_they_were_placed(folder: Path) -> None:
    engine, given = DiTEngine(folder), clip(3)
    pictures = tuple((given.cut(slice(i, i + 1)), at) for i, at in enumerate((0.0, 0.5, 0.875)))
    made = engine.film(FilmRequest(workflow="keyframes", prompt="x", pictures=pictures, seconds=1.0))[0]
    expected = through(given)
    for i, number in enumerate((0, 4, 7)):
        assert np.abs(made.frames[number].astype(int) - expected[i]).max() <= 2
    assert np.abs(made.frames[2].astype(int) - expected[0]).mean() > 5, "the others are sampled"


def test_a_film_goes_on_either_way_and_keeps_what_was_given(folder: Path) -> None:
    engine, given = DiTEngine(folder), clip(6)
    for before in (False, True):
        made = engine.film(FilmRequest(workflow="extend", prompt="x", video=given, seconds=1.0, before=before))[0]
        assert made.num_frames == 14
        assert np.array_equal(made.frames[8:] if before else made.frames[:6], given.frames)


def test_an_edit_changes_nothing_outside_its_mask(folder: Path) -> None:
    engine, given = DiTEngine(folder), clip(8)
    white = np.zeros((1, 32, 48, 3), np.uint8)
    white[:, :, :16] = 255
    masked = engine.film(FilmRequest(workflow="edit", prompt="x", video=given, mask=Clip(frames=white, fps=1)))[0]
    assert np.array_equal(masked.frames[:, :, 16:], given.frames[:, :, 16:])
    assert not np.array_equal(masked.frames[:, :, :16], given.frames[:, :, :16])


def test_a_blend_leads_from_one_film_to_another(folder: Path) -> None:
    one, two = clip(3), clip(3, seed=2)
    made = DiTEngine(folder).film(FilmRequest(workflow="blend", video=one, second=two, seconds=0.5))[0]
    assert (
        made.num_frames == 10 and np.array_equal(made.frames[:3], one.frames) and np.array_equal(made.frames[7:], two.frames)
    )


def test_it_is_found_by_folder_and_says_what_it_can(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entry = entry_of_source(str(folder))
    assert entry is not None and isinstance(open_engine(entry), DiTEngine)
    known = capabilities_for(entry)
    assert known.size == (48, 32) and known.fps == 8 and {"generate", "keyframes", "extend", "edit"} <= {*known.workflows}
    assert len(known.weights_sha256) == 64
    assert main(["models", "show", str(folder)]) == 0
    assert '"family": "DiT"' in capsys.readouterr().out
    with pytest.raises(InputError, match="no state of objects"):
        kinema.World(str(folder))
    with pytest.raises(InputError, match="takes no camera"):
        DiTEngine(folder).film(FilmRequest(workflow="generate", prompt="x", camera=((0.0, 5.0, 5.0, 1.0),)))


def test_it_stops_between_steps(folder: Path) -> None:
    seen: list[int] = []
    with pytest.raises(Cancelled):
        DiTEngine(folder).film(
            FilmRequest(workflow="generate", prompt="x"), lambda _, done, of: seen.append(done), lambda: len(seen) >= 3
        )
    assert seen == [1, 2, 3]


def test_a_world_does_not_film(folder: Path) -> None:
    given = load(folder)
    assert isinstance(given, DiTModel)
    config = replace(given.config, film=None, world={"env": "Pong"})
    with pytest.raises(InputError, match="world model of Pong, not one that films"):
        DiTEngine(DiTModel(config, given.network, given.autoencoder))


def test_the_sampler_ends_at_the_estimate_and_leaves_what_is_known() -> None:
    target, known = torch.full((1, 3, 2), 4.0), torch.full((1, 3, 2), 7.0)
    unknown = torch.tensor([[1.0, 0.0, 1.0]])
    levels: list[float] = []

    def estimate(noisy: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        levels.append(float(level.max()))
        assert level[0, 1] == 0 and (noisy[0, 1] == 7).all()
        return target

    made = sample(estimate, torch.randn(1, 3, 2), unknown, known, sampling_levels(4))
    assert (made[0, [0, 2]] == 4).all() and (made[0, 1] == 7).all()
    assert levels[0] == 1.0 and levels == sorted(levels, reverse=True) and len(levels) == 4


def test_an_edit_begins_from_what_is_given_noised_to_its_strength() -> None:
    known, noise = torch.full((1, 2, 3), 5.0), torch.randn(1, 2, 3)
    first: list[torch.Tensor] = []

    def estimate(noisy: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        first.append(noisy)
        return noisy

    sample(estimate, noise, torch.ones(1, 2), known, [0.3, 0.0])
    torch.testing.assert_close(first[0], 0.7 * known + 0.3 * noise)


def test_levels_lean_to_noise_and_a_share_is_pure() -> None:
    drawn = draw_levels((20_000,), torch.Generator().manual_seed(0), shift=2.0, pure=0.25)
    assert drawn.min() > 0 and drawn.max() == 1.0
    assert abs(float((drawn == 1).float().mean()) - 0.25) < 0.02
    assert 0.6 < float(drawn[drawn < 1].median()) < 0.72, "2 / 3, which shifting moves one half to"
