"""Networks from GGUF files: a tiny Wan in the names of its authors, as such files in the wild have them."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("gguf", reason="needs kinema[open-weights]")

from safetensors.torch import load_file

from kinema.cli.main import main
from kinema.engines import FilmRequest
from kinema.engines.diffusers.engine import DiffusersEngine
from kinema.engines.opening import capabilities_for
from kinema.engines.registry import ModelEntry, entries
from kinema.errors import InputError, ModelError

gguf: Any = importlib.import_module("gguf")

REQUEST = FilmRequest(workflow="generate", prompt="A red ball", seconds=5 / 16, size=(32, 32), steps=2, seed=3)
NAMES = (
    ("condition_embedder.time_embedder.linear_1", "time_embedding.0"), ("condition_embedder.time_proj", "time_projection.1"),
    ("condition_embedder.time_embedder.linear_2", "time_embedding.2"), ("ffn.net.0.proj", "ffn.0"), ("ffn.net.2", "ffn.2"),
    ("condition_embedder.text_embedder.linear_1", "text_embedding.0"), ("proj_out", "head.head"), (".to_out.0.", ".o."),
    ("condition_embedder.text_embedder.linear_2", "text_embedding.2"), (".to_q.", ".q."), (".to_k.", ".k."),
    (".to_v.", ".v."), ("attn1", "self_attn"), ("attn2", "cross_attn"), ("norm2", "norm_"), ("norm3", "norm2"),
    ("norm_.", "norm3."),
)  # fmt: skip
"""Diffusers' names of Wan's weights, and those of its authors."""


def as_authors_name(name: str) -> str:
    if name == "scale_shift_table":
        return "head.modulation"
    for ours, theirs in NAMES:
        name = name.replace(ours, theirs)
    return name.replace("scale_shift_table", "modulation")


def write_gguf(folder: Path, file: Path) -> Path:
    """The transformer of a folder; its large matrices in blocks of 32 with 8 bits a weight."""
    writer = gguf.GGUFWriter(str(file), "wan")
    for name, tensor in load_file(folder / "transformer/diffusion_pytorch_model.safetensors").items():
        values = tensor.float().numpy()
        theirs = as_authors_name(name)
        if values.ndim == 2 and name.startswith("blocks.") and values.shape[1] % 32 == 0:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(theirs, gguf.quants.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(theirs, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


@pytest.fixture
def folder(tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny Wan without its transformer's weights, and a GGUF file of them beside."""
    copy = shutil.copytree(tiny("wan"), tmp_path / "wan")
    write_gguf(copy, tmp_path / "wan-Q8_0.gguf")
    (copy / "transformer/diffusion_pytorch_model.safetensors").unlink()
    monkeypatch.setenv("KINEMA_MODELS", str(tmp_path / "models.toml"))
    return copy


def test_films_as_the_folder_does_but_for_what_eight_bits_lose(
    folder: Path, tmp_path: Path, engine_of: Callable[[str], DiffusersEngine]
) -> None:
    assert main(["models", "add", str(folder), "--gguf", str(tmp_path / "wan-Q8_0.gguf"), "--hash"]) == 0
    entry = entries()["wan"]
    assert entry.gguf == {"transformer": str(tmp_path / "wan-Q8_0.gguf")} and len(entry.weights_sha256) == 64
    engine = DiffusersEngine(entry, device="cpu")
    (film,) = engine.film(REQUEST)
    (whole,) = engine_of("wan").film(REQUEST)
    (other,) = engine_of("wan").film(FilmRequest(**{**REQUEST.__dict__, "seed": 4}))
    off, apart = (float(np.abs(film.frames.astype(int) - one.frames).mean()) for one in (whole, other))
    assert 0 < off < apart / 4
    assert type(engine._first.transformer.blocks[0].attn1.to_q).__name__ == "GGUFLinear", "still in 8 bits"
    size = (tmp_path / "wan-Q8_0.gguf").stat().st_size
    inside = sum(file.stat().st_size for file in folder.rglob("*.safetensors"))
    assert capabilities_for(entry).memory_bytes == size + inside


def test_the_one_file_in_a_folder(folder: Path, tmp_path: Path) -> None:
    shutil.move(tmp_path / "wan-Q8_0.gguf", folder / "wan-Q8_0.gguf")
    assert main(["models", "add", str(folder), "--quantize", "gguf"]) == 0
    assert entries()["wan"].gguf == {"transformer": str(folder / "wan-Q8_0.gguf")} and not entries()["wan"].quantize


def test_files_with_signs_in_their_names(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = tmp_path / "we=ird dir" / "wa=n.gguf"
    odd.parent.mkdir()
    shutil.move(tmp_path / "wan-Q8_0.gguf", odd)
    for text in (str(odd), f"transformer={odd}"):
        assert main(["models", "add", str(folder), "--gguf", text, "--force"]) == 0
        assert entries()["wan"].gguf == {"transformer": str(odd)}
    assert main(["models", "add", str(folder), "--gguf", str(odd), "--gguf", f"transformer={odd}", "--force"]) == 2
    assert "given twice for transformer" in capsys.readouterr().err


def test_what_does_not_fit_is_one_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "wan-Q8_0.gguf"
    for arguments, reason in (
        (["--quantize", "gguf"], r"has 0 files \*.gguf; name the one wanted with --gguf FILE"),
        (["--gguf", "nowhere.gguf"], "there is no such file"),
        (["--gguf", str(file), "--quantize", "int8"], "quantized already; leave one out"),
    ):
        assert main(["models", "add", str(folder), *arguments]) == 2
        error = capsys.readouterr().err.strip()
        assert "\n" not in error and reason.replace("\\", "") in error
    with pytest.raises(InputError, match="has no 'network' for a GGUF file"):
        capabilities_for(ModelEntry(name="wan", source=str(folder), gguf={"network": str(file), "transformer": str(file)}))
    with pytest.raises(ModelError, match=r"there are no weights in transformer/; .* name a file with --gguf FILE"):
        capabilities_for(ModelEntry(name="wan", source=str(folder)))
    weights = next((folder / "vae").glob("*.safetensors"))
    with pytest.raises(ModelError, match=r"safetensors is no GGUF file"):
        capabilities_for(ModelEntry(name="wan", source=str(folder), gguf={"transformer": str(weights)}))
    with pytest.raises(InputError, match="cannot be read from a GGUF file"):
        DiffusersEngine(
            ModelEntry(name="wan", source=str(folder), gguf={"text_encoder": str(file), "transformer": str(file)}),
            device="cpu",
        ).film(REQUEST)
    for check in (
        lambda entry: main(["models", "add", str(folder), *(f"--gguf={name}={one}" for name, one in entry.gguf.items())]),
        lambda entry: DiffusersEngine(entry, device="cpu").film(REQUEST),
    ):
        entry = ModelEntry(name="wan", source=str(folder), gguf={"vae": str(file), "transformer": str(file)})
        try:
            assert check(entry) == 2
            error = capsys.readouterr().err
        except ModelError as raised:
            error = str(raised)
        assert "wan-Q8_0.gguf does not fit vae of wan: it holds " in error and "name the file of this component" in error
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"broken.gguf does not fit transformer of wan"):
        DiffusersEngine(ModelEntry(name="wan", source=str(folder), gguf={"transformer": str(broken)}), device="cpu").film(
            REQUEST
        )
    broken.unlink()
    with pytest.raises(ModelError, match=r"no file .*broken\.gguf"):
        capabilities_for(ModelEntry(name="wan", source=str(folder), gguf={"transformer": str(broken)}))
    index = folder / "transformer/diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "missing.safetensors"}}))
    assert capabilities_for(ModelEntry(name="wan", source=str(folder), gguf={"transformer": str(file)})).workflows
