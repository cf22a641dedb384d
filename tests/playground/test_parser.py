"""Laws of the parser: what the renderer drew is read back; an empty room is read as empty."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from kinema.errors import SizeError
from kinema.playground import simulate, tiny
from kinema.playground.parser import ParsedObject, parse_clip
from kinema.playground.renderer import render_batch, render_scene
from kinema.scene.geometry import BOUND
from kinema.scene.scene import BACKGROUNDS, COLORS, KINDS, SIZES, VIEWS

Args = dict[str, Any]


def pairs(count: int, seed: int) -> Args:
    """Two things a picture that do not overlap and are wholly in view; in the side view cars and robots stand upright."""
    rng = np.random.default_rng(seed)
    kind, color = rng.integers(len(KINDS), size=(2, count, 2))
    view = rng.integers(len(VIEWS), size=count)
    size = rng.choice(list(SIZES.values()), (count, 2)) * rng.uniform(0.9, 1.1, (count, 2))
    bound = np.array([BOUND[name] for name in KINDS])[kind] * size
    x, y = np.empty((2, count, 2))
    for number in range(count):
        while True:
            x[number], y[number] = rng.uniform(bound[number], 10 - bound[number], (2, 2))
            if np.hypot(np.ptp(x[number]), np.ptp(y[number])) > bound[number].sum() + 0.2:
                break
    upright = (view[:, None] == 0) & ((kind == KINDS.index("car")) | (kind == KINDS.index("robot")))
    angle = np.where(upright, np.pi * rng.integers(2, size=(count, 2)), rng.uniform(-np.pi, np.pi, (count, 2)))
    camera = np.tile([5.0, 5.0, 1.0], (count, 1))
    background = rng.integers(len(BACKGROUNDS), size=count)
    things = {"kind": kind, "color": color, "size": size, "x": x, "y": y, "angle": angle}
    return things | {"view": view, "background": background, "camera": camera}


def single(kind: str, color: str, x: float, y: float, **more: Any) -> Args:
    """One thing on the field, seen from the side."""
    return {
        "kind": [[KINDS.index(kind)]],
        "color": [[COLORS.index(color)]],
        "size": [[more.get("size", 0.85)]],
        "x": [[x]],
        "y": [[y]],
        "angle": [[more.get("angle", 0.0)]],
        "view": [VIEWS.index(more.get("view", "side"))],
        "background": [0],
        "camera": [more.get("camera", (5.0, 5.0, 1.0))],
    }


def drawn(args: Args, pixels: int = 64) -> torch.Tensor:
    return render_batch(**{name: torch.as_tensor(np.asarray(v)) for name, v in args.items()}, height=pixels, width=pixels)


def spoiled(frames: torch.Tensor) -> torch.Tensor:
    """A Gaussian blur of half a pixel, then noise of sigma 6."""
    taps = torch.exp(-2.0 * torch.arange(-1.0, 2.0).square())
    kernel = torch.outer(taps, taps) / taps.sum() ** 2
    planes = torch.nn.functional.pad(frames.permute(0, 3, 1, 2).float(), (1, 1, 1, 1), mode="replicate")
    blurred = torch.nn.functional.conv2d(planes, kernel.expand(3, 1, 3, 3), groups=3)
    noise = torch.randn(blurred.shape, generator=torch.Generator().manual_seed(0))
    return (blurred + 6.0 * noise).clamp(0, 255).round().to(torch.uint8).permute(0, 2, 3, 1)


def judge(args: Args, seen: list[list[ParsedObject]]) -> tuple[float, float, float]:
    """Share of pictures with the right kinds, colors and count; median error of the center; of the size, as a share."""
    right, places, sizes = [], [], []
    for number, things in enumerate(seen):
        truth = [
            (KINDS[args["kind"][number, k]], COLORS[args["color"][number, k]], args["x"][number, k], args["y"][number, k])
            for k in range(2)
        ]
        right.append(sorted(t[:2] for t in truth) == sorted((s.kind, s.color) for s in things))
        for k, (kind, color, x, y) in enumerate(truth):
            same = [s for s in things if (s.kind, s.color) == (kind, color)]
            if same:
                best = min(same, key=lambda s: np.hypot(s.x - x, s.y - y))
                places.append(np.hypot(best.x - x, best.y - y))
                sizes.append(abs(best.size / args["size"][number, k] - 1))
    return float(np.mean(right)), float(np.median(places)), float(np.median(sizes))


def read(frames: torch.Tensor) -> list[list[ParsedObject]]:
    return [things for begin in range(0, len(frames), 16) for things in parse_clip(frames[begin : begin + 16])]


def test_two_things_are_read_back() -> None:
    args = pairs(200, seed=0)
    right, place, size = judge(args, read(drawn(args)))
    assert right >= 0.97 and place < 0.05 and size < 0.05


def test_two_things_are_read_back_through_noise_and_blur() -> None:
    args = pairs(200, seed=1)
    right, place, size = judge(args, read(spoiled(drawn(args))))
    assert right >= 0.9 and place < 0.05 and size < 0.07


def test_large_pictures_are_read_as_well() -> None:
    args = pairs(32, seed=2)
    right, place, _ = judge(args, read(drawn(args, 256)))
    assert right >= 0.9 and place < 0.05


def test_an_empty_room_holds_nothing() -> None:
    everywhere = [(view, background) for view in range(len(VIEWS)) for background in range(len(BACKGROUNDS))]
    for camera in ((5.0, 5.0, 1.0), (6.3, 3.0, 1.6)):
        for pixels in (64, 200):
            args = single("ball", "red", 5.0, 5.0, camera=camera)
            many = {name: np.repeat(value, len(everywhere), 0) for name, value in args.items()}
            many |= {"view": [v for v, _ in everywhere], "background": [b for _, b in everywhere]}
            many["kind"] = np.full((len(everywhere), 1), -1)
            frames = drawn(many, pixels)
            assert not any(parse_clip(frames, camera))
            assert not any(parse_clip(spoiled(frames), camera))


def test_a_moved_camera_is_taken_into_account() -> None:
    camera = (6.5, 4.0, 1.5)
    ((thing,),) = parse_clip(drawn(single("star", "purple", 7.5, 4.5, camera=camera)), camera)
    assert (thing.kind, thing.color) == ("star", "purple")
    assert np.hypot(thing.x - 7.5, thing.y - 4.5) < 0.1 and abs(thing.size - 0.85) < 0.08


def test_a_thing_at_the_edge_keeps_its_center_beyond_what_is_seen() -> None:
    ((thing,),) = parse_clip(drawn(single("ball", "blue", 0.1, 5.0)))
    assert (thing.kind, thing.color) == ("ball", "blue") and np.hypot(thing.x - 0.1, thing.y - 5.0) < 0.3


def test_a_thing_half_behind_a_screen_is_still_whole() -> None:
    args = {name: np.repeat(value, 2, -1) if name in ("kind", "color", "size", "x", "y", "angle") else value
            for name, value in single("box", "red", 5.0, 5.0, size=0.85).items()}  # fmt: skip
    args |= {"kind": [[KINDS.index("screen"), KINDS.index("box")]], "color": [[COLORS.index("cyan"), 0]], "x": [[5.0, 5.9]]}
    args["size"] = [[0.6, 1.15]]
    screen, box = sorted(parse_clip(drawn(args))[0], key=lambda thing: thing.size)
    assert (screen.kind, screen.color, box.kind, box.color) == ("screen", "cyan", "box", "red")
    assert np.hypot(box.x - 5.9, box.y - 5.0) < 0.3


def test_a_clip_is_read_frame_by_frame() -> None:
    frames = drawn(pairs(5, seed=4))
    alone = [parse_clip(frame[None])[0] for frame in frames]
    for together, single_frame in zip(parse_clip(frames), alone, strict=True):
        assert [(s.kind, s.color) for s in together] == [(s.kind, s.color) for s in single_frame]
        assert all(abs(a.x - b.x) < 0.02 for a, b in zip(together, single_frame, strict=True))


def test_frames_of_the_wrong_shape_are_refused() -> None:
    with pytest.raises(SizeError, match="expected"):
        parse_clip(np.zeros((4, 64, 64), np.uint8))


def test_threads_change_nothing() -> None:
    """What is read of a clip is the same every time, however many threads read it."""
    frames = render_scene(simulate(tiny(), 7, fps=16.0, num_frames=24).scene, height=64, width=64)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        many = [parse_clip(frames) for _ in range(4)]
        torch.set_num_threads(1)
        one = parse_clip(frames)
    finally:
        torch.set_num_threads(before)
    names = lambda read: [[(s.kind, s.color, round(s.x, 3), round(s.y, 3)) for s in frame] for frame in read]
    assert all(names(read) == names(one) for read in many)
