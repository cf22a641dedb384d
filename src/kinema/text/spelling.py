"""Plain typos: a word that means nothing and is one slip away from exactly one word that is known.

Of two such words the one with the same first letter is meant. A real English word is no typo, however near it is ('fox' is
not 'box'): the encoder's own word list says which are real. Short function words are near many words of other languages ('nach' is
not 'each'), so only swapped letters are read as one ('wiht').
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from kinema.text.vocabulary import FUNCTION_WORDS, SYNONYMS, ending_of, same_base, unknown_words

COMMON = 20_000
"""Entries of the encoder's word list, the most frequent first, that count as real words."""
SHORTEST, LONG = 3, 6
"""Letters of a word that is corrected, and of one in which two slips are allowed."""
SHORT_FUNCTION_WORD = 4
"""Letters up to which a function word is meant only where two neighbors are swapped."""


def corrections(text: str, vocabulary: frozenset[str]) -> dict[str, str]:
    """For each misspelt word of a text (lower case) the one word that was meant."""
    corrections = {word: _meant(word, vocabulary) for word in unknown_words(text, vocabulary)}
    return {word: meant for word, meant in corrections.items() if meant is not None}


@lru_cache(maxsize=1)
def _real_words() -> frozenset[str]:
    lines = Path(__file__).with_name("wordpiece.txt").read_text(encoding="utf-8").splitlines()[:COMMON]
    return frozenset(line for line in lines if len(line) > 1 and line.isalpha())


def _meant(word: str, vocabulary: frozenset[str]) -> str | None:
    near = _nearest(word, vocabulary)
    if near in FUNCTION_WORDS and len(near) <= SHORT_FUNCTION_WORD and not _swapped(word, near):
        return None
    return near


def _swapped(a: str, b: str) -> bool:
    """Whether one word is the other with two neighboring letters swapped."""
    return sorted(a) == sorted(b) and slips_between(a, b, 1) == 1


def _nearest(word: str, vocabulary: frozenset[str]) -> str | None:
    """The one known word that is fewest slips away; None where there is none, or several."""
    if len(word) < SHORTEST or not word.isalpha() or word in SYNONYMS or word in _real_words():
        return None
    known = sorted(vocabulary | FUNCTION_WORDS)
    for slips in (1, 2) if len(word) >= LONG else (1,):
        near = [other for other in known if len(other) > 2 and slips_between(word, other, slips) <= slips]
        near = [other for other in near if other[0] == word[0]] or near
        if near:
            alike = all(same_base(near[0], other) for other in near)
            same = [other for other in near if ending_of(other) == ending_of(word)]
            return near[0] if len(near) == 1 else same[0] if alike and len(same) == 1 else None
    return None


def slips_between(a: str, b: str, most: int) -> int:
    """Letters added, left out, changed, or neighbors swapped (Damerau 1964, optimal string alignment); most + 1 if more."""
    if abs(len(a) - len(b)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        now = [i]
        for j, y in enumerate(b, 1):
            best = min(row[j] + 1, now[j - 1] + 1, row[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                best = min(best, before[j - 2] + 1)
            now.append(best)
        before, row = row, now
    return min(row[-1], most + 1)
