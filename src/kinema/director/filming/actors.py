"""What is known of live shots before anything is filmed: whether their models can be steered, and their robots be moved."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from importlib.util import find_spec
from pathlib import Path

from kinema.director.script import Script, Shot
from kinema.engines import Capabilities
from kinema.errors import InputError, KinemaError


def script_file(folder: Path, name: str) -> Path:
    """The file or folder that a script names, relative to the folder of its production, which need not be there yet."""
    return (folder / name).resolve()


def check_live(
    script: Script, capabilities_of: Callable[[Shot], Capabilities], shots: Collection[Shot] | None = None
) -> None:
    """Check that the models of shots with cues or an actor can be steered.

    Args:
        script: The script.
        capabilities_of: Of the model that films a shot.
        shots: Those that are still to be filmed. None: all.

    Raises:
        InputError: The first shot with cues or an actor whose model has no state.
    """
    for shot in script.shots if shots is None else shots:
        if shot.live and not (capabilities := capabilities_of(shot)).state:
            part = "cues" if shot.cues else "actor"
            raise InputError(
                f"{_named(script, shot)}, {part}: {capabilities.model} has no state: cues and actors need a model with one,"
                " such as kinema-tiny"
            )


def check_actors(script: Script, folder: Path, shots: Collection[Shot] | None = None) -> None:
    """Open the agents that a script names, before anything is filmed.

    Args:
        script: The script.
        folder: Of its production, where agents are looked for.
        shots: Those that are still to be filmed. None: all.

    Raises:
        InputError: The first shot whose actor is not there, cannot be read or was not trained for a task of the Playground, or
            whose cast has no robot that it would move.
    """
    for shot in script.shots if shots is None else shots:
        if shot.actor is None:
            continue
        name = f"{_named(script, shot)}, actor"
        identities = [script.member(id).identity for id in shot.cast]
        if not any(one is not None and one.kind == "robot" for one in identities) and not any(
            re.search(r"\brobot\b", cue.do, re.IGNORECASE) for cue in shot.cues
        ):
            raise InputError(f"{name}: its cast has no robot, and a robot is what an actor moves")
        _check_actor(script_file(folder, shot.actor), name)


def _check_actor(folder: Path, name: str) -> None:
    """InputError: a folder holds no agent for a task of the Playground. name: of what names it."""
    if find_spec("stable_baselines3") is None:
        raise InputError(f"{name}: agents need Stable-Baselines3: pip install 'kinema[agents]'")
    from kinema.agents import Agent

    try:
        agent = Agent.open(folder)
    except KinemaError as error:
        raise InputError(f"{name}: {error}") from None
    if agent.task is None:
        raise InputError(
            f"{name}: {folder} was trained for {agent.env}; expected an agent with a task, as kinema agent train --task makes"
        )


def _named(script: Script, shot: Shot) -> str:
    """'shot 2 ("s2")'."""
    return f'shot {script.index_of(shot.id) + 1} ("{shot.id}")'
