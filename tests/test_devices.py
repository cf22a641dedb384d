"""Models on a device that is not the processor, on torch's "meta" device: tensors there have shapes and no numbers, and mixing them
with tensors of the processor raises as it does on a GPU. What is read back from it is zeros, here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tests.conftest import SMALL
from torch import Tensor

import kinema
from kinema import devices
from kinema.agents.policies import Imitator, Planner
from kinema.api import SamplingConfig
from kinema.autoencoder import Autoencoder, AutoencoderConfig, fast_dtype
from kinema.cli.main import main
from kinema.devices import resolve_device
from kinema.envs.imagined import ImaginedVectorEnv
from kinema.envs.playground import PlaygroundEnv
from kinema.errors import InputError
from kinema.inference.canvas_io import resolve_model
from kinema.media import Clip
from kinema.models.denoiser import Denoiser
from kinema.models.hub import Model, load
from kinema.scene.scene import Scene
from kinema.simulation.world import World

FAST = SamplingConfig(num_plan_steps=2, num_render_steps=1)


@pytest.mark.parametrize(
    ("processor", "taken", "instructions", "dtype"),
    [
        ("x86_64", True, True, torch.bfloat16),
        ("x86_64", True, False, torch.float32),  # oneDNN takes it, by other instructions, at a third of the speed of float32
        ("AMD64", True, False, torch.float32),
        ("x86_64", False, False, torch.float32),
        ("aarch64", True, False, torch.bfloat16),  # what oneDNN says holds there
    ],
)
def test_bfloat16_is_used_where_the_processor_has_instructions_for_it(
    monkeypatch: pytest.MonkeyPatch, processor: str, taken: bool, instructions: bool, dtype: torch.dtype
) -> None:
    monkeypatch.setattr("platform.machine", lambda: processor)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: taken)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: instructions)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert fast_dtype() is dtype and fast_dtype("cuda") is torch.bfloat16
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert fast_dtype() is (torch.bfloat16 if taken else torch.float32)


def read_back(x: Tensor) -> Tensor:
    """A tensor on the processor: itself, or zeros in place of what is on the device."""
    return torch.zeros(x.shape, dtype=x.dtype) if x.is_meta else x


@pytest.fixture
def far(model: Model, monkeypatch: pytest.MonkeyPatch) -> Model:
    """The tiny model on the device "meta", with the ways in which values come back from a device."""
    old: dict[str, Any] = {
        name: getattr(Tensor, name) for name in ("to", "nonzero", "tolist", "item", "__bool__", "__float__", "__int__")
    }

    def to(self: Tensor, *given: Any, **more: Any) -> Tensor:
        target = more.get("device", given[0] if given else None)
        if self.is_meta and isinstance(target, (str, torch.device)) and torch.device(target).type == "cpu":
            return old["to"](read_back(self), *given, **more)  # type: ignore[no-any-return]
        return old["to"](self, *given, **more)  # type: ignore[no-any-return]

    def nonzero(self: Tensor, **more: Any) -> Tensor:
        """Where all is: the longest answer, on the same device."""
        if not self.is_meta:
            return old["nonzero"](self, **more)  # type: ignore[no-any-return]
        return old["nonzero"](torch.ones(self.shape)).to("meta")  # type: ignore[no-any-return]

    def reading(name: str) -> Callable[[Tensor], Any]:
        return lambda self: old[name](torch.ones(self.shape, dtype=self.dtype) if self.is_meta else self)

    def listed(self: Tensor) -> Any:
        return list(range(len(self))) if self.is_meta else old["tolist"](self)

    monkeypatch.setattr(Tensor, "to", to)
    monkeypatch.setattr(Tensor, "cpu", read_back)
    monkeypatch.setattr(Tensor, "nonzero", nonzero)
    monkeypatch.setattr(Tensor, "tolist", listed)
    for name in ("item", "__bool__", "__float__", "__int__"):
        monkeypatch.setattr(Tensor, name, reading(name))
    autoencoder = (
        Autoencoder(AutoencoderConfig(channels=24, width=16))
        .use_dtype(torch.bfloat16)
        .to("meta")
        .eval()
        .requires_grad_(False)
    )
    return Model(model.config, Denoiser(SMALL), autoencoder, device="meta")


@pytest.fixture
def clip() -> Clip:
    frames = np.random.default_rng(0).integers(0, 255, (6, 64, 64, 3), np.uint8)
    return Clip(frames=frames, fps=16.0)


def test_mixing_devices_raises_there(far: Model) -> None:
    assert far.device.type == "meta"
    with pytest.raises(RuntimeError, match="device"):
        torch.where(torch.zeros(3, device="meta") > 0, torch.zeros(3), torch.zeros(3, device="meta"))
    with pytest.raises(RuntimeError, match="device"):
        torch.zeros(3, device="meta") + torch.zeros(3)


def test_films(far: Model, clip: Clip) -> None:
    """Longer than one window, with text, a camera, and pictures at the ends."""
    assert kinema.generate("a red ball rolls", model=far, seconds=2, count=2, options=FAST)[1].num_frames == 32
    camera = [(0.0, 5.0, 5.0, 1.0), (0.3, 6.0, 5.0, 2.0)]
    made = kinema.generate("a box", model=far, seconds=0.5, image=clip, last=clip, camera=camera, options=FAST)[0]
    assert (made.frames[0] == clip.frames[0]).all()
    assert len(kinema.films(["a ball", ""], [1, 2], model=far, seconds=0.25, options=FAST)) == 2
    assert kinema.image("a star", model=far, options=SamplingConfig(num_plan_steps=2, sampler="heun")).num_frames == 1


def test_changes(far: Model, clip: Clip) -> None:
    assert kinema.extend(clip, seconds=0.25, model=far).num_frames == 10
    assert kinema.extend(clip, "a ball", seconds=0.25, before=True, model=far, options=FAST).num_frames == 10
    assert kinema.blend(clip, clip, seconds=0.25, model=far, options=FAST).num_frames == 16
    assert kinema.interpolate(clip, fps=32, model=far, options=FAST).num_frames == 11
    assert kinema.infill([(clip, 0.0), (clip, 0.5)], model=far, options=FAST).num_frames == 9
    mask = Clip(frames=np.full((1, 64, 64, 3), 255, np.uint8), fps=1.0)
    assert kinema.edit(clip, "a star", mask=mask, model=far, options=FAST).num_frames == 6


def test_states(far: Model, clip: Clip, scene: Callable[..., Scene]) -> None:
    assert kinema.perceive(clip, model=far, options=FAST).num_frames == 6
    assert kinema.render(scene(4), model=far, options=FAST).num_frames == 4
    assert isinstance(kinema.surprise(clip, model=far), float)


@pytest.mark.parametrize("start", ["a red ball", "clip"])
def test_a_world(far: Model, clip: Clip, start: str, scene: Callable[..., Scene]) -> None:
    """Stepped in one step and in two, branched, rewound and looked at."""
    world = World(far, clip if start == "clip" else start, seed=1, task="reach the flag")
    for action in (None, (1.0, 0.0)):
        assert world.step(action).frame.shape == (64, 64, 3)
    assert world.branch().rewind(1).past_frames == world.past_frames - 1
    two = World(far, scene(3), steps=2)
    two.step((0.0, 1.0))
    two.edit("remove the red ball") if two.state.entities else two._refresh_cache()
    assert two.clip().num_frames == 4 and isinstance(two.terminated, bool)


def test_rooms_and_agents(far: Model) -> None:
    room = PlaygroundEnv(task="reach the flag", size=32)
    room.reset(seed=0)
    env = ImaginedVectorEnv(2, model=far, size=32, window=4)
    env.reset(seed=0)
    assert env.step(np.zeros((2, 2), np.float32))[0].shape == (2, 32, 32, 3)
    env.restart(np.array([True, False]))
    for agent in (
        Planner(far, "reach the flag", candidates=4, ahead=2, hold=1, rounds=1, best=2),
        Imitator(far, "reach the flag"),
    ):
        agent.begin(1)
        for actions in (None, np.zeros((1, 2), np.float32)):
            assert agent.act(np.zeros(0), [room.scene], actions).shape == (1, 2)


def test_auto_takes_the_fastest_that_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    for cuda, mps, expected in ((False, False, "cpu"), (False, True, "mps"), (True, True, "cuda")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda cuda=cuda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda mps=mps: mps)
        monkeypatch.setattr(torch.cuda, "device_count", lambda cuda=cuda: int(cuda))
        assert resolve_device("auto").type == resolve_device().type == devices.available_devices()[0] == expected
    assert resolve_device("cuda:0") == torch.device("cuda:0")
    with pytest.raises(InputError, match="'cuda:1' is not here: this machine has cuda, mps, cpu"):
        resolve_device("cuda:1")


def test_a_device_that_is_not_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The library, the command line and the server say the same, before any work."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    told = "device 'cuda' is not here: this machine has cpu"
    for ask in (lambda: load("kinema-tiny", device="cuda"), lambda: resolve_model(None, "cuda")):
        with pytest.raises(InputError, match=told):
            ask()
    with pytest.raises(InputError, match="no device 'gpu': expected auto, cpu, cuda or mps"):
        resolve_device("gpu")
    for line in (
        ["generate", "a ball"], ["image", "a ball"], ["train", "smoke"], ["serve", "--port", "0"], ["worker"],
        ["arena", "run", "--quick"], ["play", "a ball"],
    ):  # fmt: skip
        if line[0] == "play":
            continue  # asks for a terminal first
        assert main([*line, "--device", "cuda"]) == 2
        assert told in capsys.readouterr().err


def test_a_model_stays_where_it_is(model: Model) -> None:
    assert resolve_model(model, "auto") is model
