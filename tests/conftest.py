"""Tiny real models that many tests share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kinema.autoencoder import Autoencoder, AutoencoderConfig
from kinema.datasets.episode_cache import EpisodeCache, simulate_shard
from kinema.models.config import DenoiserConfig
from kinema.models.denoiser import Denoiser
from kinema.models.hub import Model, ModelConfig
from kinema.playground.scene_distribution import meeting
from kinema.scene.scene import COLORS, KINDS, Scene
from kinema.training.caches import build_caches, open_caches
from kinema.training.recipes import smoke

torch.set_num_threads(1)
os.environ["KINEMA_MODELS"] = "/nowhere/models.toml"
"""What whoever runs the tests has added is no matter of theirs."""

TOGETHER = {
    "tests/e2e/test_studio": "studio", "tests/e2e/": "server", "tests/golden/": "golden",
    "tests/training/test_trainer.py": "smoke", "tests/training/test_devices.py": "smoke",
    "tests/training/test_recorded_world.py": "recorded",
    "tests/datasets/test_episode_cache.py": "meetings", "tests/models/objects/test_occlusion.py": "meetings",
    "tests/envs/test_web.py": "web", "tests/client/": "client",
    "tests/engines/test_f": "engines", "tests/engines/test_l": "engines",
}  # fmt: skip
"""Tests that share what takes long to make, by how their paths begin: those of a group run in one process."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Groups first, the largest of them before all, then single tests. (xdist's own marks have no effect from pytest 9.1 on.)"""
    if config.getvalue("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Grouped(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return next((group for path, group in TOGETHER.items() if nodeid.startswith(path)), nodeid)

    return Grouped(config, log)


SMALL = DenoiserConfig(width=32, depth=2, heads=2, mlp_ratio=2, slots=4, latent_channels=24, patch=2, text_dim=384)


@pytest.fixture(scope="session")
def denoiser() -> Denoiser:
    torch.manual_seed(0)
    return Denoiser(SMALL).eval().requires_grad_(False)


@pytest.fixture(scope="session")
def model() -> Model:
    """An untrained model of the smallest size, computing in float32."""
    torch.manual_seed(0)
    config = ModelConfig(
        name="untrained", denoiser=SMALL, autoencoder="none", height=64, heights=(32, 48, 64, 96, 128),
        aspects=("1:1", "16:9", "9:16", "4:3", "2:1"), max_side=128, window=24, film_window=12, fps=(8.0, 32.0),
    )  # fmt: skip
    made = Model(config, Denoiser(SMALL), Autoencoder(AutoencoderConfig(channels=24, width=16)).eval().requires_grad_(False))
    made.dtype = torch.float32
    made.denoiser.float()
    return made


THINGS = (("ball", "red", 2.0, 3.0), ("box", "blue", 5.0, 1.2), ("robot", "green", 8.0, 1.4))


def make_scene(frames: int = 4) -> Scene:
    """A red ball that goes right, a blue box and a green robot."""
    kind, color = np.full(4, -1, np.int8), np.zeros(4, np.int8)
    x, y = np.zeros((frames, 4), np.float32), np.zeros((frames, 4), np.float32)
    vx, visible = np.zeros((frames, 4), np.float32), np.zeros((frames, 4), np.float32)
    for k, (name, hue, left, height) in enumerate(THINGS):
        kind[k], color[k] = KINDS.index(name), COLORS.index(hue)
        x[:, k], y[:, k], visible[:, k] = left, height, 1.0
    x[:, 0] += np.arange(frames) * 2.0 / 16
    vx[:, 0] = 2.0
    zeros = np.zeros((frames, 4), np.float32)
    return Scene(
        fps=16.0, view="side", background="lab", kind=kind, color=color, material=np.zeros(4, np.int8),
        size=np.full(4, 0.85, np.float32), x=x, y=y, vx=vx, vy=zeros, angle=zeros, visible=visible,
        camera=np.tile(np.array([5, 5, 1], np.float32), (frames, 1)),
    )  # fmt: skip


@pytest.fixture(scope="session")
def scene() -> Callable[..., Scene]:
    """Makes a scene of so many frames: a red ball that goes right, a blue box and a green robot."""
    return make_scene


@pytest.fixture(scope="session")
def smoke_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for KINEMA_CACHE that holds the episodes of the smoke recipe."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KINEMA_CACHE", str(folder))
        build_caches(smoke(), workers=1)
    return folder


@pytest.fixture(scope="session")
def smoke_caches(smoke_folder: Path) -> dict[str, EpisodeCache]:
    """The episodes of the smoke recipe by the names of its phases."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KINEMA_CACHE", str(smoke_folder))
        return open_caches(smoke(), workers=1)


@pytest.fixture(scope="session")
def meetings(tmp_path_factory: pytest.TempPathFactory) -> EpisodeCache:
    """Episodes in which things meet, or hide behind a screen."""
    folder = tmp_path_factory.mktemp("meetings")
    np.savez(folder / "shard-00000.npz", **simulate_shard(meeting(), 40, 80))  # type: ignore[arg-type]
    return EpisodeCache(folder)
