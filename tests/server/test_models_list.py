"""What the API says of models is what their configs say."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from kinema.errors import SizeError
from kinema.inference import limits
from kinema.models.hub import available_models, find, read_config
from kinema.scene.geometry import OUTLINE
from kinema.scene.scene import BACKGROUNDS, COLORS, KINDS, PALETTE, SIZES
from kinema.server.api.models import model_shown, scene_facts
from kinema.server.api.video_schema import (
    BlendVideos,
    CreateVideo,
    EditVideo,
    ExtendVideo,
    LoopVideo,
    RemixVideo,
    RenderState,
    TrimVideo,
    requested_size,
)


@pytest.mark.parametrize("name", available_models())
def test_sizes_listed_are_those_of_the_config(name: str) -> None:
    config, shown = read_config(find(name)), model_shown(name).kinema.model_dump()
    assert shown["sizes"] == limits.sizes_of(config) and shown["size"] in shown["sizes"]
    assert (shown["heights"], shown["aspects"]) == (list(config.heights), list(config.aspects))
    assert shown["size"] == "x".join(map(str, limits.check_size(config, None)))
    for size in shown["sizes"]:
        limits.check_size(config, requested_size(size, None, name, []))
    with pytest.raises(SizeError, match=r"the nearest is|films 64x64 only"):
        limits.check_size(config, requested_size("9999x9999", None, name, []))


def test_every_kind_of_video_takes_a_size() -> None:
    for body in (CreateVideo, EditVideo, ExtendVideo, LoopVideo, RemixVideo, TrimVideo, BlendVideos, RenderState):
        assert "size" in body.model_fields


def test_clients_of_the_service_that_ended_get_the_nearest_and_a_note() -> None:
    config, notes = read_config(find("kinema-tiny")), list[str]()
    near = requested_size("720x1280", "sora-2", "kinema-tiny", notes)
    assert near is not None and limits.check_size(config, near)[1] == config.height
    assert notes == [f"kinema-tiny does not film 720x1280; {near} instead"]


def test_the_list_says_what_scenes_are_made_of() -> None:
    facts = scene_facts()
    assert (tuple(facts.palette), tuple(facts.outlines)) == (COLORS, KINDS)
    assert facts.palette["red"] == "#{:02x}{:02x}{:02x}".format(*PALETTE["red"])
    assert facts.outlines["flag"].model_dump() == asdict(OUTLINE["flag"])
    assert (facts.sizes, facts.backgrounds) == (SIZES, list(BACKGROUNDS))
    for name in available_models():
        words = model_shown(name).kinema.vocabulary
        assert (words.kinds, words.colors) == (list(facts.outlines), list(facts.palette))
