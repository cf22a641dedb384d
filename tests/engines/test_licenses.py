"""Laws of licenses: what is known by a name, which must be accepted, and where they do not hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kinema.engines.licenses import APACHE, TENCENT, excluded_from, license_named, parse_territory, terms_digest, terms_of
from kinema.engines.protocol import License
from kinema.engines.registry import ModelEntry, entries, save_entry
from kinema.errors import InputError


def test_a_license_by_its_name() -> None:
    """What is known to be free holds at once; others that are named must be accepted; none is asked for without a name."""
    assert not license_named("Apache-2.0").must_accept and license_named("apache-2.0").link == APACHE.link
    assert license_named("some-community-license", "LICENSE") == License(
        name="some-community-license", link="LICENSE", must_accept=True
    )
    assert license_named("tencent-hunyuan-community").excluded == ("EU", "GB", "KR")
    assert license_named("") == License()
    assert license_named("mit", must_accept=True).must_accept


@pytest.mark.parametrize(
    ("territories", "excluded"),
    [
        ((), []),
        (("US", "JP"), []),
        (("US", "DE"), ["DE"]),
        (("EU",), ["EU"]),
        (("KR", "GB", "CH"), ["KR", "GB"]),
    ],
)
def test_where_a_license_does_not_hold(territories: tuple[str, ...], excluded: list[str]) -> None:
    assert excluded_from(TENCENT, territories) == excluded


def test_a_part_of_a_territory_is_excluded_from_it() -> None:
    french = License(name="x", excluded=("FR",))
    assert (excluded_from(french, ["EU"]), excluded_from(french, ["DE"])) == (["EU"], [])


def test_codes_of_territories() -> None:
    assert [parse_territory(text) for text in ("eu", " de ", "KR")] == ["EU", "DE", "KR"]
    for text, message in (("UK", "is GB"), ("Germany", "two letters"), ("", "two letters"), ("D1", "two letters")):
        with pytest.raises(InputError, match=message):
            parse_territory(text)


def test_other_terms_are_accepted_anew() -> None:
    assert terms_digest(TENCENT) == terms_digest(replace(TENCENT, attribution="shown beside films"))
    assert terms_digest(TENCENT) != terms_digest(replace(TENCENT, excluded=("EU", "GB")))
    assert "100 million users" in terms_of(TENCENT) and "\n" not in terms_of(TENCENT)


def test_a_license_of_an_entry(tmp_path: Path) -> None:
    """Written by hand: what is left out is known by the name; it comes back as it was."""
    file = tmp_path / "models.toml"
    file.write_text(
        "[models.a]\nsource = 'a'\nlicense = { name = 'tencent-hunyuan-community' }\n"
        "[models.b]\nsource = 'b'\nlicense = { name = 'mine', must_accept = false, excluded = ['us', 'EU'] }\n"
    )
    known = entries(file)
    assert known["a"].license == TENCENT
    assert known["b"].license == License(name="mine", excluded=("US", "EU"), must_accept=False)
    save_entry(ModelEntry(name="c", source="c"), file)
    assert {name: entry.license for name, entry in entries(file).items() if name != "c"} == {
        name: entry.license for name, entry in known.items()
    }
    file = tmp_path / "spoiled.toml"
    for wrong, message in (("excluded = ['Europe']", "two letters"), ("must_accept = 'no'", "true or false")):
        file.write_text(f"[models.a]\nsource = 'a'\nlicense = {{ {wrong} }}\n")
        with pytest.raises(InputError, match=message):
            entries(file)
