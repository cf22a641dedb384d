"""Makes `kinema/Playground-v0` known to Gymnasium, without loading the renderer before an environment is made."""

from __future__ import annotations

ENV_ID = "kinema/Playground-v0"


def register() -> None:
    """Registers the environment once. Gymnasium 1.x loads no plugins by itself: import `kinema.envs.playground` before
    `gymnasium.make`, which calls this."""
    from gymnasium.envs import registration

    if ENV_ID not in registration.registry:
        registration.register(id=ENV_ID, entry_point="kinema.envs.playground:PlaygroundEnv")
