"""Bodies: bracket keys become what they stand for, and whatever is not expected is refused in one line."""

from __future__ import annotations

import pytest

pytest.importorskip("fastapi", reason="needs kinema[serve]")

from kinema.errors import ApiError, SizeError
from kinema.server.api import video_schema, worlds
from kinema.server.api.bodies import unbracket
from kinema.server.api.forms import Field
from kinema.server.api.video_schema import check_length, config_of, size_for

BEGIN = {field.name: field for field in worlds.BEGIN}
CREATE = {field.name: field for field in video_schema.CREATE}


def test_brackets() -> None:
    pairs = [("prompt", "x"), ("video[id]", "v"), ("c[]", "1"), ("c[]", "2"), ("k[0][at]", "0"), ("k[1][at]", "2")]
    assert unbracket(pairs) == {"prompt": "x", "video": {"id": "v"}, "c": ["1", "2"], "k": [{"at": "0"}, {"at": "2"}]}
    for bad in ([("a", 1), ("a[b]", 2)], [("a[b]", 1), ("a", 2)], [("[x]", 1)], [("a" + "[b]" * 9, 1)]):
        with pytest.raises(ApiError):
            unbracket(bad)


@pytest.mark.parametrize(
    ("field", "given", "value"),
    [
        (Field(name="x", kind="number", about="", low=0), "1.5", 1.5),
        (Field(name="x", kind="whole", about=""), "7", 7),
        (Field(name="x", kind="whole", about=""), 7.0, 7),
        (Field(name="x", kind="flag", about=""), "true", True),
        (Field(name="x", kind="list", about=""), "[1]", [1]),
        (Field(name="x", kind="reference", about=""), '{"id": "v"}', {"id": "v"}),
        (Field(name="x", kind="whole", about="", default=3), None, 3),
        (Field(name="x", kind="number", about="", default=3), "", 3),
    ],
)
def test_values(field: Field, given: object, value: object) -> None:
    assert field.read(given) == value


@pytest.mark.parametrize(
    ("field", "given", "message"),
    [
        (BEGIN["size"], 64, 'size is a number, 64: expected text such as "64x64"'),
        (CREATE["size"], True, 'size is a boolean: expected text such as "64x64"'),
        (CREATE["prompt"], ["a"], "prompt is a list: expected text: what happens"),
        (CREATE["seed"], "x", "seed 'x': expected a whole number"),
        (CREATE["seed"], 1.5, "seed 1.5: expected a whole number"),
        (BEGIN["start"], "a red ball", """start 'a red ball': expected JSON such as {"prompt": "a red ball on a field"}"""),
        (BEGIN["start"], [1], """start (a list of 1): expected an object such as {"prompt": "a red ball on a field"}"""),
        (CREATE["keyframes"], "{", "keyframes '{': expected JSON: pictures on the way: [{"),
        (CREATE["keyframes"], 5, "keyframes 5: expected a list: pictures on the way: [{"),
    ],
)
def test_an_error_tells_numbers_from_text_and_gives_an_example(field: Field, given: object, message: str) -> None:
    with pytest.raises(ApiError) as refused:
        field.read(given)
    assert str(refused.value).startswith(message) and refused.value.param == field.name


def test_a_rate_that_the_model_does_not_film_has_its_mend() -> None:
    config = config_of("kinema-tiny")
    check_length(config, 1.0, 16.0, 64, 64, mend="pass fps={fps:g}")
    with pytest.raises(SizeError, match=r"^33 frames a second: kinema-tiny films 8 to 32; resample it to 16$"):
        check_length(config, 1.0, 33.0, 64, 64, mend="resample it to {fps:g}")


def test_a_size_of_another_service_becomes_one_of_this_model() -> None:
    """As docs/serving.md says."""
    for size, filmed in (("1280x720", "224x128"), ("720x1280", "80x128"), ("320x180", "336x192"), ("64x64", "64x64")):
        notes: list[str] = []
        assert size_for({"model": "sora-2", "size": size}, "kinema-tiny", notes) == filmed
        assert notes == ([] if size == filmed else [f"kinema-tiny does not film {size}; {filmed} instead"])


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("number", "nan"), ("number", "1e999"), ("number", True), ("number", []), ("number", "1" * 400), ("whole", 1.5),
        ("whole", "0x1"),
        ("whole", True), ("flag", "maybe"), ("list", "{"), ("list", "[" * 100_000), ("list", list(range(2000))), ("object", "[]"),
        ("text", 5), ("text", "\0"), ("text", "x" * 9000), ("text", "\ud800"),
    ],
)  # fmt: skip
def test_what_is_not_expected(kind: str, given: object) -> None:
    with pytest.raises(ApiError) as refused:
        Field(name="x", kind=kind, about="").read(given)  # type: ignore[arg-type]
    assert refused.value.status == 400 and refused.value.param == "x" and len(str(refused.value)) < 300
