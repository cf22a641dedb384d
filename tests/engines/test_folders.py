"""Folders that are not whole end in one clear line; what a folder can do is read without its weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from kinema.engines import FilmRequest
from kinema.engines.diffusers import families, loading
from kinema.engines.diffusers.capabilities import capabilities_of, family_for
from kinema.engines.diffusers.engine import DiffusersEngine
from kinema.engines.diffusers.folder import read_folder
from kinema.engines.native import engine_for
from kinema.engines.registry import ModelEntry
from kinema.errors import EngineError, InputError, ModelError

Tiny = Callable[[str], Path]


@pytest.fixture
def copy(tiny: Tiny, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny("wan"), tmp_path / "model"))


def engine(folder: Path, **options: object) -> DiffusersEngine:
    return DiffusersEngine(ModelEntry(name="broken", source=str(folder), **options), device="cpu")  # type: ignore[arg-type]


def no_class(folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "_class_name": "WanFivePipeline"}))


def nameless(folder: Path) -> None:
    (folder / "model_index.json").write_text("{}")


def half_a_shard(folder: Path) -> None:
    shards = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "transformer" / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(shards))


def pointer(folder: Path) -> None:
    (folder / "vae" / "diffusion_pytorch_model.safetensors").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"
    )


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing component": (lambda f: shutil.rmtree(f / "vae"), "its index names 'vae', but there is no folder"),
    "empty component": (lambda f: (shutil.rmtree(f / "vae"), (f / "vae").mkdir()), "its index names 'vae'"),
    "half a shard": (half_a_shard, "transformer/model-00001-of-00002.safetensors is missing"),
    "half a file": (lambda f: (f / "vae" / "x.safetensors.part").touch(), "vae/x.safetensors.part is half there"),
    "pointer": (pointer, "holds a pointer, not weights: fetch them with `git lfs pull`"),
    "unknown class": (no_class, "is for WanFivePipeline, which diffusers"),
    "no index": (lambda f: (f / "model_index.json").unlink(), "has neither model_index.json nor modular_model_index.json"),
    "no JSON": (lambda f: (f / "model_index.json").write_text("{"), "model_index.json cannot be read"),
    "a list": (lambda f: (f / "model_index.json").write_text("[]"), "is no JSON object"),
    "no class": (nameless, "names no _class_name"),
    "config is no JSON": (lambda f: (f / "vae" / "config.json").write_text("{,"), "config.json cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_folder_ends_in_one_line(copy: Path, what: str) -> None:
    damage, text = BROKEN[what]
    damage(copy)
    with pytest.raises(ModelError) as error:
        engine(copy)
    assert text in str(error.value) and "\n" not in str(error.value) and str(copy) in str(error.value)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no folder"):
        engine(tmp_path / "nothing")


def test_weights_that_are_cut_off_are_told_when_they_are_loaded(copy: Path) -> None:
    """What it can do is still read: no weights are loaded for that."""
    file = copy / "transformer" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    made = engine(copy)
    assert made.capabilities.workflows == ("generate", "edit", "restyle", "upscale", "still")
    with pytest.raises(EngineError) as error:
        made.film(FilmRequest(workflow="generate", prompt="a", seconds=0.1, size=(32, 32), steps=1))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["wan", "ltx-modular"])
def test_capabilities_are_read_without_weights(tiny: Tiny, tmp_path: Path, name: str) -> None:
    folder = Path(shutil.copytree(tiny(name), tmp_path / name))
    for file in folder.rglob("*.safetensors"):
        file.write_bytes(b"\0" * 100)
    read = read_folder(folder)
    able = capabilities_of(ModelEntry(name=name, source=str(folder)), read, family_for(read))
    assert able.memory_bytes == 100 * len([*folder.rglob("*.safetensors")])
    assert able.workflows[0] == "generate" and able.negative_prompt and able.loras


def test_a_modular_folder_that_was_moved_films(tiny: Tiny, tmp_path: Path) -> None:
    """Its index names the folder in which it was made, or one on the hub."""
    folder = Path(shutil.copytree(tiny("wan-modular"), tmp_path / "moved"))
    index = folder / "modular_model_index.json"
    index.write_text(index.read_text().replace(str(tiny("wan-modular")), "nobody/nothing"))
    (clip,) = engine(folder).film(FilmRequest(workflow="generate", prompt="a", seconds=0.3, size=(32, 32), steps=1))
    assert clip.num_frames == 5


def test_an_unknown_family_is_served_by_its_signature(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "FAMILIES", ())
    made = engine(tiny("wan22-image"))
    assert made.family.name == "WanImageToVideo" and str(made.family.frames) == "4k+1" and made.family.multiple == 16
    assert made.capabilities.workflows == ("image", "first_last", "extend", "infill", "blend")
    modular = engine(tiny("ltx-modular"))
    assert modular.family.name == "LTX" and modular.capabilities.workflows == ("generate", "image", "extend", "still")
    (clip,) = engine(tiny("wan")).film(FilmRequest(workflow="generate", prompt="a", seconds=0.3, size=(32, 32), steps=1))
    assert clip.num_frames == 5 and clip.settings["family"] == "Wan"


INDEXES = {
    ("MiniMaxH3ModularPipeline", "MiniMaxH3Blocks"): ("MiniMax-H3", "generate image first_last extend infill blend", "17k+5"),
    ("LTX2ModularPipeline", "LTX2AutoBlocks"): ("LTX-2", "generate image extend still", "8k+1"),
    ("HunyuanVideo15ModularPipeline", "HunyuanVideo15AutoBlocks"): ("HunyuanVideo 1.5", "generate image extend still", "4k+1"),
    ("Cosmos3OmniModularPipeline", "Cosmos3OmniBlocks"): ("Cosmos 3", "generate image extend still", "4k+1"),
    ("WanImage2VideoModularPipeline", "WanImage2VideoAutoBlocks"): (
        "Wan", "image first_last extend infill blend", "4k+1",
    ),
    ("Wan22VaceModularPipeline", "Wan22VaceBlocks"): (
        "Wan", "generate image first_last keyframes extend infill blend edit restyle still", "4k+1",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("base", "blocks"), INDEXES)
def test_modular_folders_say_what_their_blocks_can_do(tmp_path: Path, base: str, blocks: str) -> None:
    """An index alone is enough to know it."""
    index = {"_class_name": base, "_blocks_class_name": blocks}
    (tmp_path / "modular_model_index.json").write_text(json.dumps(index))
    made = engine(tmp_path)
    family, workflows, frames = INDEXES[base, blocks]
    assert made.family.name == family and " ".join(made.capabilities.workflows) == workflows
    assert str(made.capabilities.frames) == frames


def test_a_second_of_minimax_h3_is_cut_from_its_shortest_film(tmp_path: Path) -> None:
    index = {"_class_name": "MiniMaxH3ModularPipeline", "_blocks_class_name": "MiniMaxH3Blocks"}
    (tmp_path / "modular_model_index.json").write_text(json.dumps(index))
    able = engine(tmp_path).capabilities
    assert able.sound and not able.negative_prompt and able.guidance is None
    plans = [able.plan(seconds, None, (1344, 768)) for seconds in (1.0, 5.0, 6.0)]
    assert [plan.frames for plan in plans] == [124, 124, 158] and plans[0].wanted_frames == 24


def test_families_are_told_apart_by_their_configs(tiny: Tiny) -> None:
    names = {"wan": "Wan", "wan22": "Wan 2.2 A14B", "wan22-5b": "Wan 2.2 5B", "wan-ends": "Wan FLF2V", "wan-image": "Wan"}
    for model, family in names.items():
        assert engine(tiny(model)).family.name == family
    cog = engine(tiny("cogvideox")).family
    assert cog.size == (64, 64) and cog.usual_frames == 9  # of its config, not of the table
    assert engine(tiny("svd")).family.usual_frames == 4


def test_license_of_the_card_and_of_the_table(tiny: Tiny, copy: Path) -> None:
    assert engine(copy).capabilities.license.name == "Apache-2.0"
    (copy / "README.md").write_text("---\nlicense: other\nlicense_name: mine\nlicense_link: LICENSE\n---\n# Model\n")
    license = engine(copy).capabilities.license
    assert (license.name, license.link, license.must_accept, license.excluded) == ("mine", "LICENSE", True, ())
    assert "South Korea" in engine(tiny("hunyuan")).capabilities.license.territory


def test_a_folder_whose_license_must_be_accepted_is_added_first(copy: Path) -> None:
    """Naming it directly is no acceptance; one of a free license is opened."""
    assert engine_for(copy).capabilities.license.name == "Apache-2.0"
    (copy / "README.md").write_text("---\nlicense: other\nlicense_name: mine\n---\n")
    other = copy.rename(copy.with_name("other"))
    with pytest.raises(
        ModelError, match=r"must be accepted \(mine\); read it, .* kinema models add .*other --name other"
    ) as refused:
        engine_for(other)
    assert "\n" not in str(refused.value)


def test_a_card_does_not_lift_the_limits_of_the_family(tiny: Tiny, tmp_path: Path) -> None:
    """Another name of a license that is not free keeps what is known of the family's; a free one replaces it."""
    copy = shutil.copytree(tiny("hunyuan"), tmp_path / "hunyuan")
    for card, name, excluded in (
        ("license: other\nlicense_name: hunyuan-1-5", "hunyuan-1-5", ("EU", "GB", "KR")),
        ("license: other", "tencent-hunyuan-community", ("EU", "GB", "KR")),
        ("license: mit", "mit", ()),
    ):
        (copy / "README.md").write_text(f"---\n{card}\n---\n")
        license = engine(copy).capabilities.license
        assert (license.name, license.excluded, license.must_accept) == (name, excluded, bool(excluded))


def test_wrong_requests(tiny: Tiny) -> None:
    made = engine(tiny("svd"))
    with pytest.raises(InputError, match="'generate'"):
        made.film(FilmRequest(workflow="generate"))
    with pytest.raises(InputError, match="takes no negative prompt"):
        made.film(FilmRequest(workflow="image", negative_prompt="a"))
    with pytest.raises(InputError, match="needs a GPU"):
        engine(tiny("wan"), offload="model").film(FilmRequest(workflow="generate", seconds=0.1, size=(32, 32)))


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name=name)

    monkeypatch.setattr(loading.importlib, "import_module", missing)
    with pytest.raises(InputError, match=r"pip install 'kinema\[open-weights\]'"):
        loading.require_diffusers()
