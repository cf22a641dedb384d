"""The state schema: where its groups lie, its way to config.json and back, and a model of another schema than the Playground's."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kinema.canvas.canvas import Canvas, blank
from kinema.diffusion.losses import losses
from kinema.diffusion.noise_patterns import PatternMix, draw_rollout_levels, draw_stills, sample_levels
from kinema.diffusion.samplers import noise_canvas
from kinema.errors import InputError, ModelError, VocabularyError
from kinema.inference.canvas_io import blank_canvas, resolve_model
from kinema.inference.pipeline import fill_canvas
from kinema.inference.sampling import SamplingConfig
from kinema.models.config import DenoiserConfig
from kinema.models.denoiser import Denoiser, causal_bias
from kinema.models.hub import CONFIG, ModelConfig, load, read_config, save, weights_folder
from kinema.models.objects.detection import detection_dim
from kinema.scene.encoding import Fields, encode_state
from kinema.scene.geometry import MIDDLE
from kinema.scene.scene import COLORS, KINDS, SIZES
from kinema.scene.schema import PLAYGROUND, StateSchema
from kinema.text.prompt_check import check_words, known_words, things_in

OTHER = StateSchema(
    kinds=("drone", "ball", "wall"),
    symmetry=(1, 0, 2),
    solid=((1.0, 0.5), (1.0, 1.0), (0.2, 2.0)),
    circles=((0.5, 0.4), (1.0, 0.0), (0.0, 0.0)),
    colors=("red", "black", "white", "gold"),
    palette=((255, 0, 0), (0, 0, 0), (255, 255, 255), (220, 180, 40)),
    materials=("plain",),
    sizes=("tiny", "huge"),
    radii=(0.2, 2.0),
    views=("side", "top"),
    backgrounds=("hall", "yard"),
    center=8.0,
    position_scale=4.0,
    velocity_scale=5.0,
    size_offset=1.0,
    size_scale=0.5,
    reward_scale=1.0,
)
SMALL = DenoiserConfig(
    width=32, depth=2, heads=2, mlp_ratio=2, slots=3, latent_channels=24, patch=2, text_dim=384, schema=OTHER
)
GRID = (4, 4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    shutil.copytree(weights_folder() / "codec-8x8", tmp_path / "codec-8x8")
    config = ModelConfig(
        name="other", denoiser=SMALL, autoencoder="codec-8x8", height=64, max_side=64, window=8, film_window=8, fps=(8.0, 32.0)
    )  # fmt: skip
    save(tmp_path / "other", config, Denoiser(SMALL).state_dict(), "# other\n")
    return tmp_path / "other"


def noisy() -> Canvas:
    empty = blank(batch=2, frames=3, fps=8.0, slots=3, grid=GRID, schema=OTHER)
    return noise_canvas(empty, [0, 1])


@pytest.mark.parametrize("schema", [PLAYGROUND, OTHER])
def test_groups_lie_side_by_side(schema: StateSchema) -> None:
    columns = [i for name in schema.groups for i in range(schema.features)[schema.slice(name)]]
    assert columns == list(range(schema.features))
    assert all(schema.slice(name).stop - schema.slice(name).start == width for name, width in schema.groups.items())
    assert schema.vectors["scene"] == 1 + len(schema.backgrounds)
    with pytest.raises(KeyError):
        schema.slice("weight")


def test_scales_are_undone() -> None:
    units = torch.linspace(-3, 12, 7)
    for schema in (PLAYGROUND, OTHER):
        torch.testing.assert_close(schema.position_units(schema.position_track(units)), units)
        torch.testing.assert_close(schema.size_units(schema.size_track(units)), units)
        assert schema.position_units(torch.zeros(1)).item() == schema.center


def test_the_playground_has_the_words_and_numbers_of_its_tables(scene: Any) -> None:
    assert (PLAYGROUND.kinds, PLAYGROUND.colors, PLAYGROUND.center) == (KINDS, COLORS, MIDDLE)
    assert dict(zip(PLAYGROUND.sizes, PLAYGROUND.radii, strict=True)) == SIZES
    assert encode_state(Fields.of(scene(2))).shape[-1] == PLAYGROUND.features == 28


@pytest.mark.parametrize("schema", [PLAYGROUND, OTHER])
def test_a_schema_comes_back_from_json(schema: StateSchema) -> None:
    again = StateSchema.from_dict(json.loads(json.dumps(schema.to_dict())))
    assert again == schema and hash(again) == hash(schema) and again.to_dict() == schema.to_dict()
    config = DenoiserConfig(**{**SMALL.__dict__, "schema": schema})
    assert DenoiserConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("entry", "value", "expected"),
    [
        ("kinds", [], "at least one name"),
        ("kinds", "ball", "at least one name"),
        ("colors", ["red", "red", "blue", "gold"], "'red' twice"),
        ("materials", ["plain", 3], "at least one name"),
        ("symmetry", [0, 1], "one for each of the 3 kinds"),
        ("symmetry", [0, 1, -1], "whole numbers from 0"),
        ("symmetry", [0, 1, True], "whole numbers from 0"),
        ("solid", [[1.0, 1.0], [1.0], [1.0, 1.0]], "two numbers"),
        ("circles", None, "one for each of the 3 kinds"),
        ("palette", [[0, 0, 0]] * 3, "one for each of the 4 colors"),
        ("palette", [[0, 0, 256]] * 4, "from 0 to 255"),
        ("radii", [0.2, 0.0], "above 0"),
        ("radii", [0.2, float("nan")], "above 0"),
        ("views", ["side"], "two names"),
        ("center", "middle", "expected a number"),
        ("position_scale", 0.0, "above 0"),
        ("reward_scale", float("inf"), "above 0"),
    ],
)
def test_a_bad_value_is_refused_in_one_line(entry: str, value: object, expected: str) -> None:
    with pytest.raises(ModelError, match=expected) as error:
        StateSchema.from_dict({**OTHER.to_dict(), entry: value})
    assert entry in str(error.value) and "\n" not in str(error.value)


def test_a_missing_or_unknown_entry_is_refused() -> None:
    data = OTHER.to_dict()
    with pytest.raises(ModelError, match="no 'colors'"):
        StateSchema.from_dict({name: value for name, value in data.items() if name != "colors"})
    with pytest.raises(ModelError, match="'weights', which this version does not know"):
        StateSchema.from_dict({**data, "weights": 1})
    with pytest.raises(ModelError, match="expected an object"):
        StateSchema.from_dict([])  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="StateSchema"):
        replace(SMALL, schema=data)


def test_a_network_of_another_schema_computes() -> None:
    """Forward, losses with their gradients, and detection have the widths of the schema."""
    torch.manual_seed(0)
    denoiser, canvas = Denoiser(SMALL), noisy()
    clean = denoiser(canvas)
    assert {name: x.shape for name, x in clean.items()} == {name: x.shape for name, x in canvas.values.items()}
    assert clean["state"].shape[-1] == OTHER.features == 3 + 4 + 1 + 9
    assert clean["scene"].shape[-1] == 3
    answers, centers, _ = denoiser.detect_canvas(canvas)
    assert answers.shape[-1] == detection_dim(OTHER) == 10
    assert centers.mean(0).tolist() == pytest.approx([OTHER.center, OTHER.center])
    noise = {name: torch.randn_like(x) for name, x in canvas.values.items()}
    bias = causal_bias(canvas.num_frames, torch.device("cpu"))
    parts = losses(denoiser, canvas, noise, bias, torch.zeros(2), torch.float32)
    assert {"video", "state", "sight", "scene"} <= parts.keys() and all(bool(x.isfinite()) for x in parts.values())
    torch.stack(list(parts.values())).sum().backward()
    assert bool(denoiser.state_out.down.weight.grad.abs().sum() > 0)


def test_noise_patterns_have_the_widths_of_the_schema() -> None:
    rng = np.random.default_rng(0)
    shares = PatternMix(perceive=0.3, render=0.2, predict=0.3, joint=0.2)
    drawn = sample_levels(rng, batch=3, frames=4, slots=2, grid=GRID, shares=shares, schema=OTHER)
    rolled, _ = draw_rollout_levels(rng, batch=3, frames=4, slots=2, schema=OTHER)
    stills = draw_stills(rng, batch=4, slots=2, grid=GRID, schema=OTHER)
    for levels in (drawn, rolled, stills):
        assert levels["state"].shape[-1] == OTHER.features and levels.keys() >= OTHER.vectors.keys()


def test_a_canvas_of_another_schema_is_refused() -> None:
    canvas = noisy()
    with pytest.raises(InputError, match=rf"{OTHER.features} features a slot, the canvas's schema {PLAYGROUND.features}"):
        replace(canvas, schema=PLAYGROUND)


def test_a_saved_model_comes_back_with_its_schema(folder: Path) -> None:
    config = read_config(folder)
    assert config.denoiser == SMALL and config.denoiser.schema == OTHER
    model = load(folder, device="cpu")
    assert model.denoiser.schema == OTHER
    assert model.denoiser.state_out.down.weight.shape[0] == OTHER.features
    canvas = blank_canvas(model, count=1, frames=2, fps=8.0, height=64, width=64)
    filled = fill_canvas(model, canvas, SamplingConfig(num_plan_steps=1, num_candidates=1), [0])
    assert filled.schema == OTHER and filled.values["state"].shape == (1, 2, 3, OTHER.features)
    radii = OTHER.size_units(filled.values["state"][..., OTHER.slice("size")])
    exists = filled.values["state"][..., 0] > 0
    assert all(min(abs(radius - x) for x in OTHER.radii) < 1e-4 for radius in radii[exists].flatten().tolist())


def test_what_needs_the_playground_says_so(folder: Path) -> None:
    for given in (load(folder, device="cpu"), folder):
        with pytest.raises(ModelError, match="clips and worlds of other: expected a model with the Playground's") as error:
            resolve_model(given)
        assert "\n" not in str(error.value)


def test_prompts_are_read_by_the_words_of_the_schema() -> None:
    things = [(t.kind, t.color, t.count) for t in things_in("a huge gold drone and two walls near a robot", OTHER)]
    assert things == [("drone", "gold", 1), ("wall", None, 2)]
    assert {"drone", "drones", "gold", "huge", "rolls"} <= known_words(OTHER)
    assert not {"robot", "purple", "large"} & known_words(OTHER)
    with pytest.raises(VocabularyError, match=r"it films drones, balls$"):
        check_words("a robot", strict=True, model="other", lacks=["wall"], schema=OTHER)


def test_a_config_without_a_schema_is_of_the_playground(folder: Path) -> None:
    data = SMALL.to_dict()
    del data["schema"]
    assert DenoiserConfig.from_dict(data).schema == PLAYGROUND
    for path in weights_folder().glob(f"*/{CONFIG}"):
        if "denoiser" in json.loads(path.read_text()):
            assert read_config(path.parent).denoiser.schema == PLAYGROUND


def test_a_bad_schema_of_a_config_is_refused(folder: Path) -> None:
    data = json.loads((folder / CONFIG).read_text())
    data["denoiser"]["schema"]["center"] = None
    (folder / CONFIG).write_text(json.dumps(data))
    with pytest.raises(ModelError, match="center None: expected a number"):
        read_config(folder)


def test_another_autoencoder_is_refused(folder: Path) -> None:
    assert len(read_config(folder).autoencoder_sha256) == 64
    weights = folder.parent / "codec-8x8" / "model.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.chmod(0o644)
    weights.write_bytes(damaged)
    with pytest.raises(ModelError, match="other weights of the autoencoder 'codec-8x8'") as error:
        load(folder, device="cpu")
    assert "\n" not in str(error.value)
    data = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(data | {"autoencoder_sha256": ""}))
    assert load(folder, device="cpu").config.autoencoder_sha256 == ""
    (folder / CONFIG).write_text(json.dumps(data | {"autoencoder_sha256": "ab"}))
    with pytest.raises(ModelError, match="64 hexadecimal digits"):
        read_config(folder)
