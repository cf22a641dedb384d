"""Your own environment as a world: record it, train on it, step into it (pip install 'kinema[worlds]').

python examples/your_own_world.py [FOLDER] [MINUTES]     15 minutes make a world, a few seconds show how it goes
"""

import sys
from pathlib import Path

import gymnasium
import numpy as np

from kinema.datasets.recorder import record
from kinema.media import Clip
from kinema.training.recorded_world import train_world
from kinema.training.world_lesson import WorldRecipe

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out")
minutes = float(sys.argv[2]) if len(sys.argv) > 2 else 0.05

data, run = folder / "cartpole", folder / "cartpole-run"
record("CartPole-v1", data, episodes_wanted=4 if minutes < 1 else 60)
small = WorldRecipe(compile=False, frames=5, batch=4, size="nano")  # to see how it goes
world = train_world(data, out=run, minutes=minutes, recipe=small if minutes < 1 else None)

env = gymnasium.make("kinema/Recorded-v0", model=world)
frame, _ = env.reset(seed=1)
frames = [frame]
for t in range(24):
    frame, reward, terminated, truncated, _ = env.step(t // 4 % 2)
    frames.append(frame)
print(Clip(frames=np.stack(frames), fps=16.0).save(folder / "imagined.mp4", force=True))
