"""Laws of the renderer: what stands where is drawn there, in its color, in its order, the same at any batch and camera."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from kinema.errors import SizeError
from kinema.playground.renderer import render_batch, render_scene, visible_share
from kinema.scene.geometry import OUTLINE
from kinema.scene.scene import BACKGROUNDS, COLORS, KINDS, PALETTE, VIEWS, Scene

Args = dict[str, Any]


def pictures(entities: list[tuple[str, str, float, float, float]], *, angle: float = 0.0, **more: Any) -> Args:
    """Arguments for one picture; entities are (kind, color, size, x, y)."""
    view, background = more.get("view", "side"), more.get("background", "lab")
    columns = list(zip(*entities, strict=True)) or [()] * 5
    return {
        "kind": torch.tensor([[KINDS.index(name) for name in columns[0]]]).reshape(1, -1),
        "color": torch.tensor([[COLORS.index(name) for name in columns[1]]]).reshape(1, -1),
        "size": torch.tensor([columns[2]]).reshape(1, -1),
        "x": torch.tensor([columns[3]]).reshape(1, -1),
        "y": torch.tensor([columns[4]]).reshape(1, -1),
        "angle": torch.full((1, len(entities)), angle),
        "view": torch.tensor([VIEWS.index(view)]),
        "background": torch.tensor([BACKGROUNDS.index(background)]),
        "camera": torch.tensor([more.get("camera", (5.0, 5.0, 1.0))]),
        "height": more.get("height", 64),
        "width": more.get("width", 64),
    }


def changed(args: Args) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Pixels that differ clearly from the empty picture."""
    empty = {**args, "kind": torch.full_like(args["kind"], -1)}
    gap = render_batch(**args)[0].float() - render_batch(**empty)[0].float()
    return (gap.abs().amax(-1) > 60).numpy()


def scattered(count: int, slots: int = 4) -> Args:
    draw = torch.Generator().manual_seed(3)
    shape = (count, slots)
    return {
        "kind": torch.randint(-1, len(KINDS), shape, generator=draw),
        "color": torch.randint(0, len(COLORS), shape, generator=draw),
        "size": 0.5 + 0.7 * torch.rand(shape, generator=draw),
        "x": 12 * torch.rand(shape, generator=draw) - 1,
        "y": 12 * torch.rand(shape, generator=draw) - 1,
        "angle": 7 * torch.rand(shape, generator=draw),
        "view": torch.randint(0, 2, (count,), generator=draw),
        "background": torch.randint(0, 5, (count,), generator=draw),
        "camera": torch.rand(count, 3, generator=draw) + torch.tensor([4.5, 4.5, 0.8]),
    }


def test_a_thing_covers_its_outline_and_no_more() -> None:
    for name, outline in OUTLINE.items():
        rows, columns = changed(
            pictures([(name, "red", 1.0, 5.0, 5.0)], background="snow", height=256, width=256, camera=(5.0, 5.0, 2.0))
        ).nonzero()
        left, right, top, bottom = columns.min(), columns.max() + 1, rows.min(), rows.max() + 1
        scale = 256 / 5
        assert abs((bottom - 128) / scale - outline.below) < 0.08, name
        assert abs((128 - top) / scale - outline.above) < 0.08, name
        assert abs((right - 128) / scale - outline.across) < 0.08, name
        assert name == "flag" or abs((128 - left) / scale - outline.across) < 0.08, name


@pytest.mark.parametrize("view", VIEWS)
def test_every_color_is_nearest_to_its_own_palette_entry_on_every_background(view: str) -> None:
    palette = torch.tensor(list(PALETTE.values())).float()
    for background in BACKGROUNDS:
        for number, color in enumerate(COLORS):
            args = pictures([("box", color, 1.0, 5.0, 6.0)], view=view, background=background)
            middle = render_batch(**args)[0, 24:28, 30:34].float().reshape(-1, 3)
            nearest = torch.cdist(middle, palette).argmin(1)
            assert (nearest == number).all(), (color, background)


def test_backgrounds_are_far_from_every_color() -> None:
    palette = torch.tensor(list(PALETTE.values())).float()
    for view in VIEWS:
        for background in BACKGROUNDS:
            empty = render_batch(**pictures([], view=view, background=background)).float().reshape(-1, 3)
            assert torch.cdist(empty, palette).min() > 80, (view, background)
            assert (empty.amax(1) - empty.amin(1)).max() < 70, (view, background)


def test_draw_order_is_flags_then_movers_by_slot_then_screens() -> None:
    def middle(*entities: tuple[str, str, float, float, float]) -> int:
        pixel = render_batch(**pictures(list(entities)))[0, 32, 32].float()
        return int(torch.cdist(pixel[None], torch.tensor(list(PALETTE.values())).float()).argmin())

    red, blue = ("box", "red", 1.0, 5.0, 4.9), ("box", "blue", 1.0, 5.0, 4.9)
    assert middle(red, blue) == COLORS.index("blue")
    assert middle(blue, red) == COLORS.index("red")
    assert middle(("screen", "green", 1.0, 5.2, 5.0), red) == COLORS.index("green")
    assert middle(red, ("flag", "yellow", 1.0, 4.8, 4.0)) == COLORS.index("red")


def test_output_does_not_depend_on_batch_chunk_or_empty_slots() -> None:
    args = scattered(24)
    whole = render_batch(**args, height=48, width=80)
    assert torch.equal(whole, render_batch(**args, height=48, width=80))
    in_parts = render_batch(**args, height=48, width=80, chunk=5)
    assert (whole.int() - in_parts.int()).abs().max() <= 1
    wider = dict(args)
    for name in ("kind", "color", "size", "x", "y", "angle"):
        wider[name] = torch.nn.functional.pad(args[name], (0, 3), value=-1)
    assert (whole.int() - render_batch(**wider, height=48, width=80).int()).abs().max() <= 1


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("background", BACKGROUNDS)
def test_the_world_stays_put_when_the_camera_moves(view: str, background: str) -> None:
    things = [("ball", "red", 0.8, 5.0, 4.0), ("flag", "blue", 0.8, 3.0, 3.0)]
    still = render_batch(**pictures(things, view=view, background=background, height=100, width=100))[0]
    panned = render_batch(
        **pictures(things, view=view, background=background, height=100, width=100, camera=(6.0, 5.0, 1.0))
    )[0]
    assert (still[:, 10:].int() - panned[:, :-10].int()).abs().max() <= 2
    empty = pictures([], view=view, background=background, camera=(5.4, 5.3, 1.0))
    assert not torch.equal(render_batch(**empty), render_batch(**{**empty, "camera": torch.tensor([[5.0, 5.0, 1.0]])}))


def test_zoom_equals_a_crop_of_a_larger_picture() -> None:
    things = [("star", "pink", 1.0, 5.5, 5.0), ("car", "green", 1.0, 4.0, 4.2)]
    close = render_batch(**pictures(things, camera=(5.0, 5.0, 2.0), height=96, width=96))[0]
    large = render_batch(**pictures(things, height=192, width=192))[0, 48:144, 48:144]
    assert (close.int() - large.int()).abs().max() <= 2


def test_a_car_that_drives_left_is_mirrored_in_the_side_view_and_turned_in_the_top_view() -> None:
    car = [("car", "red", 1.0, 5.0, 5.0)]
    side = {"view": "side", "height": 128, "width": 128}
    right, left = changed(pictures(car, **side)), changed(pictures(car, angle=np.pi, **side))
    assert (right != left[:, ::-1]).mean() < 0.002
    down = changed(pictures(car, angle=-np.pi / 2, view="top", height=128, width=128))
    rows, columns = down.nonzero()
    assert np.ptp(rows) > 1.5 * np.ptp(columns)


def test_symmetric_turns_look_alike() -> None:
    for kind, turns in (("box", 4), ("triangle", 3), ("star", 5)):
        first = changed(pictures([(kind, "cyan", 1.2, 5.0, 5.0)], angle=0.2, height=128, width=128))
        turned = changed(pictures([(kind, "cyan", 1.2, 5.0, 5.0)], angle=0.2 + 2 * np.pi / turns, height=128, width=128))
        other = changed(pictures([(kind, "cyan", 1.2, 5.0, 5.0)], angle=0.2 + np.pi / turns, height=128, width=128))
        assert (first != turned).mean() < 0.001 < (first != other).mean()


def test_pictures_of_any_aspect_center_on_the_camera() -> None:
    for height, width in ((32, 32), (40, 97), (201, 50)):
        rows, columns = changed(pictures([("ball", "red", 1.0, 5.0, 5.0)], height=height, width=width)).nonzero()
        assert abs(rows.mean() + 0.5 - height / 2) < 0.6 and abs(columns.mean() + 0.5 - width / 2) < 0.6


def test_sizes_out_of_reach_are_refused() -> None:
    for height, width in ((31, 64), (64, 2049), (0, 0)):
        with pytest.raises(SizeError, match="32 to 2048"):
            render_batch(**pictures([("ball", "red", 1.0, 5.0, 5.0)], height=height, width=width))
    args = pictures([("ball", "red", 1.0, 5.0, 5.0)])
    with pytest.raises(SizeError, match="angle"):
        render_batch(**{**args, "angle": torch.zeros(1, 2)})


def crossing(frames: int = 33) -> Scene:
    """A ball that comes in from the left, passes behind a screen at x = 6 and goes on."""
    x = np.stack([np.linspace(-2, 10, frames), np.full(frames, 6.0)], 1).astype(np.float32)
    zeros = np.zeros_like(x)
    return Scene(
        fps=16,
        view="side",
        background="field",
        kind=np.array([0, KINDS.index("screen"), -1], np.int8)[:2],
        color=np.array([0, 5], np.int8),
        material=np.zeros(2, np.int8),
        size=np.array([0.6, 0.85], np.float32),
        x=x,
        y=np.broadcast_to(np.array([1.6, 2.87], np.float32), x.shape).copy(),
        vx=zeros,
        vy=zeros,
        angle=zeros,
        visible=zeros,
        camera=np.tile(np.array([5, 5, 1], np.float32), (frames, 1)),
    )


def test_visible_share_agrees_with_the_pixels() -> None:
    scene = crossing()
    share = visible_share(scene)
    red = render_scene(scene, height=128, width=128).astype(int)
    area = ((red[..., 0] - red[..., 1:].max(-1)) > 50).sum((1, 2))
    assert np.abs(share[:, 0] - area / area.max()).max() < 0.12
    assert share[0, 0] == 0 and share[:, 0].max() == 1 and (share[:, 1] == 1).all()


def test_render_draws_a_scene_frame_by_frame() -> None:
    scene = crossing(9)
    whole = render_scene(scene, height=64, width=96)
    assert whole.shape == (9, 64, 96, 3) and whole.dtype == np.uint8
    some = render_scene(scene.frames(slice(4, 6)), height=64, width=96)
    assert np.abs(whole[4:6].astype(int) - some).max() <= 1
    away = replace(scene, kind=np.full(2, -1, np.int8))
    assert (render_scene(away, height=64, width=96) == render_scene(away, height=64, width=96)[0]).all()
