"""A text encoder of transformers from a local folder: T5 and UMT5, decoders such as Qwen, encoders such as BERT.

Nothing is fetched and no code of the folder is run. The states are those of the last layer. Encoders differ by orders of magnitude
in how large they are, so each token's state is divided by its root mean square.

Axes: B texts, L tokens, E width.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kinema.devices import float32_default, kept_rng
from kinema.errors import ModelError
from kinema.text.encoder import TextEncoder, default_encoder, encode_by_length

ENDINGS = (".json", ".safetensors", ".bin", ".model", ".txt")
"""Of the files that make an encoder what it is."""
UNUSED = ("pooler",)
"""Parts whose weights may be missing, as they change no token's state."""


def encoder_folders(folder: Path | str) -> tuple[Path, Path]:
    """Where a text encoder's weights and its tokenizer lie: in the folder, or, as in a folder of diffusers, in text_encoder/ and
    tokenizer/ in it or beside each other. ModelError: there is no encoder."""
    given = Path(folder)
    weights = given / "text_encoder" if (given / "text_encoder" / "config.json").is_file() else given
    if not (weights / "config.json").is_file():
        raise ModelError(
            f"no text encoder in {given}: expected a folder of transformers, with config.json, weights and tokenizer"
        )
    own = (weights / "tokenizer_config.json").is_file() or not (weights.parent / "tokenizer").is_dir()
    return weights, weights if own else weights.parent / "tokenizer"


def encoder_sha256(folder: Path | str) -> str:
    """SHA-256 over the names and contents of a text encoder's files. ModelError: there is none, or a file cannot be read."""
    weights, tokenizer = encoder_folders(folder)
    digest = hashlib.sha256()
    try:
        for role, place in (("weights", weights), *([("tokenizer", tokenizer)] if tokenizer != weights else [])):
            for path in sorted(path for path in place.iterdir() if path.suffix in ENDINGS and path.is_file()):
                with path.open("rb") as file:
                    digest.update(f"{role} {path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    except OSError as error:
        raise ModelError(f"the text encoder in {folder} cannot be read: {error.strerror}") from None
    return digest.hexdigest()


def check_encoder(folder: Path | str, expected: str, there: str = "") -> None:
    """ModelError where a folder holds another text encoder than expected, "" for any. there: its SHA-256, if it is known."""
    sha256 = there or encoder_sha256(folder)
    if expected not in ("", sha256):
        raise ModelError(
            f"the text encoder in {folder} (sha256 {sha256[:12]}...) is another one than this was trained with"
            f" ({expected[:12]}...); put that one back"
        )


class FolderEncoder:
    """A text encoder of transformers (`kinema.text.TextEncoder`), loaded on construction.

    A text's states do not depend on the texts beside it: only texts of equal length run together.

    Args:
        folder: With config.json, weights and tokenizer, as `save_pretrained` writes them; or one of diffusers that has them in
            text_encoder/ and tokenizer/.
        expected: SHA-256 that the files must have, "" for any.
        device: On which it runs.

    Raises:
        ModelError: transformers is not installed, or the folder holds no text encoder, or another one than expected.
    """

    def __init__(self, folder: Path | str, *, expected: str = "", device: str | torch.device = "cpu") -> None:
        self.folder, self.device = Path(folder), torch.device(device)
        weights, tokenizer = encoder_folders(folder)
        self.sha256 = encoder_sha256(folder)
        """Over all files of it."""
        check_encoder(folder, expected, self.sha256)
        try:
            import transformers
        except ImportError:
            raise ModelError("a text encoder from a folder needs transformers: pip install 'kinema[open-weights]'") from None
        try:
            with kept_rng(), float32_default():
                self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(tokenizer, local_files_only=True)
                model, missing = _loaded(transformers, weights)
        except (OSError, ValueError, KeyError, ImportError, RuntimeError, TypeError, AttributeError) as error:
            reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise ModelError(f"the text encoder in {folder} cannot be loaded: {reason[:200]}") from None
        lacks = [name for name in missing if not any(part in name for part in UNUSED)]
        if lacks:
            raise ModelError(
                f"the text encoder in {folder} lacks weights: {lacks[0]} ({len(lacks)} such); copy the whole folder"
            )
        self._model = model.to(self.device).eval().requires_grad_(False)
        self.dim = int(model.config.get_text_config().hidden_size)
        """E."""

    def __repr__(self) -> str:
        return f"FolderEncoder({str(self.folder)!r}, {self.dim} wide, {self.device})"

    def encode(self, texts: Sequence[str], max_tokens: int = 48) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Token states [B, L, E] and which of them are real [B, L], as of `kinema.text.MiniLM.encode`; each state's root mean
        square is 1. Longer texts are cut as the tokenizer cuts them. InputError: a string in place of a list, or a max_tokens out
        of range."""
        return encode_by_length(texts, max_tokens, self.dim, self._tokenize, self._run)

    def _tokenize(self, text: str, max_tokens: int) -> tuple[int, ...]:
        return tuple(self._tokenizer(text, truncation=True, max_length=max_tokens)["input_ids"])

    @torch.inference_mode()
    def _run(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """ids [B, L], all real -> states [B, L, E]."""
        given = torch.from_numpy(ids).to(self.device)
        states = self._model(input_ids=given, attention_mask=torch.ones_like(given)).last_hidden_state.float()
        states = states / states.square().mean(-1, keepdim=True).sqrt().clamp_min(1e-6)
        made: NDArray[np.float32] = states.cpu().numpy()
        return made


def open_text_encoder(folder: Path | str, device: str | torch.device = "cpu") -> TextEncoder:
    """The text encoder in a folder, or for "" the one that comes with Kinema. ModelError: as of `FolderEncoder`."""
    return FolderEncoder(folder, device=device) if str(folder) else default_encoder()


def encoder_entries(text: TextEncoder) -> dict[str, Any]:
    """What the config of a model says of its text encoder: nothing of the one that comes with Kinema."""
    if not isinstance(text, FolderEncoder):
        return {}
    return {"text_encoder": str(text.folder.resolve()), "text_encoder_sha256": text.sha256}


def _loaded(transformers: Any, folder: Path) -> tuple[Any, list[str]]:
    """The network that gives states, and the names of its weights that the folder lacks."""
    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    known = config.model_type in transformers.models.auto.modeling_auto.MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES
    kind = transformers.AutoModelForTextEncoding if known else transformers.AutoModel
    model, about = kind.from_pretrained(folder, config=config, local_files_only=True, dtype="auto", output_loading_info=True)
    missing = sorted(about["missing_keys"])
    if config.is_encoder_decoder and not known:
        model, missing = model.get_encoder(), [name for name in missing if "encoder." in name]
    return model, missing
