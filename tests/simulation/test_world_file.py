"""Laws of saved worlds: all of a world comes back, parts that no world has are refused, and nothing in a file is executed."""

from __future__ import annotations

import io
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.simulation.saved_worlds import OUTSIDE, Evil, Tensors, changed, header_of, torch_saved, with_header

from kinema.errors import InputError, ModelError
from kinema.models.hub import Model
from kinema.scene.scene import Scene
from kinema.simulation.world import World
from kinema.simulation.world_file import MAX_HEADER_BYTES, read_header


@pytest.fixture
def world(model: Model, scene: Callable[..., Scene]) -> World:
    return World(model, scene(), seed=3)._advance(4, (0.1, 0.2))._advance(2)


def is_same(a: World, b: World) -> bool:
    """Whether worlds are the same to the bit, with what they remember."""
    settings = [(one.seed, one.fps, one.steps, one.size, one.task, one.time_s) for one in (a, b)]
    frames = list(zip(a._frame_states, b._frame_states, strict=True))
    return settings[0] == settings[1] and all(
        m.time_s == n.time_s
        and m.acted == n.acted
        and m.tracks.keys() == n.tracks.keys()
        and all(torch.equal(m.tracks[name], n.tracks[name]) for name in m.tracks)
        and (m.kv is None) == (n.kv is None)
        and all(torch.equal(x, y) for p, q in zip(m.kv or (), n.kv or (), strict=True) for x, y in zip(p, q, strict=True))
        for m, n in frames
    )


def test_all_of_a_world_comes_back_and_goes_on(model: Model, world: World, tmp_path: Path) -> None:
    path = world.save(tmp_path / "it.world")
    other = World.open(path, model=model)
    assert is_same(other, world) and any(m.kv is not None for m in other._frame_states)
    assert is_same(other._advance(3, (0.5, 0.0)), world._advance(3, (0.5, 0.0)))
    assert is_same(other.rewind(5)._advance(2), world.rewind(5)._advance(2))


def test_a_file_is_safetensors_with_json(world: World, tmp_path: Path) -> None:
    header = read_header(world.save(tmp_path / "it.world"))
    assert header.kind == "world" and header.entries["size"] == [64, 64] and header.entries["seed"] == 3
    assert len(header.entries["time_s"]) == len(header.entries["acted"]) == len(world._frame_states)
    names = {name for name in header.shapes if name.startswith("tracks.")}
    assert names == {f"tracks.{name}" for name in world._frame_states[0].tracks}
    numbers, shape = header.shapes["tracks.state"]
    assert numbers == "F32" and shape == (len(world._frame_states), *world._frame_states[0].tracks["state"].shape)
    assert {"memory.0.keys", "memory.0.values"} <= header.shapes.keys()
    raw = header_of((tmp_path / "it.world").read_bytes())
    assert json.loads(raw["__metadata__"]["kinema"])["format"] == 3


def test_a_world_of_the_format_before_is_opened_and_saved_anew(model: Model, world: World, tmp_path: Path) -> None:
    old, new = tmp_path / "old.world", tmp_path / "new.world"
    old.write_bytes(torch_saved(world))
    assert old.read_bytes()[:2] == b"PK"
    opened = World.open(old, model=model)
    assert is_same(opened, world)
    again = World.open(opened.save(new), model=model)
    assert read_header(new).kind == "world" and is_same(again, world)
    assert is_same(again._advance(3), world._advance(3))


def test_nothing_in_a_file_of_the_format_before_is_executed(model: Model, world: World, tmp_path: Path) -> None:
    path = tmp_path / "evil.world"
    path.write_bytes(torch_saved(world, model=Evil()))
    with pytest.raises(InputError, match=r"is not a saved world \(UnpicklingError\)"):
        World.open(path, model=model)
    file = io.BytesIO()
    torch.save({"format": 1}, file)
    path.write_bytes(file.getvalue())
    with pytest.raises(ModelError, match="another version of Kinema; this one reads formats 2 and 3"):
        World.open(path, model=model)
    assert not OUTSIDE.exists()


def without(tensors: Tensors, prefix: str) -> None:
    for name in [name for name in tensors if name.startswith(prefix)]:
        del tensors[name]


def renamed(tensors: Tensors, old: str, new: str) -> None:
    tensors[new] = tensors.pop(old)


REFUSED: dict[str, Callable[[dict[str, Any], Tensors], object]] = {
    "it has the unknown tensor 'weights'": lambda e, x: x.update(weights=torch.zeros(3, 3)),
    "its JSON lacks 'fps'": lambda e, x: e.pop("fps"),
    "its JSON has the unknown entry 'more'": lambda e, x: e.update(more=1),
    "its kind is 'room'; expected world or dream": lambda e, x: e.update(kind="room"),
    "its JSON names no format and kind": lambda e, x: e.update(format=[3]),
    "tracks.state has shape": lambda e, x: x.update({"tracks.state": x["tracks.state"][1:].clone()}),
    "memory.0.keys has shape": lambda e, x: x.update({"memory.0.keys": x["memory.0.keys"][1:].clone()}),
    "memory.0.values has shape": lambda e, x: x.update({"memory.0.values": torch.zeros(0, 10**9)}),
    "tracks.state holds I64": lambda e, x: x.update({"tracks.state": x["tracks.state"].long()}),
    "what it remembers of frames lacks a layer": lambda e, x: x.pop("memory.0.keys"),
    "it remembers frames that it does not hold": lambda e, x: e.update(remembered=[10**9]),
    "memory.0.keys has shape .*; expected one row for each of 0 frames": lambda e, x: e.update(remembered=[]),
    "frames and holds nothing of them": lambda e, x: without(x, "memory."),
    "it has no tracks": lambda e, x: without(x, "tracks."),
    "times of its frames are not in order": lambda e, x: e["time_s"].reverse(),
    "acted is not true or false": lambda e, x: e["acted"].__setitem__(0, 1),
    "time_s, acted, remembered are no lists": lambda e, x: e.update(acted={}),
    "Infinity is no number": lambda e, x: e.update(fps=float("inf")),
    "does not fit untrained: its state is .* float64": lambda e, x: x.update({"tracks.state": x["tracks.state"].double()}),
    "does not fit untrained: its camera is .*, expected": lambda e, x: x.update(
        {"tracks.camera": x["tracks.camera"][..., :1].clone()}
    ),
    "holds other tracks than a world of untrained": lambda e, x: renamed(x, "tracks.camera", "tracks.sensors"),
}


@pytest.mark.parametrize("message", REFUSED)
def test_parts_that_no_world_has_are_named_in_one_line(model: Model, world: World, tmp_path: Path, message: str) -> None:
    path = world.save(tmp_path / "it.world")
    path.write_bytes(changed(path.read_bytes(), REFUSED[message]))
    with pytest.raises(InputError, match=message) as caught:
        World.open(path, model=model)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_sizes_that_a_file_claims_are_not_allocated(model: Model, world: World, tmp_path: Path) -> None:
    path = world.save(tmp_path / "it.world")
    good = path.read_bytes()
    header, frames = header_of(good), len(world._frame_states)
    numbers = good[8 + int.from_bytes(good[:8], "little") :]
    begin, end = header["tracks.state"]["data_offsets"]

    def claimed(**others: Any) -> bytes:
        return with_header({**header, "tracks.state": {**header["tracks.state"], **others}}, numbers)

    files = {
        "shape": claimed(shape=[frames, 1, 10**6, 10**6]),
        "overflow": claimed(shape=[2**40, 2**40]),
        "beyond": claimed(shape=[frames, 1, 10**6, 10**6], data_offsets=[begin, begin + 4 * frames * 10**12]),
        "overlap": claimed(data_offsets=[begin + 4, end + 4]),
        "hole": with_header({name: x for name, x in header.items() if name != "tracks.state"}, numbers),
        "nothing of much": claimed(shape=[frames, 10**12, 0], data_offsets=[begin, begin]),
        "long header": (1 << 60).to_bytes(8, "little") + b"{}",
        "large header": with_header(" " * (MAX_HEADER_BYTES + 1)),
        "cut": good[:-1],
        "more": good + b"\0",
        "empty": b"",
        "text": b"hello, this is a text",
        "no metadata": with_header({name: x for name, x in header.items() if name != "__metadata__"}, numbers),
        "deep": with_header({**header, "__metadata__": {"kinema": "[" * 100_000}}, numbers),
        "list": with_header({**header, "__metadata__": {"kinema": "[]"}}, numbers),
        "digits": with_header({**header, "__metadata__": {"kinema": "9" * 10_000}}, numbers),
    }
    for what, content in files.items():
        path.write_bytes(content)
        tracemalloc.start()
        with pytest.raises(InputError, match="is not a saved world") as caught:
            World.open(path, model=model)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert "\n" not in str(caught.value), what
        assert peak < 3 * MAX_HEADER_BYTES, (what, peak)


def test_memory_of_another_model_is_computed_again(model: Model, world: World, tmp_path: Path) -> None:
    path = world.save(tmp_path / "it.world")
    count = len(json.loads(header_of(path.read_bytes())["__metadata__"]["kinema"])["remembered"])
    path.write_bytes(changed(path.read_bytes(), lambda e, x: x.update({"memory.0.keys": torch.zeros(count, 3)})))
    other = World.open(path, model=model)
    assert all(m.kv is not None for m in other._frame_states[:-1])
    torch.testing.assert_close(other.step((0.2, 0.0)).state.scene.x, world.step((0.2, 0.0)).state.scene.x, atol=0.05, rtol=0)
