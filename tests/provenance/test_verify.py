"""Laws of the check: both signs are told apart, either is enough, and a file without them is not called made by hand."""

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
from kinema.provenance import Identity, mark, own_identity, sign, verify

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


def test_a_remux_drops_the_manifest_and_the_mark_is_still_there(me: Identity, tmp_path: Path) -> None:
    told = verify(remuxed(signed(tmp_path / "a.mp4", me)), anchors=me.anchors)
    assert (told.made_by_kinema, told.manifest.state) == (True, "none")
    assert "00decade42" in told.verdict and "no manifest" in told.verdict


def test_a_changed_file_is_told_by_its_mark_and_called_changed(me: Identity, tmp_path: Path) -> None:
    path = signed(tmp_path / "a.mp4", me)
    data = bytearray(path.read_bytes())
    data[data.index(b"mdat") + 1500] ^= 1
    path.write_bytes(data)
    told = verify(path, anchors=me.anchors)
    assert (told.made_by_kinema, told.manifest.state) == (True, "invalid") and "changed" in told.verdict


def test_a_claim_that_nobody_vouches_for_is_no_proof(me: Identity, tmp_path: Path) -> None:
    path = signed(tmp_path / "a.mp4", me, marked=False)
    assert verify(path, anchors=me.anchors).made_by_kinema
    stranger = verify(path)
    assert not stranger.made_by_kinema and "not one that is trusted" in stranger.verdict


def test_a_mark_of_another_clip_is_named(me: Identity, tmp_path: Path) -> None:
    path = sign(film(tmp_path / "a.mp4"), me, model="kinema-tiny", settings={}, watermark_id=ID + 1)
    assert "that of another clip" in verify(path, anchors=me.anchors).verdict


def test_nothing_found_is_not_a_proof_of_anything(tmp_path: Path) -> None:
    told = verify(film(tmp_path / "a.mp4", marked=False))
    assert not told.made_by_kinema and "does not prove" in told.verdict


def test_what_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no film")
    for path in (tmp_path / "none.mp4", tmp_path / "text.mp4", tmp_path):
        with pytest.raises(MediaError) as wrong:
            verify(path)
        assert "\n" not in str(wrong.value)
    with pytest.raises(MediaError, match="cut it first"):
        verify(film(tmp_path / "a.mp4"), limits=Limits(max_frames=8))


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
    assert len(lines) == 3 and "valid, trusted" in lines[1] and "00decade42" in lines[2]
    assert run(path, "--json") == 0
    assert json.loads(capsys.readouterr().out)["watermark"]["found"]
    plain = str(Clip(frames=np.zeros((4, 32, 32, 3), np.uint8), fps=8).save(tmp_path / "plain.mp4"))
    assert run(plain) == 1
    assert capsys.readouterr().out.splitlines()[1:] == ["manifest   none", "watermark  none"]
    with pytest.raises(InputError, match="no certificate"):
        run(path, "--trust", path)
