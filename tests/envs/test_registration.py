"""Importing Kinema registers its environments, and each id leads to a class."""

from __future__ import annotations

import gymnasium
from gymnasium.envs.registration import load_env_creator

import kinema  # noqa: F401  registers them

IDS = {"kinema/Playground-v0", "kinema/Imagined-v0", "kinema/Recorded-v0", "kinema/Remote-v0"}


def test_every_id_leads_to_a_class() -> None:
    ours = {name: spec for name, spec in gymnasium.registry.items() if name.startswith("kinema/")}
    assert ours.keys() == IDS
    for spec in ours.values():
        for entry in (spec.entry_point, spec.vector_entry_point):
            if entry is not None:
                assert issubclass(load_env_creator(str(entry)), gymnasium.Env | gymnasium.vector.VectorEnv)
