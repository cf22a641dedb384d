"""Every environment of Kinema by its Gymnasium id, registered when `kinema` is imported; nothing is loaded before one is made."""

from __future__ import annotations

VECTOR = {
    "kinema/Imagined-v0": ("kinema.envs.imagined:ImaginedEnv", "kinema.envs.imagined:ImaginedVectorEnv"),
    "kinema/Recorded-v0": ("kinema.envs.recorded:RecordedEnv", "kinema.envs.recorded:RecordedVectorEnv"),
}
SINGLE = {
    "kinema/Playground-v0": "kinema.envs.playground:PlaygroundEnv",
    "kinema/Remote-v0": "kinema.envs.remote:RemoteEnv",
}


def register() -> None:
    """Make the ids known to Gymnasium; doing it twice does no harm."""
    from gymnasium.envs import registration

    for name, (single, many) in VECTOR.items():
        if name not in registration.registry:
            registration.register(id=name, entry_point=single, vector_entry_point=many)
    for name, single in SINGLE.items():
        if name not in registration.registry:
            registration.register(id=name, entry_point=single)
