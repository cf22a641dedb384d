"""Remote worlds equal local ones of the same prompt and seed, bit for bit."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from tests.server.served_worlds import PROMPT, serving

import kinema
from kinema.client import RemoteWorld
from kinema.errors import InputError, KinemaError, ModelError, OutputError, SizeError
from kinema.media import Clip
from kinema.scene.scene import Scene
from kinema.server.worlds.manager import WorldManager
from kinema.simulation.state import State
from kinema.simulation.world import World


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(WorldManager(tmp_path_factory.mktemp("data") / "worlds", threads=1)) as address:
        yield address


def alike(a: State, b: State) -> None:
    assert a.time_s == b.time_s and a.entities == b.entities and (a.view, a.background) == (b.view, b.background)
    assert a.scene.fps == b.scene.fps and a.scene.room_width == b.scene.room_width
    for name in ("kind", "color", "material", "size", "x", "y", "vx", "vy", "angle", "visible", "camera"):
        local, remote = getattr(a.scene, name), getattr(b.scene, name)
        assert local.dtype == remote.dtype and np.array_equal(local, remote), name


def test_beyond_the_most_sessions_steps_go_over_http(
    url: str, scene: Callable[..., Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kinema.server.api.worlds.MAX_SESSIONS", 1)
    with RemoteWorld(url, scene(), key="ann") as a, RemoteWorld(url, scene(), key="ann") as b:
        for _ in range(2):
            assert np.array_equal(a.step(None).frame, b.step(None).frame)
        a.delete()
        b.delete()


@pytest.mark.parametrize("by_socket", [True, False])
def test_remote_equals_local_bit_for_bit(url: str, scene: Callable[..., Scene], by_socket: bool) -> None:
    start = PROMPT if by_socket else scene()
    local = World(None, start, seed=7, task="reach the flag")
    with RemoteWorld(url, start, key="ann", seed=7, task="reach the flag") as remote:
        remote._sockets = by_socket
        alike(local.state, remote.state)
        assert np.array_equal(local.frame, remote.frame)
        for action in ((0.7, 0.1), None, (-1.0, 0.3)):
            a, b = local.step(action), remote.step(action)
            assert np.array_equal(a.frame, b.frame) and b.frame.dtype == np.uint8 and a.reward == b.reward
            alike(a.state, b.state)
            assert (local.time_s, local.past_frames, local.terminated) == (
                remote.time_s,
                remote.past_frames,
                remote.terminated,
            )
        assert (remote._step_socket is not None) == by_socket
        remote.delete()


def test_all_that_a_world_does(url: str, scene: Callable[..., Scene], tmp_path: Path) -> None:
    local = World(None, scene(1), seed=2)._advance(3, (0.5, 0.0))
    remote = RemoteWorld(url, scene(1), key="ann", seed=2)
    for _ in range(3):
        remote.step((0.5, 0.0))
    for question in ("where is the red ball?", "what is there?", "how fast is the robot?"):
        assert str(local.ask(question)) == str(remote.ask(question))
    assert local.ask("where is the red ball?") == remote.ask("where is the red ball?")
    a, b = local.what_if("the ball had been yellow", since=2), remote.what_if("the ball had been yellow", since=2)
    assert a.understood == b.understood
    assert np.array_equal(a.instead.frames, b.instead.frames) and np.array_equal(a.happened.frames, b.happened.frames)
    clips = local.clip(3), remote.clip(3)
    assert np.array_equal(clips[0].frames, clips[1].frames) and clips[0].fps == clips[1].fps
    assert remote.clip().num_frames == 4
    np.testing.assert_allclose(local.scene.x, remote.scene.x, atol=1e-4)
    other = remote.branch("aside")
    assert other.name == "aside" and other.parent == remote.id
    assert local.edit("make the ball yellow") == other.edit("make the ball yellow")
    slot = local.state.entities[0].slot
    assert local.move(slot, 6.0, 7.0) == other.move(slot, 6.0, 7.0)
    alike(local.state, other.state)
    assert np.array_equal(local.frame, other.frame)
    before = local.step().state
    alike(before, other.step().state)
    assert "red ball" in [e.name for e in remote.state.entities] and remote.look().past_frames == 3, (
        "the parent is as it was"
    )
    local.rewind(1).step()
    assert other.rewind(1) is other
    alike(local.state, other.step().state)
    saved = World.open(other.save(tmp_path / "it.world"))
    with pytest.raises(OutputError, match="exists; pass --force"):
        other.save(tmp_path / "it.world")
    other.save(tmp_path / "it.world", force=True)
    alike(saved.step((0.1, 0.1)).state, other.step((0.1, 0.1)).state)
    joined = RemoteWorld.join(url, other.id, key="ann")
    alike(joined.state, other.state)
    assert np.array_equal(joined.frame, other.frame)
    other.step()
    assert joined.time_s < other.time_s == joined.look().time_s
    for world in (remote, other, joined):
        world.close()


def test_it_begins_from_pictures_and_states(url: str, scene: Callable[..., Scene]) -> None:
    start = scene(4)
    alike(World(None, start, seed=1).state, RemoteWorld(url, start, key="ann", seed=1).state)
    clip = kinema.render(start, size=(64, 64))
    for given in (clip, Clip(frames=clip.frames[:1], fps=16.0)):
        local, remote = World(None, given, seed=1), RemoteWorld(url, given, key="ann", seed=1)
        alike(local.state, remote.state)
        assert local.past_frames == remote.past_frames


def test_errors_equal_local_errors(url: str, scene: Callable[..., Scene], monkeypatch: pytest.MonkeyPatch) -> None:
    local, remote = World(None, scene(), seed=2), RemoteWorld(url, scene(), key="ann", seed=2)
    mistakes: list[Callable[[Any], Any]] = [
        lambda world: world.step((2.0, 0.0)),
        lambda world: world.step("left"),
        lambda world: world.ask("why?"),
        lambda world: world.edit("make it nice"),
        lambda world: world.move(0, 11.0, 1.0),
        lambda world: world.rewind(5),
    ]
    for mistake in mistakes:
        lines = []
        for world in (local, remote):
            with pytest.raises(InputError) as raised:
                mistake(world)
            lines.append(str(raised.value))
        assert lines[0] == lines[1]
    assert remote.look().time_s == 0
    with pytest.raises(SizeError, match="the nearest is"):
        RemoteWorld(url, PROMPT, key="ann", size="999x999")
    with pytest.raises(ModelError, match="no model"):
        RemoteWorld(url, PROMPT, key="ann", model="gpt")
    with pytest.raises(InputError, match="no world 'world_0'"):
        RemoteWorld.join(url, "world_0", key="ann")
    with pytest.raises(InputError, match="no world"):
        RemoteWorld.join(url, remote.id, key="bob")
    monkeypatch.delenv("KINEMA_KEY", raising=False)
    with pytest.raises(KinemaError, match="no such API key"):
        RemoteWorld.join(url, remote.id)
    monkeypatch.setenv("KINEMA_KEY", "ann")
    with RemoteWorld.join(url, remote.id) as again:
        again.step()
        remote.delete()
        with pytest.raises(InputError, match="no world"):
            again.step()
    with pytest.raises(KinemaError, match="is `kinema serve` running there"):
        RemoteWorld("http://127.0.0.1:9", PROMPT)


@pytest.mark.parametrize("observation", ["pixels", "dict"])
def test_gymnasium_s_checker_has_nothing_to_say(url: str, observation: str, scene: Callable[..., Scene]) -> None:
    options = {"start": scene(), "key": "ann", "observation": observation, "duration_s": 3 / 16}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gymnasium.make("kinema/Remote-v0", url=url, render_mode="rgb_array", **options).unwrapped
        check_env(env, skip_render_check=False)
    env.reset(seed=1)
    cut = [env.step(np.zeros(2, np.float32))[3] for _ in range(3)]
    assert cut == [False, False, True]
    env.close()
