"""Minari's offline datasets as episode datasets: those whose observations hold pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kinema.datasets.dataset_files import Recorded
from kinema.datasets.folder_lock import locked
from kinema.datasets.observed import Eyes, check_picture_size, reward_of
from kinema.datasets.recorder import FPS, in_step
from kinema.datasets.writer import Writer
from kinema.envs.spaces import Spec, check, encode_action, spec_of, width
from kinema.errors import InputError


def convert_minari(name: str, out: Path | str, *, size: tuple[int, int] = (64, 64), picture: str | None = None) -> Writer:
    """Write the Minari dataset `name`, which must be on this machine, into the dataset at `out`; picture: as of `record`."""
    try:
        import minari
    except ImportError:
        raise InputError("Minari datasets need minari: pip install 'minari[hdf5]'") from None
    try:
        data = minari.load_dataset(name)
    except (FileNotFoundError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"no Minari dataset {name!r} here ({reason}); get it with: minari download {name}") from None
    check_picture_size(size)
    space, spec = data.observation_space, spec_of(data.action_space)

    class Source:
        """What `Eyes` asks of an environment; nothing here can be rendered."""

        observation_space, render_mode, spec, unwrapped = space, None, None, None

    try:
        eyes = Eyes.of(Source(), size, picture)  # type: ignore[arg-type]  # only these attributes are asked for
    except InputError as error:
        reason = str(error) if picture is not None else f"observations: {space}"
        raise InputError(f"the Minari dataset {name!r} holds no pictures ({reason})") from None
    with locked(Path(out), "recording", "-o"):
        return _convert(data, name, Path(out), eyes, spec)


def _convert(data: Any, name: str, out: Path, eyes: Eyes, spec: Spec) -> Writer:
    size = eyes.size
    writer = Writer(out, fps=FPS, size=size, sensors=eyes.sensors, about={"env": None, "minari": name, "action": spec})
    if writer.rows:
        raise InputError(f"{out} holds {len(writer.rows)} episodes already; name another folder")
    for number, episode in enumerate(data.iterate_episodes()):
        count = len(episode.rewards) + 1

        def at(values: Any, t: int) -> Any:
            if isinstance(values, tuple):
                return tuple(at(part, t) for part in values)
            return {key: at(part, t) for key, part in values.items()} if isinstance(values, dict) else values[t]

        seen = [at(episode.observations, t) for t in range(count)]
        frames, sensors, actions, rewards = [], [], [], [0.0]
        for t, observation in enumerate(seen):
            with in_step(number, t):
                frames.append(eyes.seen_in(observation))
                sensors.append(eyes.sensors_of(observation))
                if t < count - 1:
                    action = at(episode.actions, t)
                    check(spec, action)
                    actions.append(encode_action(spec, action))
                    rewards.append(reward_of(episode.rewards[t]))
        first = np.zeros(1)
        writer.add(
            Recorded(
                frames=np.stack(frames),
                action=np.stack([*actions, np.zeros(width(spec), np.float32)]),
                reward=np.array(rewards, np.float32),
                terminated=np.concatenate([first, episode.terminations]).astype(bool),
                truncated=np.concatenate([first, episode.truncations]).astype(bool),
                sensors=np.stack(sensors),
                task=eyes.task_of(seen[0]),
            )
        )
    return writer
