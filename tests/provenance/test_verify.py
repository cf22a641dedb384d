"""Laws of the check: only a trusted manifest says who made a film; the public mark and the tags are told, and prove nothing."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import av
import numpy as np
import pytest

pytest.importorskip("c2pa")

from kinema.cli import verify as verb
from kinema.errors import InputError, MediaError
from kinema.media import Clip, Limits
from kinema.playground import simulate, tiny
from kinema.playground.renderer import render_scene
from kinema.provenance import (
    Identity,
    Ingredient,
    archive_ingredient,
    mark,
    own_identity,
    same_content,
    sign,
    small_copies,
    verify,
)

ID = 0x00DECADE42


@pytest.fixture(scope="module")
def me(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return own_identity(tmp_path_factory.mktemp("home") / "identity")


def film(path: Path, *, marked: bool = True) -> Path:
    frames = render_scene(simulate(tiny(), 5, fps=16.0, num_frames=32).scene, height=64, width=64)
    return Clip(frames=mark(frames, ID) if marked else frames, fps=16.0, settings={"seed": 1}).save(path, force=True)


def signed(path: Path, me: Identity, *, marked: bool = True) -> Path:
    return sign(film(path, marked=marked), me, model="kinema-tiny", settings={"seed": 1}, watermark_id=ID)


def remuxed(path: Path) -> Path:
    copy = path.with_stem("remuxed")
    with av.open(str(path)) as source, av.open(str(copy), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return copy


def test_a_signed_and_marked_clip_shows_both(me: Identity, tmp_path: Path) -> None:
    told = verify(signed(tmp_path / "a.mp4", me), anchors=me.anchors)
    assert told.made_by_kinema and told.manifest.trusted and told.watermark is not None and told.watermark.id == ID
    assert "signed manifest is intact, and its watermark is there" in told.verdict
    shown = json.loads(json.dumps(told.to_dict()))
    assert shown["watermark"]["id"] == shown["manifest"]["watermark_id"] == "00decade42"


def test_a_remux_drops_the_manifest_and_the_public_mark_proves_nothing(me: Identity, tmp_path: Path) -> None:
    told = verify(remuxed(signed(tmp_path / "a.mp4", me)), anchors=me.anchors)
    assert (told.made_by_kinema, told.manifest.state) == (False, "none")
    assert "public mark 00decade42, which anybody can put there" in told.verdict and "no manifest" in told.verdict


def test_a_mark_by_a_secret_key_says_who_made_a_film(tmp_path: Path) -> None:
    secret = b"a secret of thirty-two bytes...."
    frames = render_scene(simulate(tiny(), 5, fps=16.0, num_frames=32).scene, height=64, width=64)
    path = Clip(frames=mark(frames, ID, secret), fps=16.0).save(tmp_path / "a.mp4")
    assert verify(path, key=secret).made_by_kinema
    assert not verify(path).made_by_kinema


def test_tags_alone_are_told_and_prove_nothing(tmp_path: Path) -> None:
    clip = Clip(frames=np.zeros((4, 32, 32, 3), np.uint8), fps=8, settings={"model": "kinema-tiny", "seed": 5})
    told = verify(clip.save(tmp_path / "a.mp4"))
    assert not told.made_by_kinema and told.tags == {"model": "kinema-tiny", "seed": "5"}
    assert "tags, which anybody can write" in told.verdict


def test_footage_that_was_cut_is_not_called_made_by_a_model(me: Identity, tmp_path: Path) -> None:
    footage, archive = film(tmp_path / "holiday.mp4", marked=False), tmp_path / "holiday.c2pa"
    archive_ingredient(footage, "holiday.mp4", archive)
    source = Ingredient(title="holiday.mp4", archive=archive)
    cut = sign(film(tmp_path / "a.mp4"), me, model="kinema-tiny", settings={}, making="edited", sources=[source])
    told = verify(cut, anchors=me.anchors)
    assert told.manifest.trusted and told.manifest.making == "edited" and told.manifest.sources == ("holiday.mp4",)
    assert (
        not told.made_by_kinema and "Cut by Kinema from 'holiday.mp4', which nothing says that Kinema made" in told.verdict
    )


def test_what_was_cut_from_a_film_of_kinemas_was_made_by_kinema(me: Identity, tmp_path: Path) -> None:
    made = signed(tmp_path / "made.mp4", me)
    source = Ingredient(title="made.mp4", path=made)
    cut = sign(film(tmp_path / "a.mp4"), me, model="kinema-tiny", settings={}, making="edited", sources=[source])
    again = Ingredient(title="a.mp4", path=cut)
    twice = sign(film(tmp_path / "b.mp4"), me, model="kinema-tiny", settings={}, making="edited", sources=[again])
    for path in (cut, twice):
        assert verify(path, anchors=me.anchors).made_by_kinema


def test_a_stranger_s_claim_in_a_source_is_not_believed(me: Identity, tmp_path: Path) -> None:
    stranger = own_identity(tmp_path / "stranger")
    fake, archive = signed(tmp_path / "fake.mp4", stranger), tmp_path / "fake.c2pa"
    archive_ingredient(fake, "fake.mp4", archive)
    source = Ingredient(title="fake.mp4", archive=archive)
    cut = sign(film(tmp_path / "a.mp4"), me, model="kinema-tiny", settings={}, making="edited", sources=[source])
    told = verify(cut, anchors=me.anchors)
    assert told.manifest.trusted and not told.made_by_kinema


def test_a_composite_names_all_it_was_made_of(me: Identity, tmp_path: Path) -> None:
    """Of a file that can hold a manifest, of one that is gone, and of one that cannot."""
    archive = tmp_path / "b.c2pa"
    archive_ingredient(film(tmp_path / "b.mp4"), "b.mp4", archive)
    sources = [
        Ingredient(title="a.webm"), Ingredient(title="b.mp4", archive=archive), Ingredient(title="c", path=tmp_path / "c.mp4")
    ]  # fmt: skip
    path = sign(film(tmp_path / "a.mp4"), me, model="kinema-tiny", settings={}, making="composite", sources=sources)
    told = verify(path, anchors=me.anchors)
    assert told.made_by_kinema and told.manifest.making == "composite"
    assert sorted(told.manifest.sources) == ["a.webm", "b.mp4", "c"] and told.manifest.sources[0] == "a.webm"
    assert "out of 'a.webm'" in told.verdict


def test_what_is_created_has_no_sources(me: Identity, tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4")
    for making, sources in (("created", [Ingredient(title="x")]), ("edited", [])):
        with pytest.raises(InputError, match="none for what is created"):
            sign(path, me, model="m", settings={}, making=making, sources=sources)  # type: ignore[arg-type]


def test_a_broken_manifest_of_a_source_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"\x00\x00\x00\x18ftypmp42" + b"\xff" * 200)
    archive_ingredient(tmp_path / "a.mp4", "a.mp4", tmp_path / "a.c2pa")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"], "nothing is said of it"


def test_films_are_compared_by_what_they_show() -> None:
    frames = render_scene(simulate(tiny(), 5, fps=16.0, num_frames=32).scene, height=64, width=64)
    other = render_scene(simulate(tiny(), 6, fps=16.0, num_frames=32).scene, height=64, width=64)
    again = np.clip(frames.astype(int) + np.random.default_rng(0).integers(-4, 5, frames.shape), 0, 255).astype(np.uint8)
    stored = small_copies(frames)
    assert same_content(small_copies(again[8:20], 16), stored)
    assert not same_content(small_copies(other, 16), stored)
    moved = np.roll(frames, 12, axis=2)
    assert not same_content(small_copies(moved, 16), stored)


def test_small_copies_are_spread_over_the_whole_film() -> None:
    frames = np.broadcast_to(np.arange(31, dtype=np.uint8)[:, None, None, None], (31, 32, 32, 3))
    assert small_copies(frames, 4)[:, 0, 0, 0].tolist() == [0, 10, 20, 30]


def test_a_changed_file_is_told_by_its_mark_and_called_changed(me: Identity, tmp_path: Path) -> None:
    path = signed(tmp_path / "a.mp4", me)
    data = bytearray(path.read_bytes())
    data[data.index(b"mdat") + 1500] ^= 1
    path.write_bytes(data)
    told = verify(path, anchors=me.anchors)
    assert (told.made_by_kinema, told.manifest.state) == (False, "invalid") and "changed" in told.verdict


def test_a_claim_that_nobody_vouches_for_is_no_proof(me: Identity, tmp_path: Path) -> None:
    path = signed(tmp_path / "a.mp4", me, marked=False)
    assert verify(path, anchors=me.anchors).made_by_kinema
    stranger = verify(path)
    assert not stranger.made_by_kinema and "not one that is trusted" in stranger.verdict


def test_a_mark_of_another_clip_is_named(me: Identity, tmp_path: Path) -> None:
    path = sign(film(tmp_path / "a.mp4"), me, model="kinema-tiny", settings={}, watermark_id=ID + 1)
    assert "that of another clip" in verify(path, anchors=me.anchors).verdict


def test_nothing_found_is_not_a_proof_of_anything(tmp_path: Path) -> None:
    told = verify(Clip(frames=np.zeros((4, 32, 32, 3), np.uint8), fps=8).save(tmp_path / "a.mp4"))
    assert not told.made_by_kinema and told.tags == {} and "does not prove" in told.verdict


def test_what_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no film")
    for path in (tmp_path / "none.mp4", tmp_path / "text.mp4", tmp_path):
        with pytest.raises(MediaError) as wrong:
            verify(path)
        assert "\n" not in str(wrong.value)
    with pytest.raises(MediaError, match="make it smaller first"):
        verify(film(tmp_path / "a.mp4"), limits=Limits(max_pixels=8))


def test_of_a_long_film_the_first_frames_are_judged(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4")
    long, whole = verify(path, limits=Limits(max_frames=8)), verify(path)
    assert len(long.copies) <= 8 < Clip.open(path).num_frames and long.tags == whole.tags


def run(*line: str) -> int:
    parser = argparse.ArgumentParser()
    verb.add(parser.add_subparsers(required=True))
    arguments = parser.parse_args(["verify", *line])
    return int(arguments.run(arguments))


def test_the_command_tells_by_its_exit_code(me: Identity, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, root = str(signed(tmp_path / "a.mp4", me)), tmp_path / "ca.pem"
    root.write_bytes(me.anchors)
    assert run(path, "--trust", str(root)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and "valid, trusted" in lines[1] and "00decade42" in lines[2] and lines[3] == "tags       seed 1"
    assert run(path, "--json") == 1, "without the root nobody vouches for it"
    assert json.loads(capsys.readouterr().out)["watermark"]["found"]
    plain = str(Clip(frames=np.zeros((4, 32, 32, 3), np.uint8), fps=8).save(tmp_path / "plain.mp4"))
    assert run(plain) == 1
    assert capsys.readouterr().out.splitlines()[1:] == ["manifest   none", "watermark  none", "tags       none"]
    with pytest.raises(InputError, match="no certificate"):
        run(path, "--trust", path)
