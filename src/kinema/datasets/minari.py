"""Minari's offline datasets as episode datasets: those whose observations hold pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kinema.datasets.lerobot import Recorded, Writer
from kinema.datasets.recorder import FPS, Eyes, check_picture_size, resize_picture
from kinema.envs.spaces import encode_action, spec_of, width
from kinema.errors import InputError


def convert_minari(name: str, out: Path | str, *, size: tuple[int, int] = (64, 64)) -> Writer:
    """Write the Minari dataset `name`, which must be on this machine, into the dataset at `out`."""
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
        eyes = Eyes.of(Source(), size)  # type: ignore[arg-type]  # only these attributes are asked for
    except InputError:
        raise InputError(f"the Minari dataset {name!r} holds no pictures (observations: {space})") from None
    writer = Writer(out, fps=FPS, size=size, sensors=eyes.sensors, about={"env": None, "minari": name, "action": spec})
    if writer.rows:
        raise InputError(f"{out} holds {len(writer.rows)} episodes already; name another folder")
    for episode in data.iterate_episodes():
        count = len(episode.rewards) + 1

        def at(values: Any, t: int) -> Any:
            if isinstance(values, tuple):
                return tuple(at(part, t) for part in values)
            return {key: at(part, t) for key, part in values.items()} if isinstance(values, dict) else values[t]

        seen = [at(episode.observations, t) for t in range(count)]
        first = np.zeros(1)
        writer.add(
            Recorded(
                frames=np.stack([resize_picture(np.asarray(eyes._part(one, eyes.picture or "")), size) for one in seen]),
                action=np.stack(
                    [
                        *(encode_action(spec, at(episode.actions, t)) for t in range(count - 1)),
                        np.zeros(width(spec), np.float32),
                    ]
                ),
                reward=np.concatenate([first, episode.rewards]).astype(np.float32),
                terminated=np.concatenate([first, episode.terminations]).astype(bool),
                truncated=np.concatenate([first, episode.truncations]).astype(bool),
                sensors=np.stack([eyes.sensors_of(one) for one in seen]),
                task=eyes.task_of(seen[0]),
            )
        )
    return writer
