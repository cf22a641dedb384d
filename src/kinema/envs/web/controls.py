"""How the player acts: each action with its keys, and what it changes in the encoded action of no key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kinema.envs.controls import ARROWS, CHOICE_KEYS, box_action, chosen_action
from kinema.envs.spaces import Spec, encode_action, padded, width
from kinema.errors import InputError, excerpt

NAMED_KEYS = {
    "left": "ArrowLeft", "right": "ArrowRight", "up": "ArrowUp", "down": "ArrowDown", "forward": "ArrowUp", "backward": "ArrowDown",
    "back": "ArrowDown", "fire": "Space", "jump": "Space", "toggle": "Space", "interact": "Space", "do": "Space",
}  # fmt: skip
"""Keys of actions with these names, beside their numbers; names as browsers' KeyboardEvent.code has them."""
MOST_NAME = 40


def web_controls(world: dict[str, Any], names: Sequence[str] = (), numbers: int | None = None) -> dict[str, Any]:
    """How a recorded world is acted in by the player, as JSON.

    Args:
        world: The entry `world` of the model's config.
        names: Of the choices in order; none: those of the recording, or their numbers.
        numbers: Those of an action as the network reads it; None: as many as the action has.

    Returns:
        "idle": the encoded action of no key [D]; "combine": whether actions of several keys add up (else the last key counts);
        "actions": of each its "label", its "keys" as KeyboardEvent.code has them, and "set", the numbers that it changes in idle as
        [index, value].

    Raises:
        InputError: There are not as many names as choices, or names for actions that are numbers.
    """
    spec: Spec = world["action"]
    idle_choice = int(world.get("idle", 0))
    idle = encode_action(spec, chosen_action(spec, None, idle_choice))
    count = min(width(spec), len(CHOICE_KEYS))
    names = names or world.get("action_names") or ()
    box = spec["type"] == "box"
    if names and (box or len(names) != width(spec)):
        there = "its actions are numbers, which have no names" if box else f"it has {width(spec)} choices"
        raise InputError(f"names of actions {excerpt(', '.join(names))!r}: {there}; leave them out, or name each in order")
    made = []

    def add(label: str, keys: list[str], action: Any) -> None:
        vector = encode_action(spec, action)
        changes = [[int(k), float(vector[k])] for k in np.flatnonzero(idle != vector)]
        made.append({"label": label, "keys": keys, "set": changes})

    if box:
        for i, (low_key, high_key) in enumerate(ARROWS[: len(spec["edges"])]):
            low, high = spec["edges"][i] or (-1.0, 1.0)
            for key, number in ((low_key, low), (high_key, high)):
                add(f"{'first' if i == 0 else 'second'} number {number:g}", [key], box_action(spec, (*[0.0] * i, number)))
    else:
        taken: set[str] = set()
        for i in range(count):
            name = str(names[i])[:MOST_NAME] if names else f"action {i}"
            extra = NAMED_KEYS.get(name.lower())
            keys = [_code(CHOICE_KEYS[i]), *([extra] if extra and extra not in taken else [])]
            taken.update(keys)
            add(name, keys, chosen_action(spec, i, idle_choice))
    return {"idle": padded(idle, numbers or len(idle)).tolist(), "combine": spec["type"] != "discrete", "actions": made}


def _code(key: str) -> str:
    return f"Digit{key}" if key.isdigit() else f"Key{key}"
