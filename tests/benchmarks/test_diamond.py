"""The comparison with DIAMOND steps the same stretches for both, and gives DIAMOND's classes what they expect. A stand-in with the
interface of its classes takes its place: none of its code is here, and what it makes is not scored."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.diamond import (
    ActionsOf,
    DiamondTrainer,
    Stretches,
    against,
    as_observations,
    as_pictures,
    batches_of,
    diamond_code,
    episode_of,
    plain,
    roll_diamond,
    scores,
    seen_episodes,
    stretches_of,
    trained_before,
)
from torch import nn

from kinema.autoencoder import load_autoencoder
from kinema.datasets.lerobot import Dataset
from kinema.datasets.recorder import record
from kinema.errors import InputError
from kinema.models.hub import weights_folder
from kinema.training.recordings import Recordings
from kinema.training.world_report import changed_error

DATA = """
import types, torch
class Episode(types.SimpleNamespace): pass
class Dataset(torch.utils.data.Dataset):
    def __init__(self, directory, name, cache_in_ram, save_on_disk): self.episodes = []
    def add_episode(self, episode): self.episodes.append(episode)
    def __getitem__(self, place): return self.episodes[place]
class BatchSampler(torch.utils.data.Sampler):
    def __init__(self): raise TypeError("as with newer versions of torch")
    def __iter__(self):
        while True: yield [i % len(self.dataset.episodes) for i in range(self.batch_size)]
    def __len__(self): raise NotImplementedError
def collate_segments_to_batch(rows):
    obs, act = (torch.stack([getattr(row, name)[:6] for row in rows]) for name in ("obs", "act"))
    return types.SimpleNamespace(obs=obs, act=act, mask_padding=torch.ones(len(rows), 6).bool())
"""
DIFFUSION = """
import types, torch
from torch import nn
from data import Episode
from utils import set_seed
SigmaDistributionConfig = DiffusionSamplerConfig = InnerModelConfig = DenoiserConfig = types.SimpleNamespace
class Denoiser(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config, self.inner_model = config, nn.Linear(1, 1)
        self.inner_model.act_emb = nn.Embedding(config.inner_model.num_actions, 2)
    def setup_training(self, config): self.sigma = config
    def forward(self, batch):
        return (self.inner_model(batch.obs.mean().reshape(1)) - 1).square().sum(), {}
class DiffusionSampler:
    def __init__(self, denoiser, config): self.steps = config.num_steps_denoising
    def sample(self, past, actions):
        # a picture that says which it follows, and by which actions: the oldest and the newest
        following = past[:, -1].clone()
        following[:, 0] += 2 / 255
        following[:, 1] = actions[:, 0, None, None] * 2 / 255 - 1
        following[:, 2] = actions[:, -1, None, None] * 2 / 255 - 1
        return following, []
"""
UTILS = """
import torch, wandb
from omegaconf import OmegaConf
def set_seed(seed): torch.manual_seed(seed)
def configure_opt(model, **rates): return torch.optim.AdamW(model.parameters(), **rates)
def get_lr_sched(optimizer, warmup): return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1, step / warmup))
"""
AGENT = """
_target_: agent.AgentConfig
denoiser: {_target_: x, sigma_data: 0.5, inner_model: {_target_: x, num_steps_conditioning: 4, cond_channels: 8}}
"""
TRAINER = """
world_model_env: {diffusion_sampler: {num_steps_denoising: 3, sigma_min: 2e-3, s_tmax: "${eval:'inf'}"}}
denoiser:
  training: {num_autoregressive_steps: 1, batch_size: 3, lr_warmup_steps: 2, max_grad_norm: 1.0}
  optimizer: {lr: 1e-4, weight_decay: 1e-2, eps: 1e-8}
  sigma_distribution: {_target_: x, loc: -0.4, scale: 1.2}
"""


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    files = {
        "src/data/__init__.py": DATA, "src/utils.py": UTILS, "src/models/diffusion/__init__.py": DIFFUSION,
        "src/models/diffusion/denoiser.py": "", "config/agent/default.yaml": AGENT, "config/trainer.yaml": TRAINER,
    }  # fmt: skip
    for name, text in files.items():
        path = tmp_path / "clone" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "clone"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("recorded") / "cart"
    record("CartPole-v1", folder, episodes_wanted=12, size=(32, 48))
    return Dataset.open(folder).fitted()


def test_its_modules_are_there_only_while_they_are_used(stand_in: Path) -> None:
    before, path = set(sys.modules), list(sys.path)
    with diamond_code(stand_in) as diamond:
        assert diamond.context == 4 and sys.modules["utils"] is diamond.utils
        assert "no clone" in diamond.commit()
    assert sys.path == path and not {"utils", "data", "models", "models.diffusion"} & (set(sys.modules) - before)
    with pytest.raises(InputError, match="holds no clone"), diamond_code(stand_in / "src"):
        pass


def test_its_configuration_is_read_without_hydra() -> None:
    section = {"_target_": "a.B", "lr": "1e-4", "name": "x", "depths": [2, "2e-3"], "far": "${eval:'inf'}", "on": True}
    assert plain(section) == {"lr": 1e-4, "name": "x", "depths": [2, 2e-3], "on": True}


def test_it_learns_from_the_episodes_that_are_not_held_back(stand_in: Path, recorded: Dataset) -> None:
    with diamond_code(stand_in) as diamond:
        trainer = DiamondTrainer(diamond, ActionsOf.of(recorded), batches_of(diamond, recorded))
        first = trainer.one_step()
        for _ in range(4):
            last = trainer.one_step()
        assert last < first and (trainer.step, trainer.targets) == (5, 5 * 3 * 2)
        episodes = trainer.batches._dataset.episodes  # type: ignore[attr-defined]
        assert len(episodes) == len(seen_episodes(recorded)) == len(recorded) - 1
        assert np.array_equal(as_pictures(episodes[0].obs), recorded.episode(0).frames)
        assert episodes[0].act.tolist() == recorded.episode(0).action.argmax(-1).tolist()


def test_a_rollout_reads_its_own_frames_and_the_actions_at_them(stand_in: Path) -> None:
    """Frame t follows from frames t - 4 to t - 1, its own where they are no longer known, and from the actions at those."""
    frames = np.full((1, 12, 8, 8, 3), 100, np.uint8)
    actions = torch.arange(12)[None]
    with diamond_code(stand_in) as diamond:
        made = roll_diamond(diamond, diamond.denoiser(ActionsOf(2)), frames, actions, known=8)
    assert made.shape == (1, 4, 8, 8, 3)
    assert made[0, :, 0, 0].tolist() == [[101, 4, 7], [102, 5, 8], [103, 6, 9], [104, 7, 10]]


def test_both_step_the_stretches_that_a_world_is_measured_on(recorded: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn as pictures is what `roll_held_back` draws as latents."""
    monkeypatch.setattr("benchmarks.diamond.AHEAD", 2)
    monkeypatch.setattr("benchmarks.diamond.START_FRAMES", 5)
    autoencoder = load_autoencoder(weights_folder() / "codec-8x8")
    recordings = Recordings(recorded, autoencoder, None)
    found = stretches_of(recordings, recorded, 3)
    drawn = recordings.sample_windows(np.random.default_rng(12345), 3, 7, 0, held_back=True)
    assert found.known == 5 and found.truth.shape == (3, 2, *recorded.size, 3)
    assert torch.equal(found.actions, drawn["action"].argmax(-1))
    for frames, latents in zip(found.frames, drawn["video"], strict=True):
        assert torch.allclose(autoencoder.encode_frames(frames), latents, atol=0.05)


def test_actions_that_are_numbers_are_read_by_a_linear_map(stand_in: Path, recorded: Dataset, tmp_path: Path) -> None:
    record("Pendulum-v1", tmp_path / "pendulum", episodes_wanted=1, size=(32, 48))
    pendulum = Dataset.open(tmp_path / "pendulum").fitted()
    one, box = ActionsOf.of(recorded), ActionsOf.of(pendulum)
    assert (one, box) == (ActionsOf(2), ActionsOf(1, box=True))
    assert one.read(torch.eye(2)).tolist() == [0, 1]
    with diamond_code(stand_in) as diamond:
        table, line = (diamond.denoiser(actions).inner_model.act_emb for actions in (one, box))  # type: ignore[union-attr]
        act = episode_of(diamond, pendulum, 0).act
    assert torch.equal(act, torch.from_numpy(pendulum.episode(0).action)) and act.shape[-1] == 1
    assert isinstance(table, nn.Embedding) and line(act[None, :4]).shape == (1, 4 * 2)


def test_a_run_of_another_recording_is_refused(recorded: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no finished run"):
        trained_before(tmp_path, recorded.folder)


def test_scores_are_those_of_recorded_worlds() -> None:
    rng = np.random.default_rng(0)
    frames, ours, theirs = (rng.integers(0, 256, (4, 6, 8, 8, 3), np.uint8) for _ in range(3))
    stretches = Stretches(2, frames, torch.zeros(4, 6, dtype=torch.long))
    found = scores(ours[:, 2:], stretches)
    assert found["error_4"] == changed_error(ours[:, 5], frames[:, 5], frames[:, 1])
    assert found["copy_1"] == changed_error(frames[:, 1], frames[:, 2], frames[:, 1]) and "error_12" not in found
    share, low, high = against(ours[:, 2:], theirs[:, 2:], stretches)["4"]
    assert low <= share <= high and share == found["error_4"] / scores(theirs[:, 2:], stretches)["error_4"]
    assert scores(stretches.truth, stretches)["error_4"] == 0


def test_pictures_and_observations() -> None:
    every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, -1)
    assert as_observations(every).shape == (1, 3, 16, 16) and np.array_equal(as_pictures(as_observations(every)), every)
