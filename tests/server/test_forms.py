"""Bodies: bracket keys become what they stand for, and whatever is not expected is refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs kinema[serve]")

from kinema.engines.catalog import capabilities_named
from kinema.errors import ApiError, InputError, SizeError
from kinema.server.api.bodies import Body, InvalidBody, unbracket
from kinema.server.api.explain import explain
from kinema.server.api.video_schema import (
    CreateVideo,
    EditVideo,
    ExtendVideo,
    TrimVideo,
    check_allowed,
    check_names_something,
    model_for,
    requested_size,
)
from kinema.server.api.world_schema import AskWhatIf, CreateWorld
from kinema.server.settings import Settings
from kinema.text.prompt_check import names_something, rewrite


def test_brackets() -> None:
    pairs = [("prompt", "x"), ("video[id]", "v"), ("c[]", "1"), ("c[]", "2"), ("k[0][at]", "0"), ("k[1][at]", "2")]
    assert unbracket(pairs) == {"prompt": "x", "video": {"id": "v"}, "c": ["1", "2"], "k": [{"at": "0"}, {"at": "2"}]}
    official = [("k[][picture][id]", "p"), ("k[][at]", "0"), ("k[][picture]", "q"), ("k[][at]", "2"), ("k[][at]", "3")]
    assert unbracket(official) == {"k": [{"picture": {"id": "p"}, "at": "0"}, {"picture": "q", "at": "2"}, {"at": "3"}]}
    assert unbracket([("k[][tags][]", "a"), ("k[][tags][]", "b"), ("k[][at]", "1")]) == {
        "k": [{"tags": ["a", "b"], "at": "1"}]
    }
    for bad in ([("a", 1), ("a[b]", 2)], [("a[b]", 1), ("a", 2)], [("[x]", 1)], [("a" + "[b]" * 9, 1)]):
        with pytest.raises(ApiError):
            unbracket(bad)


def test_a_rate_that_the_model_does_not_film_has_its_mend() -> None:
    usual = capabilities_named("kinema-tiny")
    usual.check_film(1.0, 16.0, (64, 64), mend="pass fps={fps:g}")
    with pytest.raises(SizeError, match=r"^33 frames a second: kinema-tiny films 8 to 32; resample it to 16$"):
        usual.check_film(1.0, 33.0, (64, 64), mend="resample it to {fps:g}")


def test_a_size_of_another_service_becomes_one_of_this_model() -> None:
    """As docs/serving.md says."""
    for size, filmed in (("1280x720", "224x128"), ("720x1280", "80x128"), ("320x180", "336x192"), ("64x64", "64x64")):
        notes: list[str] = []
        assert requested_size(size, "sora-2", "kinema-tiny", notes) == filmed
        assert notes == ([] if size == filmed else [f"kinema-tiny does not film {size}; {filmed} instead"])


@pytest.mark.parametrize("name", ["sora-2", "sora-2-pro", "sora-2-2025-10-06", "sora-2-pro-2025-10-06"])
def test_official_names_are_answered_by_the_default_model(name: str) -> None:
    model, notes = model_for(name, {})
    assert model == "kinema-tiny" and name in notes[0]


def test_names_of_the_operators_own_come_first() -> None:
    assert model_for("sora-2", {"sora-2": "kinema-phyworld"})[0] == "kinema-phyworld"
    with pytest.raises(ApiError, match="no model 'sora-3'"):
        model_for("sora-3", {"sora-2": "kinema-phyworld"})
    with pytest.raises(InputError, match="no such model"):
        Settings(data=Path("x"), aliases={"sora-2": "missing"})


def test_official_sizes_need_no_model() -> None:
    notes: list[str] = []
    assert requested_size("1280x720", None, "kinema-tiny", notes) == "224x128" and notes
    assert requested_size("640x360", None, "kinema-tiny", notes) == "640x360", "is refused by what checks it"


@pytest.mark.parametrize("prompt", ["a calico cat plays a piano", "x", "quickly", "red"])
def test_a_prompt_that_names_nothing_is_refused_with_what_is_filmed(prompt: str) -> None:
    with pytest.raises(ApiError, match="names nothing that kinema-tiny films: expected such as a ball") as refused:
        check_names_something(prompt, "kinema-tiny")
    assert refused.value.code == "nothing_to_film" and "kinema-phyworld" in str(refused.value)


@pytest.mark.parametrize("prompt", ["a red bal rolls", "two boxes", "0-1: circles | 1-2: night", "the desert"])
def test_a_prompt_that_names_something_is_taken(prompt: str) -> None:
    assert names_something(rewrite(prompt)[0])
    check_names_something(prompt, "kinema-tiny")


def test_a_server_makes_no_longer_videos_than_it_says() -> None:
    settings = Settings(data=Path("x"), max_seconds=5.0, max_steps=16)
    check_allowed(settings, 5.0, 16)
    with pytest.raises(ApiError, match="seconds 6"):
        check_allowed(settings, 6.0, None)
    with pytest.raises(ApiError, match="steps 17"):
        check_allowed(settings, 1.0, 17)
    with pytest.raises(InputError, match="job timeout 0"):
        Settings(data=Path("x"), job_timeout_s=0.0)


def line_of(body: type[Body], given: dict[str, object]) -> ApiError:
    """The error response to a body that cannot be used."""
    with pytest.raises(InvalidBody) as refused:
        body.parse(given)
    error = explain(refused.value)
    assert error.status == 400 and len(str(error)) < 300 and len(str(error).splitlines()) == 1
    return error


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("seconds", "1.5", 1.5), ("seed", "7", 7), ("seed", 7.0, 7), ("strict", "true", True), ("strict", "0", False),
        ("characters", "[1]", [1]), ("input_reference", '{"id": "v"}', {"id": "v"}), ("input_reference", "", None),
        ("priority", None, 0), ("priority", "", 0), ("prompt", None, ""), ("size", "", ""), ("keyframes", "[]", []),
    ],
)  # fmt: skip
def test_forms_send_all_values_as_text(name: str, given: object, value: object) -> None:
    assert getattr(CreateVideo.parse({name: given}), name) == value


def test_forms_hold_lists_and_objects() -> None:
    given = CreateVideo.parse(unbracket([("keyframes[0][picture]", "v"), ("keyframes[0][at]", "2")]))
    assert given.keyframes is not None and (given.keyframes[0].picture, given.keyframes[0].at) == ("v", 2.0)
    given = CreateVideo.parse({"guides": '{"camera": [[0, 5, 5, "1"]]}', "blend": {"a": "x", "b": "y", "c": 1}})
    assert given.guides is not None and given.guides.camera == [(0, 5, 5, 1)]


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("size", True, 'size is a boolean: expected text such as "64x64"'),
        ("size", 64, 'size is a number, 64: expected text such as "64x64"'),
        ("prompt", ["a"], "prompt is a list: expected text: what happens"),
        ("seed", "x", "seed 'x': expected a whole number"),
        ("seed", 1.5, "seed 1.5: expected a whole number"),
        ("seed", -1, "seed -1: expected a whole number from 0 to 46116"),
        ("seed", "-1", "seed -1: expected a whole number from 0 to 46116"),
        ("seconds", "0", "seconds '0': expected a number from 0.01 to 600"),
        ("strict", "maybe", "strict 'maybe': expected true or false"),
        ("keyframes", "{", "keyframes '{': expected JSON: pictures on the way: [{"),
        ("keyframes", 5, "keyframes 5: expected a list: pictures on the way: [{"),
        ("keyframes", [{"picture": "v"}] * 65, "keyframes '65 entries': expected up to 64"),
        ("keyframes", [5], 'keyframes[0] 5: expected an object such as {"at": 2.0, "picture": "file_..."}'),
        ("keyframes", [{"picture": "v", "at": "x"}], "keyframes[0].at 'x': expected a number from 0 to 600"),
        ("keyframes", [{"at": 1}], "keyframes[0].picture is missing: what is to be seen"),
        ("guides", {"zoom": 1}, "unknown parameter 'guides.zoom'; there are camera"),
        ("guides", {"camera": [[1, 2, 3]]}, "guides.camera[0] (a list of 3): expected [second, x, y, zoom]"),
        (
            "guides",
            {"camera": []},
            "guides.camera (a list of 0): expected a list: where the camera is, [[second, x, y, zoom]",
        ),
        ("blend", {"a": "v"}, "blend.b is missing: a video"),
    ],
)
def test_an_error_names_the_field_and_says_what_came_and_what_was_expected(name: str, given: object, message: str) -> None:
    error = line_of(CreateVideo, {name: given})
    assert str(error).startswith(message), str(error)
    assert str(error.param).startswith(name) and str(error.param) in str(error)


def test_what_is_missing_unknown_too_long_or_of_another_kind() -> None:
    cases: tuple[tuple[type[Body], dict[str, object], str, str], ...] = (
        (EditVideo, {"video": "v"}, "prompt is missing: what the video is remade by", "missing_value"),
        (EditVideo, {"video": "v", "prompt": " "}, "prompt is empty: what the video is remade by", "missing_value"),
        (EditVideo, {"promt": "x"}, "unknown parameter 'promt'; did you mean 'prompt'?", "unknown_parameter"),
        (ExtendVideo, {"video": None}, "video is missing: the video to go by", "missing_value"),
        (
            TrimVideo,
            {"video": "v", "cuts": [[1]]},
            "cuts[0] (a list of 1): expected [start, end] in seconds",
            "invalid_value",
        ),
        (CreateWorld, {"size": 64}, 'size is a number, 64: expected text such as "64x64"', "invalid_value"),
        (CreateWorld, {"fps": "nan"}, "fps 'nan': expected a number", "invalid_value"),
        (
            CreateWorld,
            {"start": "a red ball"},
            """start 'a red ball': expected JSON such as {"prompt": "a red ball on a field"}""",
            "invalid_value",
        ),
        (
            CreateWorld,
            {"start": [1]},
            """start (a list of 1): expected an object such as {"prompt": "a red ball on a field"}""",
            "invalid_value",
        ),
        (
            CreateWorld,
            {"start": {"prompts": "x"}},
            "unknown parameter 'start.prompts'; did you mean 'prompt'?",
            "unknown_parameter",
        ),
        (AskWhatIf, {"cause": "x", "format": "gif"}, "format 'gif': expected mp4 or png", "invalid_value"),
        (CreateVideo, {"prompt": "x" * 9000}, "prompt has 9000 characters; 8000 are allowed", "too_long"),
        (CreateVideo, {"prompt": "\0"}, "prompt holds characters that are no text", "invalid_value"),
        (CreateVideo, {"prompt": "\ud800"}, "prompt holds characters that are no text", "invalid_value"),
        (CreateVideo, {"\ud800": 1}, "the body holds characters that are no text", "invalid_value"),
    )
    for body, given, message, code in cases:
        error = line_of(body, given)
        assert (str(error), error.code) == (message, code)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("seconds", "nan"), ("seconds", "1e999"), ("seconds", True), ("seconds", []), ("seconds", "1" * 400), ("seed", "0x1"),
        ("seed", True), ("seed", "1" * 400), ("strict", 1), ("strict", []), ("characters", "{"), ("characters", "[" * 100_000),
        ("characters", list(range(2000))), ("guides", "[]"), ("prompt", 5), ("prompt", {}), ("model", False),
    ],
)  # fmt: skip
def test_values_that_are_not_expected(name: str, given: object) -> None:
    assert line_of(CreateVideo, {name: given}).param == name
