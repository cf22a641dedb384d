"""Which words of a prompt a model knows, and what to say instead of the others.

A model's world has a finite vocabulary: the words of the captions it was trained on. A prompt word counts as known when it
or a plain inflection of it (plural, third person, -ing, -ed, common irregular pasts) is one of them, when it is a number, or
when it only holds the sentence together. The suffix rules are the few of Porter (1980) that bring a form back to its base.
"""

from __future__ import annotations

import re
import unicodedata
from difflib import get_close_matches
from functools import lru_cache

_GRAMMAR = """
a an the this that these those and or but also too as of to in on at by for from with into onto off
i we you he she it its they them their there here who which what whose one ones other another each both some any all
is are was were be been being am do does did done has have had having will would can could may might shall should must
not no can't won't then than so when while if just only very same again
"""
_NUMBERS = "zero two three four five six seven eight nine ten once twice first second third"
_ABOUT_THE_FILM = "show see make film clip video movie picture image animation scene shot"
FUNCTION_WORDS = frozenset(f"{_GRAMMAR} {_NUMBERS} {_ABOUT_THE_FILM}".split())
"""Words that are allowed in any prompt: grammar, numbers, and talk about the film itself. Words of place such as 'under' and
words of order such as 'before' are not among them: they carry meaning that a model has to have learned."""

_IRREGULAR = {
    past: base
    for base, pasts in {
        "fall": "fell fallen", "fly": "flew flown", "throw": "threw thrown", "drive": "drove driven", "go": "goes went gone",
        "come": "came", "leave": "left", "run": "ran", "slide": "slid", "stand": "stood", "bring": "brought", "rise": "rose",
        "hide": "hid hidden", "meet": "met", "spin": "spun", "swing": "swung", "hold": "held", "shake": "shook shaken",
        "man": "men", "woman": "women", "person": "people",
    }.items()
    for past in pasts.split()
}  # fmt: skip

_MEANING = {
    "red": "crimson scarlet ruby maroon cherry vermilion burgundy reddish",
    "orange": "amber tangerine brown rust copper",
    "yellow": "gold golden lemon blond yellowish",
    "green": "lime emerald olive mint greenish",
    "cyan": "turquoise teal aqua aquamarine",
    "blue": "azure navy indigo cobalt sapphire bluish",
    "purple": "violet lavender lilac plum mauve",
    "pink": "magenta rose fuchsia salmon",
    "ball": "sphere orb globe marble bubble disc disk",
    "circle": "sphere ring disc disk",
    "box": "cube crate block brick rectangle carton",
    "square": "cube rectangle",
    "triangle": "pyramid wedge cone",
    "car": "vehicle automobile truck van bus taxi auto",
    "robot": "android droid bot machine person man woman human character",
    "screen": "wall curtain panel board occluder",
    "flag": "banner goal target finish",
    "bouncy": "elastic rubber springy",
    "heavy": "iron steel lead metal massive",
    "small": "tiny little mini miniature short",
    "medium": "normal average middling",
    "large": "big huge giant great enormous gigantic tall",
    "field": "meadow grass lawn park garden",
    "desert": "dune sand beach",
    "night": "dark midnight evening",
    "snow": "snowy winter ice icy arctic",
    "lab": "laboratory room studio workshop",
    "moves": "pan travel advance proceed glide speed race dash sail head",
    "rolls": "spin rotate whirl",
    "slides": "skid slip drift",
    "falls": "plunge tumble sink descend plummet",
    "drops": "plunge descend",
    "jumps": "leap hop spring vault",
    "flies": "soar float hover fling",
    "thrown": "toss hurl launch fling throw shoot",
    "bounces": "rebound ricochet deflect",
    "hits": "strike smash crash knock whack bang kick",
    "collides": "crash clash",
    "pushes": "shove nudge press",
    "stops": "halt pause brake freeze end",
    "stay": "remain wait linger",
    "passes": "cross overtake",
    "reaches": "arrive attain",
    "enters": "arrive appear",
    "leaves": "exit depart vanish disappear",
    "above": "over atop",
    "below": "under beneath underneath",
    "behind": "after",
    "then": "afterwards later next finally",
    "left": "leftward leftwards",
    "right": "rightward rightwards",
    "up": "upward upwards",
    "down": "downward downwards",
    "top": "overhead",
    "zooms": "magnify",
    "each": "every",
}
SYNONYMS: dict[str, tuple[str, ...]] = {
    word: tuple(known for known, others in _MEANING.items() if word in others.split())
    for word in sorted({word for others in _MEANING.values() for word in others.split()})
}
"""A word and what may be said instead, the closest first."""


def unknown_words(text: str, vocabulary: frozenset[str]) -> list[str]:
    """The words of a text outside the vocabulary, lower case, in order, each once."""
    return list(dict.fromkeys(word for word in _split(text) if not _known(word, vocabulary)))


def suggest(word: str, vocabulary: frozenset[str]) -> str | None:
    """A word of the vocabulary to use instead of an unknown one: same meaning first, then similar spelling; or None. A function
    word stands for nothing, so one that only looks alike is not suggested."""
    word = word.lower()
    if _known(word, vocabulary):
        return None
    same = _same_meaning(word, vocabulary)
    if same:
        return same
    words = sorted(vocabulary - FUNCTION_WORDS)
    bases = sorted(_bases(word), key=len, reverse=True)
    close = [known for base in bases for known in get_close_matches(base, words, n=1, cutoff=0.8)]
    swapped = [known for known in words if len(known) == len(word) > 2 and sorted(known) == sorted(word)]
    return next(iter(close + swapped), None)


def _same_meaning(word: str, vocabulary: frozenset[str]) -> str | None:
    """The first synonym that the vocabulary has, in the form that is closest to the word's own."""
    for base in sorted(_bases(word)):
        for meant in SYNONYMS.get(base, ()):
            forms = [known for known in sorted(vocabulary) if _bases(known) & _bases(meant)]
            if forms:
                return max(forms, key=lambda form: (ending_of(form) == ending_of(word), form == meant, -len(form)))
    return None


def _split(text: str) -> list[str]:
    """Lower-case words, and signs such as emoji; punctuation and white space are dropped."""
    tokens = re.findall(r"[^\W_]+(?:'[^\W_]+)?|[^\w\s]", unicodedata.normalize("NFKC", text).replace("’", "'").lower())
    return [piece for piece in tokens if piece[0].isalnum() or unicodedata.category(piece) == "So"]


def _known(word: str, vocabulary: frozenset[str]) -> bool:
    if re.fullmatch(r"\d+(?:st|nd|rd|th|s|x)?", word):
        return True
    plain = re.sub(r"(?:n't|'(?:s|re|ve|ll|d|m))$", "", word)
    return word in FUNCTION_WORDS or not _bases(plain).isdisjoint(_all_bases(vocabulary) | FUNCTION_WORDS)


@lru_cache(maxsize=16)
def _all_bases(vocabulary: frozenset[str]) -> frozenset[str]:
    return frozenset(base for word in vocabulary for base in _bases(word))


def same_base(a: str, b: str) -> bool:
    """Whether two words are forms of one: 'roll' and 'rolls'."""
    return not _bases(a).isdisjoint(_bases(b))


def ending_of(word: str) -> str:
    """'ing', 'ed', 's' or ''."""
    return next((ending for ending in ("ing", "ed", "s") if word.endswith(ending)), "")


@lru_cache(maxsize=4096)
def _bases(word: str) -> frozenset[str]:
    """The word and the base forms that it may be an inflection of: 'sliding' -> sliding, slide."""
    bases = {word, _IRREGULAR.get(word, word)}
    if re.search(r"[^s]s$", word) and len(word) > 3:
        bases.add(word[:-1])
    if re.search(r"(?:s|x|z|ch|sh|o)es$", word):
        bases.add(word[:-2])
    if re.search(r"[^aeiou]ie[sd]$", word):
        bases.add(f"{word[:-3]}y")
    stem = re.sub(r"(?:ing|ed)$", "", word)
    if stem != word and len(stem) > 2 and re.search(r"[aeiouy]", stem):
        short = re.fullmatch(r"[^aeiou]*[aeiou][^aeiouwxy]", stem)
        bases |= {f"{stem}e"} if short else {stem, f"{stem}e"}
        if re.search(r"([^aeiou])\1$", stem):
            bases.add(stem[:-1])
    elif stem != word and word.endswith("ing") and len(stem) == 2:
        bases.add(stem)
    return frozenset(bases)
