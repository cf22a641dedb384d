"""The shipped weights answer as they did before the code's shape was changed.

`python tests/golden/test_golden.py` makes the results anew: after weights have changed, or a fault was mended on purpose (the
commit says which). Processors differ in the last bits, so frames may differ by 2 gray levels and numbers by 1e-3.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
from results import RESULTS, fingerprint, golden_model

KEPT = Path(__file__).parent / "results.npz"
GRAY, NUMBER = 2, 1e-3
SLOW = ("arena",)


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in RESULTS])
def test_answers_are_as_before(name: str) -> None:
    kept = np.load(KEPT)
    assert str(kept["fingerprint"]) == fingerprint(), "other weights ship now; make the results anew with this file"
    expected = {key.removeprefix(name + "/"): kept[key] for key in kept.files if key.startswith(name + "/")}
    found = RESULTS[name](golden_model())
    assert found.keys() == expected.keys()
    for key, value in found.items():
        assert value.shape == expected[key].shape, key
        if value.dtype == np.uint8:
            off = np.abs(value.astype(np.int16) - expected[key].astype(np.int16))
            assert off.max() <= GRAY, f"{key}: {off.max()} gray levels off in {(off > GRAY).mean():.1%} of the values"
        else:
            np.testing.assert_allclose(value, expected[key], atol=NUMBER, rtol=NUMBER, err_msg=key)


def make(only: list[str]) -> None:
    """Make all results, or those that are named, and keep the rest."""
    torch.set_num_threads(1)
    kept = dict(np.load(KEPT)) if KEPT.exists() else {}
    for name, result in RESULTS.items():
        if only and name not in only:
            continue
        kept = {key: value for key, value in kept.items() if not key.startswith(name + "/")}
        made = result(golden_model())
        kept |= {f"{name}/{key}": value for key, value in made.items()}
        print(name, ", ".join(f"{key} {value.shape}" for key, value in made.items()), flush=True)
    np.savez_compressed(KEPT, **kept | {"fingerprint": np.array(fingerprint())})


if __name__ == "__main__":
    make(sys.argv[1:])
