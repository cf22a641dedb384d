"""Bodies: bracket keys become what they stand for, and whatever is not expected is refused in one line."""

from __future__ import annotations

import pytest

pytest.importorskip("fastapi", reason="needs kinema[serve]")

from kinema.errors import ApiError
from kinema.server.api.forms import Field, unbracket


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
