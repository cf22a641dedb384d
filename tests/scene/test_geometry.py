"""Repeated facts have one source: the kinds' geometry, the palette, the scales of the tracks. No second table may appear."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import kinema
from kinema.models.objects.contacts import ContactModule
from kinema.playground import parser, renderer
from kinema.playground.shapes import PAINTERS
from kinema.scene.geometry import (
    BODY,
    BOUND,
    CIRCLES,
    OUTLINE,
    ROUND,
    SHADOW,
    SOLID,
    SYMMETRY,
    bound,
    cell_units,
    standing_y,
)
from kinema.scene.scene import COLORS, HEX, KINDS, PALETTE
from kinema.scene.schema import PLAYGROUND

SOURCE = Path(kinema.__file__).parent
STUDIO = SOURCE / "server" / "studio"


def tables(path: Path) -> Iterator[tuple[int, set[str], list[ast.expr]]]:
    """Dictionaries of a module whose keys are texts: line, keys, values."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Dict):
            keys = {key.value for key in node.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}
            yield node.lineno, keys, node.values


def is_paint(value: ast.expr) -> bool:
    """Whether an expression holds red, green and blue, or a color as CSS writes it."""
    return (
        isinstance(value, ast.Tuple | ast.List)
        and all(isinstance(part, ast.Constant) and isinstance(part.value, int | float) for part in value.elts)
    ) or (isinstance(value, ast.Constant) and str(value.value).startswith("#"))


def is_fractional(value: ast.expr) -> bool:
    """Whether an expression holds a number with a fraction, as lengths in multiples of a size are written."""
    return any(isinstance(node, ast.Constant) and isinstance(node.value, float) for node in ast.walk(value))


def test_no_other_module_has_a_table_of_lengths_by_kind_or_of_colors() -> None:
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        for line, keys, values in tables(path):
            kinds, colors = keys & set(KINDS), keys & set(COLORS)
            if name not in ("scene/geometry.py", "playground/physics.py"):
                assert len(kinds) < 3 or not any(map(is_fractional, values)), f"{name}:{line}: lengths of kinds"
            if name != "scene/scene.py":
                assert len(colors) < 3 or not any(map(is_paint, values)), f"{name}:{line}: a second palette"


def test_every_table_holds_the_same_kinds() -> None:
    for table in (SOLID, SYMMETRY, BODY, SHADOW, BOUND):
        assert tuple(table) == KINDS == tuple(OUTLINE)
    assert {name for name, _ in PAINTERS} == set(KINDS)


def test_what_stands_inside_is_smaller_than_what_stands_outside() -> None:
    for kind, (radius, ahead) in CIRCLES.items():
        solid = SOLID[kind]
        assert radius + ahead <= bound(kind) and radius <= max(solid.below, solid.above)
        assert kind not in ROUND or ahead == 0
    for kind, outline in OUTLINE.items():
        assert max(outline.across, outline.below, outline.above) <= BOUND[kind]


def test_renderer_parser_and_contacts_read_the_one_table() -> None:
    drawn = renderer.Tables.on(torch.device("cpu"))
    for code, (name, _) in enumerate(PAINTERS):
        assert drawn.across[code] == np.float32(OUTLINE[name].across) and drawn.below[code] == np.float32(
            OUTLINE[name].below
        )
    assert drawn.base.tolist() == [list(PALETTE[name]) for name in COLORS]
    assert parser.OUTLINE is OUTLINE and parser.PALETTE is PALETTE
    reach = [[SOLID[kind].across, SOLID[kind].below] for kind in KINDS]
    assert torch.equal(ContactModule(PLAYGROUND).reach, torch.tensor(reach))


@pytest.mark.parametrize("kind", KINDS)
def test_objects_stand_on_the_floor(kind: str) -> None:
    assert standing_y(kind, 0.85) - SOLID[kind].below * 0.85 == pytest.approx(1.0)


def test_tracks_and_units_are_each_other_inverse() -> None:
    units = torch.linspace(-3, 13, 33)
    torch.testing.assert_close(PLAYGROUND.position_units(PLAYGROUND.position_track(units)), units)
    assert PLAYGROUND.size_units(torch.zeros(1)).item() == pytest.approx(0.85)
    state, camera = torch.zeros(1, 1, 1, 64), torch.tensor([[[0.4, 0.0, 2.0]]])
    assert PLAYGROUND.seen_places(state, camera)[0, 0, 0].tolist() == pytest.approx([5.0 - 2.5 * 0.4 * 2, 5.0])
    assert cell_units(64 / 16) == 2.5


def test_the_studio_holds_no_copy() -> None:
    """Its scripts read kinds, colors and outlines from /v1/models; its style sheet and its mark, which are shown before anybody
    signs in, have the palette's colors."""
    words = "|".join((*KINDS, *COLORS))
    for path in sorted(STUDIO.rglob("*.js")):
        if "vendor" in path.parts:
            continue
        text = path.read_text()
        assert not set(HEX.values()) & set(re.findall(r"#[0-9a-f]{6}", text.lower())), path.name
        assert not re.findall(rf"\b(?:{words})\"?: *[\[\"#]", text), f"{path.name} has a table by kind or color"
        listed = re.findall(rf"\"(?:{words})\", *\"(?:{words})\"", text)
        assert not listed, f"{path.name} lists kinds or colors: {listed}"
    tokens = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", (STUDIO / "css" / "base.css").read_text()))
    assert {name: tokens.get(name) for name in COLORS} == HEX
    mark = re.findall(r'fill="(#[0-9a-f]{6})"', (STUDIO / "icon.svg").read_text())
    assert mark[: len(COLORS)] == list(HEX.values())
