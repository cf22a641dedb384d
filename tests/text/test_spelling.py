"""Laws of spelling: plain typos are read as the one word that is meant; real words and ambiguous ones are left alone."""

from __future__ import annotations

import pytest

from kinema.playground.vocabulary import VOCABULARY
from kinema.text.spelling import corrections, slips_between


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a rde bal rolls rigth", {"rde": "red", "bal": "ball", "rigth": "right"}),
        ("a yelow squre and a trianlge", {"yelow": "yellow", "squre": "square", "trianlge": "triangle"}),
        ("a red fox, a cat and a dog hat", {}),
        ("a sphere rolls; a bleu box", {"bleu": "blue"}),
        ("qqq xx zebra", {}),
        ("a ball wiht a box", {"wiht": "with"}),
        ("nach wth fom thn iss zwei", {}),
        ("a ball whihc rolls", {"whihc": "which"}),
        ("a red ball rolls right", {}),
    ],
)
def test_typos_are_corrected_and_words_are_not(text: str, expected: dict[str, str]) -> None:
    assert corrections(text, VOCABULARY) == expected


@pytest.mark.parametrize(("a", "b", "slips"), [("rde", "red", 1), ("bal", "ball", 1), ("box", "box", 0), ("abc", "xyz", 2)])
def test_slips_are_counted(a: str, b: str, slips: int) -> None:
    assert slips_between(a, b, 1) == slips == slips_between(b, a, 1)
