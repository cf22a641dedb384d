"""Recording any Gymnasium environment: pictures, actions, rewards, ends, and what else it tells, as an episode dataset.

    from kinema.datasets.recorder import record
    record("MiniGrid-Empty-8x8-v0", "empty", episodes=50)

Pictures come from the observation where it holds some, else from rendering. Small integer grids and other numbers in the
observation become `observation.state`, a text in it (MiniGrid's mission) the task.
"""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kinema.datasets.lerobot import Recorded, Writer
from kinema.envs.spaces import Spec, check, encode_action, spec_of, width
from kinema.errors import InputError
from kinema.models.config import cell_px
from kinema.types import Frame

PLUGINS = {
    "ALE/": ("ale_py", "ale-py"),
    "MiniGrid-": ("minigrid", "minigrid"),
    "BabyAI-": ("minigrid", "minigrid"),
    "Vizdoom": ("vizdoom.gymnasium_wrapper", "vizdoom"),
    "Crafter": ("kinema.envs.crafter", "crafter"),
}
"""What to import for ids that begin so (Gymnasium finds no plugins by itself), and how pip calls it."""
CELL_PX = cell_px(2)
"""Pixels along one side of a video cell of a recorded world. Pictures are whole cells; an array of a picture's shape with a shorter
side is a grid of numbers, not a picture."""
FPS = 16.0
MOST_SENSORS = 1024
MINUTES = 10.0
"""An episode that nothing ends is truncated after this long."""

Act = Callable[[Any], Any]
"""Observation to action."""


def make_env(env_id: str, **options: Any) -> gym.Env[Any, Any]:
    """An environment by its id, "module:id" included; says what to install or how the id is spelled."""
    for prefix, (module, package) in PLUGINS.items():
        if env_id.startswith(prefix):
            try:
                imported = importlib.import_module(module)
            except ImportError as error:
                raise InputError(f"{env_id} needs {package}: pip install {package} ({error})") from None
            if package == "ale-py":
                gym.register_envs(imported)
    try:
        spec = gym.spec(env_id)
        given = dict(options)
        if "render_mode" not in given:
            given["render_mode"] = "rgb_array"
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*render_mode.*")
            try:
                return gym.make(env_id, **given)
            except TypeError as error:
                if "render_mode" not in str(error):
                    raise
                given.pop("render_mode")
                return gym.make(spec, **given)
    except TypeError as error:
        raise InputError(f"{env_id} does not take these options: {' '.join(str(error).split())[:160]}") from None
    except (gym.error.Error, ModuleNotFoundError, ImportError) as error:
        raise InputError(f"no environment {env_id!r}: {' '.join(str(error).split())[:160]}") from None


def _is_picture(space: gym.Space[Any]) -> bool:
    return (
        isinstance(space, gym.spaces.Box)
        and space.dtype == np.uint8
        and len(space.shape) in (2, 3)
        and min(space.shape[:2]) >= CELL_PX
        and (len(space.shape) == 2 or space.shape[2] in (1, 3))
    )


@dataclass(frozen=True, kw_only=True)
class Eyes:
    """How an environment is seen. picture: key of the observation that holds it, "" for the observation itself, None to
    render; numbers, words: keys ("" for itself) of what becomes sensors, and of the task."""

    size: tuple[int, int]
    picture: str | None
    numbers: tuple[str, ...]
    words: str | None
    sensors: int

    @staticmethod
    def of(env: gym.Env[Any, Any], size: tuple[int, int]) -> Eyes:
        """Decide it from the spaces; InputError for an environment without pixels."""
        space = env.observation_space
        parts = dict(space.spaces) if isinstance(space, gym.spaces.Dict) else {"": space}
        picture = next((name for name, part in parts.items() if _is_picture(part)), None)
        if picture is None and env.render_mode != "rgb_array":
            raise InputError(
                f"{_id(env)} has no pixels: its observation {space} holds no picture, and it cannot render one (rgb_array)"
            )
        words = next((name for name, part in parts.items() if isinstance(part, gym.spaces.Text)), None)
        if words is None and "mission" in parts:
            words = "mission"
        numeric = (gym.spaces.Box, gym.spaces.Discrete, gym.spaces.MultiDiscrete, gym.spaces.MultiBinary)
        numbers = tuple(name for name, part in parts.items() if name not in (picture, words) and isinstance(part, numeric))
        count = sum(int(np.prod(parts[name].shape or (1,))) for name in numbers)
        if count > MOST_SENSORS:
            numbers, count = (), 0
        return Eyes(size=size, picture=picture, numbers=numbers, words=words, sensors=count)

    def _part(self, observation: Any, name: str) -> Any:
        return observation if name == "" else observation[name]

    def picture_of(self, env: gym.Env[Any, Any], observation: Any) -> Frame:
        """uint8 [H, W, 3] of the wanted size."""
        frame = env.render() if self.picture is None else self._part(observation, self.picture)
        pixels = np.asarray(frame)
        if pixels.ndim not in (2, 3) or min(pixels.shape[:2]) < 1:
            raise InputError(f"{_id(env)} rendered an array of shape {pixels.shape}: expected [height, width, 3]")
        return resize_picture(pixels, self.size)

    def sensors_of(self, observation: Any) -> NDArray[np.float32]:
        """Everything it tells in numbers, float32 [S]."""
        if not self.numbers:
            return np.zeros(0, np.float32)
        parts = [np.asarray(self._part(observation, name), np.float32).reshape(-1) for name in self.numbers]
        return np.nan_to_num(np.concatenate(parts), nan=0.0, posinf=1e6, neginf=-1e6)

    def task_of(self, observation: Any) -> str:
        return "" if self.words is None else str(self._part(observation, self.words))


def resize_picture(pixels: NDArray[Any], size: tuple[int, int]) -> Frame:
    """A picture [H, W], [H, W, 1] or [H, W, 3] as uint8 [height, width, 3]."""
    plane = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    colored = np.repeat(plane[..., None], 3, 2) if plane.ndim == 2 else plane[..., :3]
    colored = np.ascontiguousarray(colored, np.uint8)
    if colored.shape[:2] == size:
        return colored
    return np.array(Image.fromarray(colored).resize((size[1], size[0]), Image.Resampling.BOX))


def _id(env: gym.Env[Any, Any]) -> str:
    return env.spec.id if env.spec is not None else type(env.unwrapped).__name__


def rate_of(env: gym.Env[Any, Any]) -> float:
    """Frames a second, as far as the environment says."""
    rate = float(env.metadata.get("render_fps") or FPS)
    return rate if math.isfinite(rate) and 1 <= rate <= 128 else FPS


def random_policy(env: gym.Env[Any, Any], seed: int) -> Act:
    """Any action; each is kept for one to a few frames, so that something comes of it."""
    env.action_space.seed(seed)
    rng = np.random.default_rng(seed)
    held: list[Any] = []

    def act(observation: Any) -> Any:
        if not held or rng.random() < 0.5:
            held[:] = [env.action_space.sample()]
        return held[0]

    return act


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
                f"{path} was trained on {learner.observation_space} and {learner.action_space}; {_id(env)} has"
                f" {env.observation_space} and {env.action_space}"
            )
        return lambda observation: learner.predict(observation, deterministic=False)[0]
    raise InputError(f"{path} is no policy that Stable-Baselines3 can load")


def record_episodes(env: gym.Env[Any, Any], eyes: Eyes, spec: Spec, act: Act, *, seed: int, most: int) -> Iterator[Recorded]:
    """One episode after another, for ever; `most` frames at most, after which it counts as truncated."""
    number = 0
    nothing = np.zeros(width(spec), np.float32)
    while True:
        observation, _ = env.reset(seed=(seed + number) % 2**31)
        number += 1
        task = eyes.task_of(observation)
        frames, sensors = [eyes.picture_of(env, observation)], [eyes.sensors_of(observation)]
        actions, rewards, ends, cuts = [], [0.0], [False], [False]
        while not (ends[-1] or cuts[-1]):
            action = act(observation)
            check(spec, action)
            observation, reward, terminated, truncated, _ = env.step(action)
            actions.append(encode_action(spec, action))
            frames.append(eyes.picture_of(env, observation))
            sensors.append(eyes.sensors_of(observation))
            rewards.append(float(reward))
            ends.append(bool(terminated))
            cuts.append(bool(truncated) or (len(frames) >= most and not terminated))
        yield Recorded(
            frames=np.stack(frames),
            action=np.stack([*actions, nothing]),
            reward=np.array(rewards, np.float32),
            terminated=np.array(ends),
            truncated=np.array(cuts),
            sensors=np.stack(sensors),
            task=task,
        )


class PictureObservation(gym.Wrapper[Any, Any, Any, Any]):
    """An environment as its recording shows it: pictures of that size, uint8 [H, W, 3], and nothing else."""

    def __init__(self, env: gym.Env[Any, Any], size: tuple[int, int]) -> None:
        super().__init__(env)
        self._eyes = Eyes.of(env, size)
        self.observation_space = gym.spaces.Box(0, 255, (*size, 3), np.uint8)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        seen, _ = self.env.reset(seed=seed, options=options)
        return self._eyes.picture_of(self.env, seen), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        seen, reward, terminated, truncated, _ = self.env.step(action)
        return self._eyes.picture_of(self.env, seen), float(reward), terminated, truncated, {}


def check_picture_size(size: tuple[int, int]) -> None:
    """InputError unless pictures [height, width] can become video cells."""
    if min(size) < CELL_PX or any(side % CELL_PX for side in size):
        raise InputError(f"pictures of {size[1]}x{size[0]}: expected multiples of {CELL_PX}")


def record(
    env_id: str,
    out: Path | str,
    *,
    episodes_wanted: int,
    policy: str = "random",
    size: tuple[int, int] = (64, 64),
    seed: int = 0,
    most: int | None = None,
    options: dict[str, Any] | None = None,
    show: Callable[[int, int, int], None] | None = None,
) -> Writer:
    """Record so many episodes more into the dataset at `out`; `show` gets (episodes done, of, frames so far)."""
    if episodes_wanted < 1:
        raise InputError(f"{episodes_wanted} episodes: expected at least 1")
    check_picture_size(size)
    env = make_env(env_id, **(options or {}))
    try:
        spec, eyes, rate = spec_of(env.action_space), Eyes.of(env, size), rate_of(env)
        about = {"env": env_id, "options": options or {}, "action": spec}
        writer = Writer(out, fps=rate, size=size, sensors=eyes.sensors, about=about)
        begun = len(writer.rows)
        act = random_policy(env, seed + begun) if policy == "random" else trained_policy(Path(policy), env)
        longest = most or round(MINUTES * 60 * rate)
        source = record_episodes(env, eyes, spec, act, seed=seed + begun * 1009, most=longest)
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
