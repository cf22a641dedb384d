"""Latents are those of the autoencoder, batches a pure function of seed and step, and a killed build goes on."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.datasets.films import captioned_folder

from kinema.autoencoder import Autoencoder, AutoencoderConfig, IdentityAutoencoder
from kinema.datasets import latent_shards
from kinema.datasets.clip_batches import HELD_OUT_SHARE, ClipBatch, Mixture, held_out_names
from kinema.datasets.clips import CaptionedClips
from kinema.datasets.latent_cache import LatentCache, LatentCacheConfig
from kinema.errors import InputError, MediaError
from kinema.text import MiniLM, default_encoder

SIZES = {"a": (30, 48, 64), "b": (20, 64, 48), "c": (24, 48, 80), "d": (12, 50, 64), "e": (40, 48, 64)}
CONFIG = LatentCacheConfig(short_side=32, patch_px=16, fps=6.0, max_tokens=12, piece_frames=8)


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> CaptionedClips:
    return CaptionedClips.open(captioned_folder(tmp_path_factory.mktemp("clips"), SIZES))


@pytest.fixture(scope="session")
def text() -> MiniLM:
    return default_encoder()


def built(clips: CaptionedClips, folder: Path, text: MiniLM, config: LatentCacheConfig = CONFIG) -> LatentCache:
    return LatentCache.build(clips, folder, autoencoder=IdentityAutoencoder(), text=text, config=config)


@pytest.fixture(scope="session")
def cache(clips: CaptionedClips, text: MiniLM, tmp_path_factory: pytest.TempPathFactory) -> LatentCache:
    return built(clips, tmp_path_factory.mktemp("caches") / "cache", text)


def same(one: ClipBatch, other: ClipBatch) -> bool:
    return one.names == other.names and one.captions == other.captions and bool((one.latents == other.latents).all())


def wide(clips: CaptionedClips) -> torch.Tensor:
    """The pictures of clip c as they should be stored, [T, 3, H, W]: 48x80 becomes 32x53, of which 48 columns stay."""
    frames = np.stack(list(clips.frames(2, size=(32, 53), fps=6.0)))[:, :, 2:50]
    return IdentityAutoencoder().encode_frames(frames).to(torch.bfloat16).float()


def test_pictures_keep_their_aspect_and_lose_less_than_a_patch(clips: CaptionedClips, cache: LatentCache) -> None:
    shapes = {}
    for held_out in (False, True):
        for step in range(30):
            batch = cache.sample_batch(0, step, 2, 6, held_out=held_out)
            shapes |= dict.fromkeys(batch.names, tuple(batch.latents.shape))
    assert {name: shape[3:] for name, shape in shapes.items()} == {
        "a": (32, 32), "b": (32, 32), "c": (32, 48), "d": (32, 32), "e": (32, 32),
    }  # fmt: skip
    assert all(shape[:3] == (2, 6, 3) for shape in shapes.values())
    whole = wide(clips)
    assert len(whole) == 12
    starts = set()
    for step in range(40):
        batch = cache.sample_batch(1, step, 4, 6, held_out="c" in cache.held_out)
        for name, latents in zip(batch.names, batch.latents, strict=True):
            if name == "c":
                at = [start for start in range(7) if torch.equal(whole[start : start + 6], latents)]
                assert len(at) == 1, "a window of the clip, across the pieces in which it is stored"
                starts.add(at[0])
    assert len(starts) >= 4 and max(starts) > 2, "long clips give random windows"


def test_faster_clips_are_brought_to_the_rate_and_slower_ones_keep_theirs(
    clips: CaptionedClips, cache: LatentCache, text: MiniLM, tmp_path: Path
) -> None:
    assert (cache.sample_batch(0, 0, 2, 6).fps == 6.0).all() and cache.longest() == 20
    slow = built(clips, tmp_path / "slow", text, LatentCacheConfig(short_side=32, fps=24.0, max_tokens=12, piece_frames=8))
    assert (slow.sample_batch(0, 0, 2, 6).fps == 12.0).all() and slow.longest() == 40


def test_text_states_are_those_of_a_caption(cache: LatentCache, text: MiniLM, tmp_path: Path) -> None:
    batch = cache.sample_batch(0, 0, 3, 6)
    states, mask = text.encode(batch.captions, max_tokens=12)
    assert batch.text_states.shape == (3, 8, 384), "as long as the longest caption needs, in steps of eight"
    assert batch.text_states.dtype == torch.float32
    assert batch.text_mask[:, : mask.shape[1]].tolist() == mask.tolist() and not batch.text_mask[:, mask.shape[1] :].any()
    np.testing.assert_allclose(batch.text_states[:, : mask.shape[1]].numpy(), states, atol=2e-2)
    condition = batch.text_condition()
    assert condition.reads.shape == (3, 6, 8) and (condition.reads == batch.text_mask[:, None]).all()
    folder = captioned_folder(tmp_path / "two", {"a": (8, 32, 32), "b": (8, 32, 32)})
    (folder / "a.json").write_text(json.dumps({"caption_short": "a pan"}))
    (folder / "b.json").write_text(json.dumps({"caption_short": "a pan"}))
    two = built(CaptionedClips.open(folder), tmp_path / "cache", text)
    seen = {caption for step in range(20) for caption in two.sample_batch(0, step, 2, 2).captions}
    assert "a pan" in seen and len(seen) == 2, "each of a clip's captions is drawn"


def test_a_batch_is_a_pure_function_of_seed_and_step(cache: LatentCache) -> None:
    again = pickle.loads(pickle.dumps(LatentCache(cache.folder)))
    batches = [cache.sample_batch(3, step, 4, 6) for step in range(6)]
    for step in (5, 0, 3):
        assert same(again.sample_batch(3, step, 4, 6), batches[step])
    assert not all(same(batches[0], batch) for batch in batches[1:])
    assert any(not same(cache.sample_batch(4, step, 4, 6), batches[step]) for step in range(6))


@pytest.mark.parametrize("world_size", [2, 4])
def test_the_shares_of_all_ranks_are_the_batch_of_one(cache: LatentCache, world_size: int) -> None:
    whole = cache.sample_batch(0, 7, 8, 6)
    shares = [cache.sample_batch(0, 7, 8, 6, rank=rank, world_size=world_size) for rank in range(world_size)]
    assert sum((share.names for share in shares), ()) == whole.names
    assert torch.equal(torch.cat([share.latents for share in shares]), whole.latents)


def test_held_out_clips_are_never_drawn_for_training(cache: LatentCache) -> None:
    training = {name for step in range(60) for name in cache.sample_batch(0, step, 4, 6).names}
    validation = {name for step in range(20) for name in cache.sample_batch(0, step, 4, 4, held_out=True).names}
    assert cache.held_out and not training & cache.held_out
    assert training == set(SIZES) - cache.held_out and validation == cache.held_out


def test_who_is_held_out_depends_on_names_alone() -> None:
    names = [f"clip-{i}" for i in range(2000)]
    some = held_out_names(names)
    assert abs(len(some) / 2000 - HELD_OUT_SHARE) < 0.02
    assert held_out_names(names[:1000][::-1]) == some & set(names[:1000])
    for count in range(2, 30):
        assert 1 <= len(held_out_names(names[:count])) < count


def test_buckets_are_drawn_in_proportion_to_their_windows(cache: LatentCache) -> None:
    lengths = {"a": 15, "b": 10, "c": 12, "d": 6, "e": 20}
    windows = {name: lengths[name] // 5 for name in SIZES if name not in cache.held_out}
    drawn = [name for step in range(400) for name in cache.sample_batch(0, step, 1, 5).names]
    for name, count in windows.items():
        assert drawn.count(name) / len(drawn) == pytest.approx(count / sum(windows.values()), abs=0.07), name


class Killed(Exception):
    pass


class KilledAt(IdentityAutoencoder):
    """Counts what it encodes and ends at a piece."""

    def __init__(self, at: int) -> None:
        self.at, self.calls = at, 0

    def encode_frames(self, frames: np.ndarray) -> torch.Tensor:
        if self.calls == self.at:
            raise Killed
        self.calls += 1
        return super().encode_frames(frames)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latent_shards, "SHARD_BYTES", 1)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("at", [0, 1, 4, 6])
def test_a_killed_build_goes_on_where_it_was(
    clips: CaptionedClips, cache: LatentCache, text: MiniLM, tmp_path: Path, at: int
) -> None:
    """KilledAt differs from the usual autoencoder by its name, so all builds here use it."""
    whole = LatentCache.build(clips, tmp_path / "whole", autoencoder=KilledAt(99), text=text, config=CONFIG)
    with pytest.raises(Killed):
        LatentCache.build(clips, tmp_path / "cut", autoencoder=KilledAt(at), text=text, config=CONFIG)
    with pytest.raises(InputError, match="is not finished; build it again"):
        LatentCache(tmp_path / "cut")
    rest = KilledAt(99)
    resumed = LatentCache.build(clips, tmp_path / "cut", autoencoder=rest, text=text, config=CONFIG)
    pieces = sum(-(-(count // 2) // 8) for count, _, _ in SIZES.values())
    assert rest.calls == pieces - at, "what was encoded is not encoded again"
    for step in range(4):
        assert same(resumed.sample_batch(0, step, 4, 6), whole.sample_batch(0, step, 4, 6))
    untouched = KilledAt(0)
    LatentCache.build(clips, tmp_path / "cut", autoencoder=untouched, text=text, config=CONFIG)


def test_a_cache_of_something_else_is_refused(
    cache: LatentCache, clips: CaptionedClips, text: MiniLM, tmp_path: Path
) -> None:
    folder = tmp_path / "cache"
    shutil.copytree(cache.folder, folder)
    built(clips, folder, text)
    other = captioned_folder(tmp_path / "other", SIZES)
    (other / "a.txt").write_text("changed")
    with pytest.raises(InputError, match="holds a latent cache of other clips;"):
        built(CaptionedClips.open(other), folder, text)
    with pytest.raises(InputError, match="of other settings;"):
        built(clips, folder, text, LatentCacheConfig(short_side=48))
    torch.manual_seed(0)
    networks = [Autoencoder(AutoencoderConfig(channels=4, width=16)) for _ in range(2)]
    config = LatentCacheConfig(short_side=32, fps=6.0)
    LatentCache.build(clips, tmp_path / "learned", autoencoder=networks[0], text=text, config=config)
    with pytest.raises(InputError, match="of other autoencoder;"):
        LatentCache.build(clips, tmp_path / "learned", autoencoder=networks[1], text=text, config=config)
    (folder / "latents-00000.safetensors").write_bytes(b"no shard")
    with pytest.raises(MediaError, match=r"latents-00000\.safetensors cannot be read"):
        LatentCache(folder).sample_batch(0, 0, 1, 4)


def test_pieces_begin_anew_for_an_autoencoder_that_mixes_frames(clips: CaptionedClips, text: MiniLM, tmp_path: Path) -> None:
    """So the first latent of every window stands for one picture, and windows can be decoded on their own."""
    torch.manual_seed(0)
    network = Autoencoder(AutoencoderConfig(channels=4, width=16, time_factor=2))
    config = LatentCacheConfig(short_side=32, fps=12.0, piece_frames=4)
    cache = LatentCache.build(clips, tmp_path / "cache", autoencoder=network, text=text, config=config)
    assert cache.longest() == 4 and cache.channels == 4
    batch = cache.sample_batch(0, 0, 4, 4)
    number = [entry.name for entry in clips.entries].index(batch.names[0])
    entry = clips.entries[number]
    (height, width), shrunk = config.cropped(entry), entry.shrunk(32)
    top, left = (shrunk[0] - height) // 2, (shrunk[1] - width) // 2
    frames = np.stack(list(clips.frames(number, size=shrunk)))[:, top : top + height, left : left + width]
    pieces = [network.encode_frames(frames[begin : begin + 7]) for begin in range(0, len(frames) - 6, 7)]
    assert any((piece - batch.latents[0]).abs().max() < 0.05 for piece in pieces)


def test_what_cannot_be_drawn_or_built_is_refused(
    cache: LatentCache, clips: CaptionedClips, text: MiniLM, tmp_path: Path
) -> None:
    for arguments, words in (
        ((0, 0, 4, 21), "21 latent frames: the longest of the clips for training"), ((0, 0, 0, 4), "0 clips"),
        ((0, -1, 4, 4), "step -1"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=words):
            cache.sample_batch(*arguments)
    with pytest.raises(InputError, match="rank 2 of 2"):
        cache.sample_batch(0, 0, 4, 4, rank=2, world_size=2)
    with pytest.raises(InputError, match="batch of 3"):
        cache.sample_batch(0, 0, 3, 4, rank=0, world_size=2)
    with pytest.raises(InputError, match="short_side 40"):
        LatentCacheConfig(short_side=40)
    with pytest.raises(InputError, match="holds no latent cache"):
        LatentCache(tmp_path)
    one = CaptionedClips.open(captioned_folder(tmp_path / "one", {"a": (6, 32, 32)}))
    with pytest.raises(InputError, match="holds one clip; expected 2 or more"):
        built(one, tmp_path / "one-cache", text)
    with pytest.raises(InputError, match="patch_px 12: expected a multiple of 8"):
        network = Autoencoder(AutoencoderConfig(channels=4, width=16))
        LatentCache.build(
            clips, tmp_path / "c", autoencoder=network, text=text, config=LatentCacheConfig(short_side=36, patch_px=12)
        )


def test_mixtures_draw_each_batch_of_one_set_by_weight(cache: LatentCache, text: MiniLM, tmp_path: Path) -> None:
    other = built(
        CaptionedClips.open(captioned_folder(tmp_path / "set", dict.fromkeys(("x", "y", "z"), (12, 32, 32)))),
        tmp_path / "c",
        text,
    )
    mixture = Mixture([(cache, 3.0), (other, 1.0)])
    batches = [mixture.sample_batch(0, step, 2, 4) for step in range(200)]
    of_other = [bool(set(batch.names) & set(other.names)) for batch in batches]
    assert 0.15 < sum(of_other) / 200 < 0.35
    assert all(set(batch.names) <= set(other.names) for batch, mine in zip(batches, of_other, strict=True) if mine)
    assert same(Mixture([(cache, 3.0), (other, 1.0)]).sample_batch(0, 77, 2, 4), batches[77])
    assert mixture.names == (*cache.names, *other.names)
    assert mixture.longest() == min(cache.longest(), other.longest())
    counts = [source.buckets(4) for source in (cache, other)]
    assert mixture.buckets(4) == {shape: sum(one.get(shape, 0) for one in counts) for shape in counts[0] | counts[1]}
    halves = [mixture.sample_batch(0, 5, 2, 4, rank=rank, world_size=2) for rank in range(2)]
    assert halves[0].names + halves[1].names == batches[5].names
    assert set(mixture.sample_batch(0, 0, 2, 4, held_out=True).names) <= cache.held_out | other.held_out
    for sources, words in (([], "a mixture of nothing"), ([(cache, 0.0)], "weight 0.0")):
        with pytest.raises(InputError, match=words):
            Mixture(sources)
