"""What is known of licenses by their names: which must be accepted before a model films, and where they do not hold."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import fields, replace

from kinema.engines.protocol import License
from kinema.errors import InputError

FREE = (
    *("apache-2.0", "mit", "bsd", "bsd-2-clause", "bsd-3-clause", "isc", "cc0-1.0", "unlicense", "cc-by-4.0"),
    *("afl-3.0", "ecl-2.0", "zlib"),
)
"""Licenses that hold without being accepted. Every other one that a model names must be accepted."""
EUROPEAN_UNION = frozenset(
    (
        *("AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES"),
        *("FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU"),
        *("LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK"),
    )
)
"""ISO 3166-1 codes of its members."""
APACHE = License(name="Apache-2.0", link="https://www.apache.org/licenses/LICENSE-2.0")
MIT = License(name="MIT", link="https://opensource.org/license/mit")
TENCENT = License(
    name="tencent-hunyuan-community", link="https://github.com/Tencent-Hunyuan/HunyuanVideo/blob/main/LICENSE.txt",
    territory="not in the European Union, the United Kingdom and South Korea", excluded=("EU", "GB", "KR"),
    revenue="up to 100 million users a month", must_accept=True,
)  # fmt: skip
STABILITY = License(
    name="stability-ai-community",
    link="https://stability.ai/license",
    revenue="up to USD 1,000,000 a year",
    must_accept=True,
)
KNOWN = {one.name.lower(): one for one in (APACHE, MIT, TENCENT, STABILITY)}


def license_named(name: str, link: str = "", **more: str | bool | tuple[str, ...]) -> License:
    """A license by its name.

    Args:
        name: As a model's card or entry writes it; "": none is named.
        link: Where its text is.
        more: Further fields of `License`, which go before what is known.

    Returns:
        The license, with what is known of it. One that is not known to be free must be accepted.
    """
    known = KNOWN.get(name.lower())
    if known is None:
        known = License(must_accept=bool(name) and name.lower() not in FREE)
    given = {key: value for key, value in {"name": name, "link": link, **more}.items() if value != ""}
    return replace(known, **given)  # type: ignore[arg-type]


def parse_territory(text: str) -> str:
    """A code of a territory, such as "DE" or "EU". InputError for other texts."""
    code = text.strip().upper()
    if code == "UK":
        raise InputError(f"territory {text!r}: the code of the United Kingdom is GB")
    if not re.fullmatch(r"[A-Z]{2}", code):
        raise InputError(f"territory {text[:40]!r}: expected EU or a country's code of two letters, such as DE (ISO 3166-1)")
    return code


def excluded_from(license: License, territories: Iterable[str]) -> list[str]:
    """Those of some territories in which, or in a part of which, a license does not hold."""
    without = set(license.excluded)
    return [one for one in territories if _parts(one) & set().union(*map(_parts, without), without)]


def terms_of(license: License) -> str:
    """A license and its limits in one line."""
    parts = [
        license.name or "a license", license.territory and f"territory: {license.territory}",
        license.revenue and f"revenue: {license.revenue}", license.link,
    ]  # fmt: skip
    return "; ".join(filter(None, parts))


def terms_digest(license: License) -> str:
    """SHA-256 of a license's terms; it changes when they do, and who accepted the former ones is asked again."""
    terms = [(one.name, getattr(license, one.name)) for one in fields(License) if one.name != "attribution"]
    return hashlib.sha256(repr(terms).encode()).hexdigest()


def _parts(territory: str) -> frozenset[str]:
    return EUROPEAN_UNION | {territory} if territory == "EU" else frozenset((territory,))
