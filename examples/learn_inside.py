"""An agent that learns in imagination and is scored in the real room (pip install 'kinema[agents]').

python examples/learn_inside.py [FOLDER] [FRAMES]     300000 frames make a runner, 4096 show how it goes
"""

import sys
from pathlib import Path

import numpy as np

import kinema
from kinema.agents import PPOConfig, Random, learn, score
from kinema.envs.playground import PlaygroundEnv
from kinema.media import Clip

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out")
frames = int(sys.argv[2]) if len(sys.argv) > 2 else 4096

task = "reach the flag"
agent = learn(
    task,
    inside=kinema.load("kinema-tiny"),
    settings=PPOConfig(frames=frames, starts=16),
    show=lambda done, of, reward: print(f"{done:,} of {of:,} imagined frames, reward {reward:+.4f} a frame"),
)
print("real rooms, the agent:", score(agent, task, episodes=10))
print("real rooms, at random:", score(Random(), task, episodes=10))
print(agent.save(folder / "runner", force=True))

room = PlaygroundEnv(task=task, observation="dict")
seen, _ = room.reset(seed=1)
frames, ended = [seen["pixels"]], False
while len(frames) < 96 and not ended:
    seen, _, ended, _, _ = room.step(agent.act(seen["state"][None], [], None)[0])
    frames.append(seen["pixels"])
print(Clip(frames=np.stack(frames), fps=16.0).save(folder / "runner.mp4", force=True))
