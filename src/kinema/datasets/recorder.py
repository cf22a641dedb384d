"""Recording any Gymnasium environment: pictures, actions, rewards, ends, and what else it tells, as an episode dataset.

    from kinema.datasets.recorder import record
    record("MiniGrid-Empty-8x8-v0", "empty", episodes=50)

Pictures come from the observation where it holds some, else from rendering (`kinema.datasets.observed` decides). Boards and other
numbers in the observation become `observation.state`, and so do the environment's entities (`kinema.datasets.entities`); a text in
it (MiniGrid's mission) the task. What an environment hands out is copied at once, and numbers that are not finite are refused with
their episode and step.
"""

from __future__ import annotations

import copy
import importlib
import json
import logging
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from kinema.datasets.dataset_files import Recorded
from kinema.datasets.entities import ReadEntities, function_by_name, read_entities, reader_for
from kinema.datasets.folder_lock import locked
from kinema.datasets.observed import (
    Eyes,
    check_picture_size,
    failure_of,
    flag_of,
    id_of,
    in_code_of,
    reward_of,
)
from kinema.datasets.writer import Writer
from kinema.envs.controls import action_names
from kinema.envs.spaces import Spec, check, encode_action, spec_of, width
from kinema.errors import InputError, excerpt
from kinema.types import python_values

log = logging.getLogger(__name__)

PLUGINS = {
    "ALE/": ("ale_py", "ale-py"),
    "MiniGrid-": ("minigrid", "minigrid"),
    "BabyAI-": ("minigrid", "minigrid"),
    "Vizdoom": ("vizdoom.gymnasium_wrapper", "vizdoom"),
    "Crafter": ("kinema.envs.crafter", "crafter"),
}
"""What to import for ids that begin so (Gymnasium finds no plugins by itself), and how pip calls it."""
FPS = 16.0
MINUTES = 10.0
"""An episode that nothing ends is truncated after this long."""

Act = Callable[[Any], Any]
"""Observation to action."""
MakePolicy = Callable[[gym.Env[Any, Any], int], Act]
"""An environment and a seed to what acts in it."""


def _import(module: str, reason: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(f"{reason} ({' '.join(str(error).split())[:120]})") from None


def make_env(env_id: str, **options: Any) -> gym.Env[Any, Any]:
    """An environment by its id, "module:id" included; says what to install or how the id is spelled."""
    module, colon, name = env_id.rpartition(":")
    if colon:
        _import(module, f"{module!r} of {env_id!r} cannot be imported; expected a Python module that registers {name!r}")
    for prefix, (plugin, package) in PLUGINS.items():
        if name.startswith(prefix):
            imported = _import(plugin, f"{env_id} needs {package}: pip install {package}")
            if package == "ale-py":
                gym.register_envs(imported)
    try:
        given: dict[str, Any] = {"render_mode": "rgb_array", **options}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*render_mode.*")
            try:
                return gym.make(name, disable_env_checker=True, **given)
            except TypeError as error:
                if "render_mode" not in str(error):
                    raise
                given.pop("render_mode")
                return gym.make(name, disable_env_checker=True, **given)
    except TypeError as error:
        raise InputError(f"{env_id} does not take these options: {' '.join(str(error).split())[:160]}") from None
    except (gym.error.Error, ImportError) as error:
        raise InputError(f"no environment {env_id!r}: {' '.join(str(error).split())[:160]}") from None
    except Exception as error:
        raise InputError(f"{env_id} failed in its own code while it was made: {failure_of(error)}") from error


def rate_of(env: gym.Env[Any, Any]) -> float:
    """Frames a second, as far as the environment says."""
    rate = float(env.metadata.get("render_fps") or FPS)
    return rate if math.isfinite(rate) and 1 <= rate <= 128 else FPS


def random_policy(env: gym.Env[Any, Any], seed: int) -> Act:
    """Any action; each is kept for one to a few frames, so that something comes of it."""
    env.action_space.seed(int(seed) % 2**32)
    rng = np.random.default_rng(seed)
    held: list[Any] = []

    def act(observation: Any) -> Any:
        if not held or rng.random() < 0.5:
            held[:] = [env.action_space.sample()]
        return held[0]

    return act


def policy_for(wanted: str | MakePolicy) -> MakePolicy:
    """ "random", "module:function" or the path of a policy of Stable-Baselines3, as `record` takes it."""
    if callable(wanted):
        return wanted
    if wanted == "random":
        return random_policy
    if ":" in wanted and not Path(wanted).exists():
        made: MakePolicy = function_by_name(wanted, "policy", "random or the file of a policy of Stable-Baselines3")
        return made
    return lambda env, _: trained_policy(Path(wanted), env)


def trained_policy(path: Path, env: gym.Env[Any, Any]) -> Act:
    """A policy that Stable-Baselines3 wrote, whichever of its algorithms made it, for what this environment shows."""
    try:
        import stable_baselines3 as sb3
    except ImportError:
        raise InputError("a trained policy needs Stable-Baselines3: pip install 'kinema[agents]'") from None
    if not path.exists():
        raise InputError(f"{path} does not exist; expected 'random' or a policy saved by Stable-Baselines3")
    for algorithm in (sb3.PPO, sb3.A2C, sb3.DQN, sb3.SAC, sb3.TD3, sb3.DDPG):
        try:
            learner = algorithm.load(path, device="cpu")
        except Exception:  # whatever a loader of another algorithm trips over
            continue
        if learner.observation_space != env.observation_space or learner.action_space != env.action_space:
            raise InputError(
                f"{path} was trained on {learner.observation_space} and {learner.action_space}; {id_of(env)} has"
                f" {env.observation_space} and {env.action_space}"
            )
        return lambda observation: learner.predict(observation, deterministic=False)[0]
    raise InputError(f"{path} is no policy that Stable-Baselines3 can load")


@contextmanager
def in_step(episode: int, step: int) -> Iterator[None]:
    """Errors say in which episode and step they arose, both counted from 0."""
    try:
        yield
    except InputError as error:
        raise InputError(f"episode {episode}, step {step}: {error}") from None


def record_episodes(
    env: gym.Env[Any, Any], eyes: Eyes, spec: Spec, act: Act, *, seed: int, most: int, first: int = 0,
    entities: ReadEntities | None = None,
) -> Iterator[Recorded]:  # fmt: skip
    """One episode after another, for ever, numbered from `first` on; after `most` frames one counts as truncated. entities: reads
    what is appended to the sensors."""
    known: list[str] = []

    def numbers(observation: Any) -> NDArray[np.float32]:
        if entities is None:
            return eyes.sensors_of(observation)
        names, values = read_entities(entities, env)
        if known and list(names) != known:
            raise InputError(
                f"its entities are {excerpt(', '.join(names))}: expected {excerpt(', '.join(known))}, as before"
            )
        known[:] = names
        return np.concatenate([eyes.sensors_of(observation), values])

    number = first
    nothing = np.zeros(width(spec), np.float32)
    while True:
        with in_step(number, 0), in_code_of(env):
            observation = copy.deepcopy(env.reset(seed=int(seed + number - first) % 2**31)[0])
            frames, sensors = [eyes.picture_of(env, observation)], [numbers(observation)]
        task = eyes.task_of(observation)
        actions, rewards, ends, cuts = [], [0.0], [False], [False]
        while not (ends[-1] or cuts[-1]):
            with in_step(number, len(frames)), in_code_of("the policy"):
                action = act(observation)
                check(spec, action)
            with in_step(number, len(frames)), in_code_of(env):
                actions.append(encode_action(spec, action))
                observation, reward, terminated, truncated, _ = env.step(copy.deepcopy(action))
                observation = copy.deepcopy(observation)
                frames.append(eyes.picture_of(env, observation))
                sensors.append(numbers(observation))
                rewards.append(reward_of(reward))
            ends.append(flag_of(terminated))
            cuts.append(flag_of(truncated) or (len(frames) >= most and not ends[-1]))
        number += 1
        yield Recorded(
            frames=np.stack(frames),
            action=np.stack([*actions, nothing]),
            reward=np.array(rewards, np.float32),
            terminated=np.array(ends),
            truncated=np.array(cuts),
            sensors=np.stack(sensors),
            task=task,
        )


def _whole(name: str, value: Any, least: int) -> int:
    """A whole number; InputError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"{name} {str(value)[:40]!r}: expected a whole number, at least {least}")
    return int(value)


def record(
    env_id: str,
    out: Path | str,
    *,
    episodes_wanted: int,
    policy: str | MakePolicy = "random",
    size: tuple[int, int] = (64, 64),
    seed: int = 0,
    most: int | None = None,
    options: dict[str, Any] | None = None,
    picture: str | None = None,
    entities: str | ReadEntities | None = None,
    show: Callable[[int, int, int], None] | None = None,
) -> Writer:
    """Record so many episodes more into the dataset at `out`; `show` gets (episodes done, of, frames so far).

    picture: where pictures come from: a key of the observation ("a/b" in nested ones), "observation" for the observation itself,
    "render", or None for the first picture that there is. entities: a function, or "module:function", from the environment to its
    entities, name -> field -> number, which are recorded with the sensors; "none"; or None for those of known environments
    (`kinema.datasets.entities`). policy: "random", the path of a policy of Stable-Baselines3, or a function, or "module:function",
    from the environment and a seed to a function from observation to action. most: frames of an episode, after which it is cut;
    None: those of MINUTES.
    InputError: an environment, a size or a policy that cannot be used; numbers that are not finite, with their episode and step;
    or another recording that is writing to `out`.
    """
    episodes_wanted, seed = _whole("episodes_wanted", episodes_wanted, 1), _whole("seed", seed, 0)
    most = None if most is None else _whole("most", most, 2)
    if not isinstance(size, tuple | list) or len(size) != 2:
        raise InputError(f"size {str(size)[:40]!r}: expected (height, width) in pixels")
    size = (_whole("height", size[0], 1), _whole("width", size[1], 1))
    check_picture_size(size)
    options = {} if options is None else options
    if not isinstance(options, dict):
        raise InputError(f"options {str(options)[:80]}: expected a dictionary of the environment's own arguments")
    try:
        about = {"env": env_id, "options": json.loads(json.dumps(python_values(options)))}
    except (TypeError, ValueError):
        raise InputError(f"options {str(options)[:80]}: expected numbers, texts, lists and dictionaries") from None
    env = make_env(env_id, **options)
    try:
        spec, eyes, rate = spec_of(env.action_space), Eyes.of(env, size, picture), rate_of(env)
        about |= {"action": spec, **({} if picture is None else {"picture": picture})}
        about |= {"action_names": names} if (names := action_names(env)) else {}
        read = entities if callable(entities) else reader_for(env_id, entities, env)
        if read is not None:
            with in_code_of(env):
                env.reset(seed=seed % 2**31)
            more = read_entities(read, env)[0]
            eyes = replace(eyes, names=(*eyes.names, *more))
        policy = policy_for(policy)
        with locked(Path(out), "recording", "-o"):
            writer = Writer(out, fps=rate, size=size, sensors=len(eyes.names), about=about, names=eyes.names)
            begun = len(writer.rows)
            with in_code_of("the policy"):
                act = policy(env, seed + begun)
            if not callable(act):
                raise InputError(f"the policy returned {excerpt(repr(act))}: expected a function from observation to action")
            longest = most or round(MINUTES * 60 * rate)
            source = record_episodes(
                env, eyes, spec, act, seed=seed + begun * 1009, most=longest, first=begun, entities=read
            )
            frames = 0
            for done, episode in enumerate(source, 1):
                writer.add(episode)
                frames += len(episode.frames)
                if show is not None:
                    show(done, episodes_wanted, frames)
                if done == episodes_wanted:
                    break
    finally:
        env.close()
    return writer
