"""Laws of text encoders from a folder: the protocol of the one that comes with Kinema, whatever kind it is; no other one."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("transformers", reason="needs kinema[open-weights]")

import transformers

from kinema.engines.diffusers.tiny import words
from kinema.errors import InputError, ModelError
from kinema.text.folder_encoder import FolderEncoder, encoder_sha256, open_text_encoder

TEXTS = ["a red ball", "a blue box rolls slowly to the right", "", "a red ball", "it waves"]
KINDS = ("umt5", "qwen", "bert")


def write_encoder(kind: str, folder: Path, seed: int = 0) -> Path:
    """A tiny encoder with random weights."""
    torch.manual_seed(seed)
    if kind == "umt5":
        words.t5_encoder(umt5=True).save_pretrained(folder)
        words.t5_tokenizer().save_pretrained(folder)
    elif kind == "qwen":
        config = transformers.Qwen2Config(
            vocab_size=640, hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2,
        )  # fmt: skip
        transformers.Qwen2ForCausalLM(config).save_pretrained(folder)
        words.qwen_tokenizer().save_pretrained(folder)
    else:
        letters = sorted({*"abcdefghijklmnopqrstuvwxyz"})
        pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{c}" for c in letters)]
        bert = transformers.BertConfig(
            vocab_size=len(pieces), hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
            max_position_embeddings=64,
        )  # fmt: skip
        transformers.BertForMaskedLM(bert).save_pretrained(folder)
        transformers.BertTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: write_encoder(kind, tmp_path_factory.mktemp(kind) / "encoder") for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_states_are_those_of_the_text_alone_and_of_one_size(folders: dict[str, Path], kind: str) -> None:
    before = torch.get_rng_state()
    encoder = FolderEncoder(folders[kind])
    assert torch.equal(torch.get_rng_state(), before)
    states, mask = encoder.encode(TEXTS)
    assert states.dtype == np.float32 and mask.dtype == np.bool_
    assert states.shape == (*mask.shape, encoder.dim) == (len(TEXTS), int(mask.sum(1).max()), 32)
    assert np.array_equal(mask, np.sort(mask, axis=1)[:, ::-1]) and not states[~mask].any()
    np.testing.assert_allclose(np.square(states[mask]).mean(-1), 1.0, rtol=1e-4)
    assert np.array_equal(states[0], states[3]) and not np.allclose(states[0], states[1])
    for row, text in enumerate(TEXTS):
        alone, there = encoder.encode([text])
        np.testing.assert_allclose(alone[0], states[row][: alone.shape[1]], atol=1e-5)
        assert there.sum() == mask[row].sum()
    assert encoder.encode([TEXTS[1]], max_tokens=4)[1].sum() <= 4
    assert np.array_equal(FolderEncoder(folders[kind]).encode(TEXTS)[0], states)


def test_bad_wishes_get_one_line(folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = FolderEncoder(folders["umt5"])
    with pytest.raises(InputError, match="expects a list"):
        encoder.encode("a red ball")
    with pytest.raises(InputError, match="max_tokens 1 is out of range"):
        encoder.encode(["a"], max_tokens=1)
    with pytest.raises(ModelError, match=r"no text encoder in .*nowhere: expected a folder of transformers"):
        open_text_encoder(tmp_path / "nowhere")
    lacking = shutil.copytree(folders["bert"], tmp_path / "lacking")
    (lacking / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot be loaded") as error:
        FolderEncoder(lacking)
    assert "\n" not in str(error.value)
    deeper = shutil.copytree(folders["bert"], tmp_path / "deeper")
    config = json.loads((deeper / "config.json").read_text())
    (deeper / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 2}))
    with pytest.raises(ModelError, match=r"lacks weights: encoder\.layer\.1"):
        FolderEncoder(deeper)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ModelError, match=r"needs transformers: pip install"):
        FolderEncoder(folders["bert"])


def test_another_encoder_is_refused_and_a_folder_of_diffusers_is_read(folders: dict[str, Path], tmp_path: Path) -> None:
    expected = encoder_sha256(folders["umt5"])
    assert FolderEncoder(folders["umt5"], expected=expected).sha256 == expected
    other = write_encoder("umt5", tmp_path / "other", seed=1)
    with pytest.raises(ModelError, match=f"is another one than this was trained with \\({expected[:12]}"):
        FolderEncoder(other, expected=expected)
    words.t5_encoder(umt5=True).save_pretrained(tmp_path / "pipeline" / "text_encoder")
    words.t5_tokenizer().save_pretrained(tmp_path / "pipeline" / "tokenizer")
    whole, part = FolderEncoder(tmp_path / "pipeline"), FolderEncoder(tmp_path / "pipeline" / "text_encoder")
    assert whole.sha256 == part.sha256 and np.array_equal(whole.encode(TEXTS)[0], part.encode(TEXTS)[0])
