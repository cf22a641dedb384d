"""The cards of the shipped weights say what the weights are."""

from __future__ import annotations

import re

import pytest
from safetensors import safe_open

from kinema.models.hub import CARD, WEIGHTS, available_models, find


@pytest.mark.parametrize("name", available_models())
def test_a_card_names_the_number_of_parameters(name: str) -> None:
    folder = find(name)
    with safe_open(folder / WEIGHTS, "pt") as weights:
        count = sum(weights.get_tensor(key).numel() for key in weights.keys())  # noqa: SIM118
    match = re.search(r"(\d+\.\d) million parameters", (folder / CARD).read_text(encoding="utf-8"))
    assert match is not None and float(match[1]) == round(count / 1e6, 1)
