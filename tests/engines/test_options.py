"""Options of a model that its folder cannot have are refused when it is added, not when it films; a file that is being edited."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.engines.conftest import noise

from kinema.engines import FilmRequest
from kinema.engines.compose import Parts, film_workflow
from kinema.engines.diffusers.engine import DiffusersEngine
from kinema.engines.opening import capabilities_for
from kinema.engines.registry import MOST_BATCH, ModelEntry, entries, save_entry
from kinema.errors import InputError, ModelListError
from kinema.inference.sampling import SamplingConfig


@pytest.mark.parametrize(("name", "options", "reason"), [
    ("wan-modular", {"quantize": "int8"}, "quantize int8: .* modular folder"), ("svd", {"quantize": "nf4"}, "quantize nf4"),
    ("wan-modular", {"cache": "first-block"}, "cache first-block: .* modular folder"),
    ("svd", {"cache": "first-block"}, "cache first-block"), ("svd", {"batch": 2}, "batch 2: svd films one prompt at a time"),
    ("svd", {"controls": ("depth",)}, "control depth"), ("wan", {"gguf": {"transfomer": "x.gguf"}}, "no file x.gguf"),
])  # fmt: skip
def test_what_a_folder_cannot_have(tiny: Callable[[str], Path], name: str, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        capabilities_for(ModelEntry(name=name, source=str(tiny(name)), **options))


@pytest.mark.parametrize(("name", "arguments", "reason"), [
    ("wan", {"prompt": "x"}, "prompt is set for each film"), ("wan", {"num_inference_steps": 3}, "num_inference_steps is set"),
    ("wan", {"width": 64}, "width is set"), ("wan", {"guidance_scale": 2.0}, "guidance_scale is set"),
    ("wan", {"num_frames": 9}, "num_frames is set"), ("svd", {"max_guidance_scale": 2.0}, "max_guidance_scale is set"),
    ("svd", {"fps": 9}, "fps is set"), ("wan", {"zzz": 1}, "its pipeline takes no zzz; it takes "),
    ("wan", {"guidance_scale_3": 1.0}, "takes no guidance_scale_3; did you mean guidance_scale_2"),
    ("wan-modular", {"prompt": "x"}, "prompt is set"), ("wan-modular", {"zzz": 1}, "takes no zzz"),
    ("skyreels-forcing", {"overlap_history": 1}, "overlap_history is set"), ("ltx", {"timesteps": 3}, "expected a list"),
])  # fmt: skip
def test_arguments_that_a_film_would_not_be_made_with(
    tiny: Callable[[str], Path], name: str, arguments: dict[str, Any], reason: str
) -> None:
    entry = ModelEntry(name=name, source=str(tiny(name)), arguments=arguments)
    with pytest.raises(InputError, match=f"arguments of {name}: .*{reason}"):
        capabilities_for(entry)
    with pytest.raises(InputError, match=reason):
        DiffusersEngine(entry, device="cpu").film(FilmRequest(workflow="generate", prompt="HONEST"))


def test_arguments_that_list_the_steps_leave_none_to_ask_for(tiny: Callable[[str], Path]) -> None:
    able = capabilities_for(ModelEntry(name="ltx", source=str(tiny("ltx")), arguments={"timesteps": [1000, 900, 500]}))
    assert able.steps == 3
    with pytest.raises(InputError, match="ltx takes no steps to film: leave them out"):
        able.check(FilmRequest(workflow="generate", prompt="x", steps=8))


def test_what_only_kinema_chooses_from_is_refused(tiny: Callable[[str], Path]) -> None:
    able = capabilities_for(ModelEntry(name="wan", source=str(tiny("wan"))))
    with pytest.raises(InputError, match="wan takes no candidates"):
        able.check(FilmRequest(workflow="generate", prompt="x", options=SamplingConfig(num_candidates=4)))


def test_words_that_change_nothing_are_noted(tiny: Callable[[str], Path]) -> None:
    """Clients of the Videos API always send some; they stand beside the film, and so does the note."""
    able = capabilities_for(ModelEntry(name="svd", source=str(tiny("svd"))))
    request = FilmRequest(workflow="image", prompt="x", first=noise(size=(64, 64)), seconds=1 / 7, size=(64, 64))
    able.check(request)
    parts = Parts(
        capabilities=able, primitive=lambda one, plan: noise(plan.frames, plan.fps, plan.size), primitives=("image",)
    )
    assert "svd goes by no words here" in film_workflow(parts, request).settings["notes"]


def test_what_another_server_films_is_not_said_here() -> None:
    for name, value in (("batch", 3), ("gguf", {"transformer": "x"}), ("controls", ("depth",)), ("quantize", "int8")):
        with pytest.raises(InputError, match=f"{name} of far: another server films"):
            ModelEntry(name="far", source="http://127.0.0.1:1", **{name: value})  # type: ignore[arg-type]
    with pytest.raises(InputError, match=f"expected 1 to {MOST_BATCH}"):
        ModelEntry(name="here", source="x", batch=10**20)


def test_a_file_that_is_being_edited_leaves_a_server_with_what_it_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "models.toml"
    file.write_text('[models.bad]\nsource = "x"\nbatch = 0\n')
    with pytest.raises(ModelListError, match=r"\[models.bad\]: batch 0"):
        entries(file)
    file.unlink()
    save_entry(ModelEntry(name="wan", source="/models/wan"), file)
    before = entries(file)
    file.write_text(file.read_text() + "\n[models.half\nsource = ")
    assert entries(file) == before and "stay as they were" in caplog.text
    with pytest.raises(InputError, match="is no TOML"):
        save_entry(ModelEntry(name="other", source="/models/other"), file)
