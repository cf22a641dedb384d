"""Client for worlds on a server: `kinema.RemoteWorld` has the methods of `kinema.World`.

    world = kinema.RemoteWorld("http://127.0.0.1:8000", "a red ball and a robot on a field", key="kinema_...")
    frame, state, reward = world.step((1.0, 0.0))
    print(world.ask("where is the red ball?"))

As a Gymnasium environment: `gymnasium.make("kinema/Remote-v0", url=..., start=...)`.
"""

from __future__ import annotations

from kinema.client.connection import clip_of, from_url, picture_of
from kinema.client.world import RemoteWorld

__all__ = ["RemoteWorld", "clip_of", "from_url", "picture_of"]
