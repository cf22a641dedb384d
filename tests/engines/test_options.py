"""Options of a model that its folder cannot have are refused when it is added, not when it films; a file that is being edited."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kinema.engines.opening import capabilities_for
from kinema.engines.registry import MOST_BATCH, ModelEntry, entries, save_entry
from kinema.errors import InputError, ModelListError


@pytest.mark.parametrize(("name", "options", "reason"), [
    ("wan-modular", {"quantize": "int8"}, "quantize int8: .* modular folder"), ("svd", {"quantize": "nf4"}, "quantize nf4"),
    ("wan-modular", {"cache": "first-block"}, "cache first-block: .* modular folder"),
    ("svd", {"cache": "first-block"}, "cache first-block"), ("svd", {"batch": 2}, "batch 2"),
    ("svd", {"controls": ("depth",)}, "control depth"), ("wan", {"gguf": {"transfomer": "x.gguf"}}, "no file x.gguf"),
])  # fmt: skip
def test_what_a_folder_cannot_have(tiny: Callable[[str], Path], name: str, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        capabilities_for(ModelEntry(name=name, source=str(tiny(name)), **options))


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
