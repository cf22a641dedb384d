"""Words that the glossary (CONTRIBUTING.md) replaced are no identifiers of the package."""

from __future__ import annotations

import re
import tokenize
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "kinema"
WORDS = """
told said gone kept asked wrong way ways here found deed leap stride follows sketch settle_identity settle_looks trend sight glimpse
diet draft bank banks canaries own_past stretches dream house hall desk crew cheats deaf stamp stamps codec deed_in sketch_out
sight_out stride_in end_chance Stem Stamp Trend Moment Memory Deed House Hall Desk Hand Crew Pace Diet Bank Canaries Codec Subject
PatternShares
"""
REPLACED = frozenset(WORDS.split())
ORDINARY = {
    "codec": {"media/write.py"},
    "found": {"server/api/verify.py"},
    "stamp": {"server/webhooks.py", "server/storage/upgrade.py"},
}
"""Files in which a word has its ordinary meaning: H.264 is a codec, a webhook carries a time stamp, Alembic stamps a store,
and `found` is a field of a response."""


def identifiers(path: Path) -> set[str]:
    with path.open("rb") as file:
        return {token.string for token in tokenize.tokenize(file.readline) if token.type == tokenize.NAME}


def test_replaced_words_are_no_identifiers() -> None:
    used = []
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        for word in sorted(identifiers(path) & REPLACED):
            if name not in ORDINARY.get(word, ()):
                used.append(f"{name}: {word}")
    assert not used, used


def test_every_word_that_is_excused_is_used_there() -> None:
    for word, files in ORDINARY.items():
        for name in files:
            assert word in identifiers(SOURCE / name), f"{name} does not use {word}"


def test_errors_are_named_error() -> None:
    """`except ... as error`, in every file."""
    for path in sorted(SOURCE.rglob("*.py")):
        names = set(re.findall(r"except [^\n]+ as (\w+):", path.read_text()))
        assert names <= {"error"}, f"{path.name}: {sorted(names)}"
