"""A model of an earlier format is read by today's names; a later one is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from kinema.errors import ModelError
from kinema.models.config import DenoiserConfig
from kinema.models.denoiser import Denoiser
from kinema.models.hub import CONFIG, WEIGHTS, ModelConfig, available_models, find, load, read_config, read_weights, save

SMALL = DenoiserConfig(width=32, depth=2, heads=2, mlp_ratio=2, slots=3, latent_channels=4, patch=2, text_dim=8)
OLD = {
    "splatter.slot_in": "stamp.thing",
    "splatter.slot_mix": "stamp.further",
    "splatter.offset_in": "stamp.way",
    "splatter.offset_weights": "stamp.share",
    "splatter.setting_in": "stamp.ground",
    "splatter": "stamp",
    "motion_prior": "trend",
    "contacts": "pairs",
    "step_size_in": "stride_in",
    "action_in": "deed_in",
    "local_head": "sketch_out",
    "detection_head": "sight_out",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    config = ModelConfig(
        name="small", denoiser=SMALL, autoencoder="codec-8x8", height=64, max_side=64, window=8, film_window=8, fps=(8.0, 32.0)
    )  # fmt: skip
    save(tmp_path / "m", config, Denoiser(SMALL).state_dict(), "# small\n")
    return tmp_path / "m"


def test_format_1_is_read_by_todays_names(folder: Path) -> None:
    config, weights = read_config(folder), read_weights(folder)
    assert set(weights) == set(Denoiser(SMALL).state_dict())
    data = json.loads((folder / CONFIG).read_text())
    data |= {"format": 1, "codec": data.pop("autoencoder")}
    data["denoiser"] |= {"follows": False, "sensors": 0, "action_width": 2}
    (folder / CONFIG).write_text(json.dumps(data))
    parts = {name: next((part for part in OLD if name.startswith(part + ".")), "") for name in weights}
    old = {OLD.get(part, part) + name.removeprefix(part): weights[name] for name, part in parts.items()}
    assert set(old) != set(weights)
    save_file(old, folder / WEIGHTS)
    assert read_config(folder) == config
    again = read_weights(folder)
    assert set(again) == set(weights) and all(torch.equal(again[name], x) for name, x in weights.items())


def test_what_is_written_is_of_todays_format(folder: Path) -> None:
    assert json.loads((folder / CONFIG).read_text())["format"] == 2
    assert not any(name.split(".")[0] in OLD.values() for name in load_file(folder / WEIGHTS))


EARLIER = {"predict_residual": False, "sensors": 0, "action_width": 2}


def test_entries_of_recorded_worlds_are_dropped(folder: Path) -> None:
    """Models of format 2 up to 0.2 have them, and so do the recipes in checkpoints of their trainings."""
    config, data = read_config(folder), json.loads((folder / CONFIG).read_text())
    assert "world" not in data and not data["denoiser"].keys() & EARLIER.keys()
    (folder / CONFIG).write_text(json.dumps({**data, "world": None, "denoiser": {**data["denoiser"], **EARLIER}}))
    assert read_config(folder) == config
    assert DenoiserConfig.from_dict({**SMALL.to_dict(), **EARLIER}) == SMALL


@pytest.mark.parametrize(
    ("version", "world", "entries"),
    [
        (2, {"env": "Pong"}, {}), (2, None, {"predict_residual": True}), (1, None, {"follows": True, "slots": 0}),
        (2, None, {"sensors": 4}), (2, None, {"action_width": 6}),
    ],
)  # fmt: skip
def test_a_recorded_world_of_an_earlier_version_is_refused(
    folder: Path, version: int, world: object, entries: dict[str, object]
) -> None:
    data = json.loads((folder / CONFIG).read_text())
    data |= {"format": version, "codec": data["autoencoder"], "world": world, "denoiser": {**data["denoiser"], **entries}}
    del data["autoencoder" if version == 1 else "codec"]
    (folder / CONFIG).write_text(json.dumps(data))
    for read in (read_config, load):
        with pytest.raises(ModelError) as error:
            read(folder)
        expected = "a recorded world of Kinema 0.2 or before; train it again: kinema train world"
        assert str(error.value) == f"{folder}: {expected}"


@pytest.mark.parametrize("later", [3, "2", None])
def test_a_format_that_is_not_known_is_refused(folder: Path, later: object) -> None:
    (folder / CONFIG).write_text(json.dumps(json.loads((folder / CONFIG).read_text()) | {"format": later}))
    with pytest.raises(ModelError, match="reads formats up to 2"):
        read_config(folder)


def test_the_error_of_a_format_says_only_that(folder: Path) -> None:
    data = json.loads((folder / CONFIG).read_text())
    for version, mend in ((3, "upgrade Kinema"), (0, "train the model again"), (True, "train the model again")):
        (folder / CONFIG).write_text(json.dumps(data | {"format": version}))
        with pytest.raises(ModelError, match=mend) as error:
            read_config(folder)
        assert "is not a model's config" not in str(error.value)


@pytest.mark.parametrize(
    "damage",
    [
        {"denoiser": {"heads": 0}}, {"denoiser": {"slots": "x"}}, {"denoiser": {"latent_channels": 1.5}},
        {"denoiser": {"slots": 0}}, {"denoiser": {"width": 0}}, {"denoiser": 1}, {"window": 0}, {"window": None},
        {"film_window": -1}, {"fps": []}, {"fps": "x"}, {"autoreset": 1}, {"autoencoder": None}, {"height": "64"},
        {"denoiser": None}, {"trained": "x"}, {"shortcuts": "maybe"},
    ],
)  # fmt: skip
def test_a_damaged_config_is_refused_when_it_is_read(folder: Path, damage: dict[str, object]) -> None:
    data = json.loads((folder / CONFIG).read_text())
    for name, value in damage.items():
        data[name] = {**data[name], **value} if isinstance(value, dict) else value
    (folder / CONFIG).write_text(json.dumps(data))
    with pytest.raises(ModelError):
        read_config(folder)


@pytest.mark.parametrize("content", ["5", "[]", "null", "{", '{"denoiser": 1}'])
def test_a_strange_folder_does_not_hide_the_models_beside_it(
    folder: Path, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KINEMA_WEIGHTS", str(folder.parent))
    strange = folder.parent / "strange"
    strange.mkdir()
    (strange / CONFIG).write_text(content)
    (strange / WEIGHTS).write_bytes(b"")
    assert available_models() == ["m"]
    with pytest.raises(ModelError):
        read_config(strange)


def test_weights_of_another_shape_are_named(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    save_file({name: x[:1].contiguous() if name == "text_in.weight" else x for name, x in weights.items()}, folder / WEIGHTS)
    with pytest.raises(ModelError, match=r"text_in\.weight"):
        load(folder, device="cpu")


def test_a_run_s_folder_names_the_model_that_it_made(tmp_path: Path) -> None:
    made = tmp_path / "run" / "world"
    made.mkdir(parents=True)
    for name in (CONFIG, WEIGHTS):
        (made / name).write_text("{}")
    assert find(tmp_path / "run") == find(made) == made
    (tmp_path / "run" / "world").rename(tmp_path / "run" / "film")
    assert find(tmp_path / "run").name == "film"
    with pytest.raises(ModelError, match="no model"):
        find(tmp_path)
