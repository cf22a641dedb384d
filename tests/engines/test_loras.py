"""LoRA: loaded and weighed for one film, and dropped for the next."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.engines.loras import make_lora

from kinema.engines import FilmRequest
from kinema.engines.diffusers.engine import DiffusersEngine
from kinema.engines.protocol import Lora
from kinema.engines.registry import ModelEntry, check_lora
from kinema.errors import InputError


@pytest.fixture(scope="module")
def lora(tiny: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_lora(tiny("wan"), tmp_path_factory.mktemp("lora")))


def film(engine: DiffusersEngine, *loras: Lora) -> np.ndarray[Any, Any]:
    request = FilmRequest(workflow="generate", prompt="A red ball", seconds=0.3, size=(32, 32), steps=2, loras=loras)
    (clip,) = engine.film(request)
    assert clip.settings.get("loras", []) == [[Path(one.source).name, one.scale] for one in loras], "no paths"
    return clip.frames


def test_a_lora_is_loaded_weighed_and_dropped(tiny: Callable[[str], Path], lora: str) -> None:
    engine = DiffusersEngine(ModelEntry(name="wan", source=str(tiny("wan"))), device="cpu")
    plain = film(engine)
    strong, weak = film(engine, Lora(source=lora)), film(engine, Lora(source=lora, scale=0.3))
    both = film(engine, Lora(source=lora, scale=0.5), Lora(source=lora, scale=0.5))
    none = film(engine, Lora(source=lora, scale=0.0))
    change = [np.abs(one.astype(int) - plain).mean() for one in (strong, weak, both, none)]
    assert change[0] > change[1] > 0 and change[3] == 0
    assert np.abs(both.astype(int) - strong).max() <= 2  # twice a half is a whole
    assert (film(engine) == plain).all()


def test_loras_of_the_entry_are_always_there(tiny: Callable[[str], Path], lora: str) -> None:
    entry = ModelEntry(name="wan", source=str(tiny("wan")), loras=(Lora(source=lora),))
    with_entry = film(DiffusersEngine(entry, device="cpu"))
    engine = DiffusersEngine(ModelEntry(name="wan", source=str(tiny("wan"))), device="cpu")
    assert (film(engine, Lora(source=lora)) == with_entry).all()


def test_a_lora_that_is_not_there_or_is_none(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    engine = DiffusersEngine(ModelEntry(name="wan", source=str(tiny("wan"))), device="cpu")
    plain = film(engine)
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    for source in (str(tmp_path / "missing.safetensors"), str(tmp_path / "bad.safetensors")):
        with pytest.raises(InputError, match=r"cannot be loaded|there is no such file") as error:
            film(engine, Lora(source=source))
        assert "\n" not in str(error.value)
    assert (film(engine) == plain).all()
    with pytest.raises(InputError, match="takes no LoRA"):
        DiffusersEngine(ModelEntry(name="latte", source=str(tiny("latte"))), device="cpu").film(
            FilmRequest(workflow="generate", loras=(Lora(source="a"),))
        )


def test_requests_ask_for_a_lora_by_its_name(tiny: Callable[[str], Path], lora: str) -> None:
    engine = DiffusersEngine(ModelEntry(name="wan", source=str(tiny("wan")), lora_files={"film": lora}), device="cpu")
    assert engine.capabilities.lora_names == ("film",)
    assert (film(engine, Lora(source="film", scale=0.5)) == film(engine, Lora(source=lora, scale=0.5))).all()


def test_a_lora_that_is_no_file_is_named_before_anything_is_loaded() -> None:
    for lora, message in (
        (Lora(source="nope.safetensors"), "there is no such file"), (Lora(source="./a/b"), "there is no such file"),
        (Lora(source="owner/name", scale=float("nan")), "is no number"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            check_lora(lora)
    check_lora(Lora(source="owner/name"))
