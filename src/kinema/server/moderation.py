"""Moderation of prompts and frames: by a list of words, and by an object that the operator names. Off by default."""

from __future__ import annotations

import logging
import re
from importlib import import_module
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kinema.errors import InputError

log = logging.getLogger(__name__)


class Moderation(Protocol):
    """Checks return the reason of a refusal in one line, or None."""

    def check_prompt(self, prompt: str) -> str | None: ...

    def check_frames(self, frames: NDArray[np.uint8]) -> str | None: ...


class WordList:
    """Refuses prompts that contain one of these words, as a whole word and in any case."""

    def __init__(self, words: list[str]) -> None:
        self.words = [word.strip().lower() for word in words if word.strip()]

    @staticmethod
    def read(path: Path) -> WordList:
        return WordList(path.read_text(encoding="utf-8").splitlines())

    def check_prompt(self, prompt: str) -> str | None:
        for word in self.words:
            if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", prompt.lower()):
                return f"the operator of this server does not allow {word!r} in prompts"
        return None

    def check_frames(self, frames: NDArray[np.uint8]) -> str | None:
        return None


class ModerationChain:
    """Runs several checkers and returns the first refusal, which is logged."""

    def __init__(self, checkers: list[Moderation]) -> None:
        self.checkers = checkers

    def check_prompt(self, prompt: str) -> str | None:
        return self._first("prompt", [checker.check_prompt(prompt) for checker in self.checkers])

    def check_frames(self, frames: NDArray[np.uint8]) -> str | None:
        return self._first("frames", [checker.check_frames(frames) for checker in self.checkers])

    def _first(self, what: str, answers: list[str | None]) -> str | None:
        reason = next((answer for answer in answers if answer), None)
        if reason:
            log.warning("policy refused %s: %s", what, reason)
        return reason


def moderation_from(spec: str | None, blocked: Path | None) -> ModerationChain:
    """Build the chain from "package.module:object" (a Moderation, or a callable that returns one) and a file of words."""
    checkers: list[Moderation] = [] if blocked is None else [WordList.read(blocked)]
    if spec is not None:
        module, _, name = spec.partition(":")
        try:
            loaded = getattr(import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise InputError(f"policy {spec!r}: {error}; expected package.module:object") from None
        checkers.append(loaded() if isinstance(loaded, type) or not hasattr(loaded, "check_prompt") else loaded)
    return ModerationChain(checkers)
