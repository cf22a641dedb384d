"""Prompts against a model's world: which words it has never met, and what to say instead.

A prompt beyond a model's vocabulary is answered with what it does not know, never with silent nonsense.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from kinema.errors import VocabularyError
from kinema.text.vocabulary import suggest, unknown_words
from kinema.worlds.playground import VOCABULARY

log = logging.getLogger(__name__)


def check_words(prompt: str, *, strict: bool, model: str, lacks: Sequence[str] = ()) -> list[str]:
    """Words that the model has never met; with `strict` they are an error, else a warning. lacks: words of its world that it
    was not fed."""
    known = VOCABULARY - set(lacks)
    strange = unknown_words(prompt, known)
    if not strange:
        return []
    meant = {word: suggest(word, known) for word in strange}
    hints = [f"{word!r}" + (f" (perhaps {meant[word]!r})" if meant[word] else "") for word in strange]
    message = (
        f"{model} does not know {', '.join(hints)}; it films balls, boxes, triangles, stars, cars, robots, screens, flags"
    )
    if strict:
        raise VocabularyError(message)
    log.warning("%s. Going on; --strict refuses instead, and an open-weights model knows more", message)
    return strange
