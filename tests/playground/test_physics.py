"""Laws of the Playground's physics and of its draws: same seed same world, nothing leaves the room, energy does not grow."""

from random import Random

import numpy as np
import pytest

from kinema.errors import InputError
from kinema.playground import Episode, SceneDistribution, full, is_held_out, one_shape, simulate, tiny, two_shapes
from kinema.playground.physics import GRAVITY, SIDE_DAMPING, Actor, EpisodeSetup, PhysicsWorld
from kinema.playground.scenarios import draw_cast
from kinema.playground.scene_distribution import acting
from kinema.playground.tasks import pole_gap
from kinema.scene.geometry import HALF_HEIGHT, ROOM_HEIGHT, ROUND, SOLID, Extent
from kinema.scene.scene import COLORS, KINDS

DIETS = {"one_shape": one_shape(), "two_shapes": two_shapes(), "tiny": tiny(), "full": full(), "acting": acting()}


@pytest.fixture(scope="module", params=list(DIETS))
def episodes(request: pytest.FixtureRequest) -> list[Episode]:
    return [simulate(DIETS[request.param], seed, fps=16, num_frames=48) for seed in range(60)]


def side_room(*actors: Actor, tumble: bool = False) -> EpisodeSetup:
    return EpisodeSetup(view="side", background="lab", room_width=10.0, scenario="move", actors=list(actors), tumble=tumble)


def ball(x: float, y: float, **more: float) -> Actor:
    return Actor(kind="ball", color="red", material="plain", size=0.6, x=x, y=y, **more)


@pytest.mark.parametrize("name", DIETS)
def test_the_same_seed_gives_the_same_episode(name: str) -> None:
    first = [simulate(DIETS[name], seed, fps=16, num_frames=32) for seed in range(12)]
    for seed in reversed(range(12)):
        again, once = simulate(DIETS[name], seed, fps=16, num_frames=32), first[seed]
        assert again.captions == once.captions and again.events == once.events and again.cuts == once.cuts
        for field in ("x", "y", "vx", "vy", "angle", "visible", "camera", "kind", "color", "size"):
            assert np.array_equal(getattr(again.scene, field), getattr(once.scene, field)), field
        assert np.array_equal(again.action, once.action) and np.array_equal(again.reward, once.reward)


def test_a_longer_clip_begins_like_the_shorter_one() -> None:
    for seed in range(10):
        short, long = (simulate(tiny(), seed, fps=16, num_frames=n).scene for n in (16, 32))
        assert np.array_equal(short.x, long.x[:16]) and np.array_equal(short.angle, long.angle[:16])


def test_slots_are_in_canonical_order_without_twins(episodes: list[Episode]) -> None:
    for episode in episodes:
        scene = episode.scene
        filled = scene.entities
        assert filled == list(range(len(filled)))
        pairs = [(int(scene.kind[k]), int(scene.color[k])) for k in filled]
        assert pairs == sorted(set(pairs))
        empty = slice(len(filled), None)
        assert (scene.kind[empty] == -1).all() and not scene.x[:, empty].any() and not scene.visible[:, empty].any()


def test_one_color_per_kind_is_held_out() -> None:
    for kind in range(len(KINDS)):
        assert sum(is_held_out(kind, color) for color in range(len(COLORS))) == 1
    assert is_held_out(KINDS.index("star"), COLORS.index("red"))


def test_held_out_pairs_never_or_always_occur(episodes: list[Episode]) -> None:
    for episode in episodes:
        scene = episode.scene
        assert not any(is_held_out(int(scene.kind[k]), int(scene.color[k])) for k in scene.entities)
        assert np.hypot(scene.vx[0], scene.vy[0]).max() <= 6.0 + 1e-5
    for distribution in (
        SceneDistribution(held_out="only"),
        SceneDistribution(held_out="only", kinds=("ball", "screen", "flag"), max_entities=2),
    ):
        for seed in range(40):
            cast = draw_cast(distribution, Random(seed))
            assert any(is_held_out(KINDS.index(a.kind), COLORS.index(a.color)) for a in cast.actors)


def test_diets_say_what_is_wrong() -> None:
    with pytest.raises(InputError, match="slots"):
        SceneDistribution(max_entities=5, slots=4)
    with pytest.raises(InputError, match="kinds"):
        SceneDistribution(kinds=("ball", "cube"))
    with pytest.raises(InputError, match="held-out"):
        SceneDistribution(held_out="only", kinds=("star",), colors=("blue",))
    with pytest.raises(InputError, match="frames"):
        simulate(tiny(), 0, fps=0)


def test_named_diets_hold_what_they_promise(episodes: list[Episode], request: pytest.FixtureRequest) -> None:
    counts = {len(episode.scene.entities) for episode in episodes}
    expected = {"one_shape": {1}, "two_shapes": {2}, "tiny": {1, 2, 3}, "acting": {2, 3}}
    name = request.node.callspec.params["episodes"]
    if name in expected:
        assert counts == expected[name]
    else:
        assert max(counts) > 5 and any(e.scene.room_width > 12 for e in episodes) and any(e.cuts for e in episodes)
    views = [episode.scene.view for episode in episodes]
    assert 0.5 < views.count("side") / len(views) < 0.9


def test_nothing_leaves_the_room_or_sinks(episodes: list[Episode]) -> None:
    for episode in episodes:
        scene = episode.scene
        low_x, low_y, high_y = (0.0, 1.0, 10.0) if scene.view == "side" else (0.3, 0.3, 9.7)
        for k in scene.entities:
            kind, size = KINDS[scene.kind[k]], float(scene.size[k])
            if kind in ("screen", "flag"):
                continue
            turned = bool(np.abs(scene.angle[:, k]).max() > 1e-3) and kind not in ROUND
            solid = Extent(0.45, 0.45, 0.45) if turned else SOLID[kind]
            assert scene.x[:, k].min() > low_x + solid.across * size - 0.08, (episode.seed, k)
            assert scene.x[:, k].max() < scene.room_width - low_x - solid.across * size + 0.08, (episode.seed, k)
            assert scene.y[:, k].min() > low_y + solid.below * size - 0.08, (episode.seed, k)
            assert scene.y[:, k].max() < high_y - solid.above * size + 0.08, (episode.seed, k)


def test_the_camera_shows_the_room_and_nothing_beside_it(episodes: list[Episode]) -> None:
    for episode in episodes:
        scene = episode.scene
        across = HALF_HEIGHT / scene.camera[:, 2]
        assert (scene.camera[:, 0] - across > -1e-3).all() and (scene.camera[:, 0] + across < scene.room_width + 1e-3).all()
        assert (scene.camera[:, 1] - across > -1e-3).all() and (scene.camera[:, 1] + across < ROOM_HEIGHT + 1e-3).all()


def test_energy_does_not_grow() -> None:
    distribution = SceneDistribution(kinds=("ball", "box", "triangle", "star"), views={"side": 1.0}, max_entities=4)
    for seed in range(60):
        cast = draw_cast(distribution, Random(seed))
        world = PhysicsWorld(cast, 32)
        mass = np.array([body.mass for body in world.bodies])
        energies = []
        for _ in range(96):
            rows = np.array(world.rows())
            energies.append(float((mass * (0.5 * (rows[:, 2] ** 2 + rows[:, 3] ** 2) + GRAVITY * rows[:, 1])).sum()))
            world.step()
        assert np.diff(energies).max() < 0.02 * energies[0], seed


def test_a_thrown_ball_follows_the_parabola() -> None:
    world = PhysicsWorld(side_room(ball(2.0, 4.0, vx=3.0, vy=3.0)), 32)
    for _ in range(16):
        world.step()
    x, y, vx, vy, _ = world.rows()[0]
    drag = -np.log(SIDE_DAMPING)
    kept = np.exp(-drag * 0.5)
    assert vx == pytest.approx(3.0 * kept, abs=0.01)
    assert x == pytest.approx(2.0 + 3.0 * (1 - kept) / drag, abs=0.02)
    assert vy == pytest.approx((3.0 + GRAVITY / drag) * kept - GRAVITY / drag, abs=0.05)
    assert y == pytest.approx(4.0 + 1.5 - GRAVITY / 8, abs=0.1)


@pytest.mark.parametrize(("material", "share"), [("plain", 0.7), ("bouncy", 0.95), ("heavy", 0.4)])
def test_a_bounce_keeps_the_material_s_share_of_speed(material: str, share: float) -> None:
    drop = Actor(kind="ball", color="red", material=material, size=0.6, x=5.0, y=5.0)
    world = PhysicsWorld(side_room(drop), 128)
    before = after = 0.0
    for _ in range(256):
        world.step()
        speed = world.rows()[0][3]
        before = min(before, speed)
        after = max(after, speed)
    assert after / -before == pytest.approx(share, abs=0.04)


def test_a_collision_conserves_momentum() -> None:
    light = Actor(kind="ball", color="red", material="plain", size=0.85, x=2.5, y=5.0, vx=5.0)
    heavy = Actor(kind="ball", color="blue", material="heavy", size=0.85, x=6.0, y=5.2)
    cast = EpisodeSetup(view="top", background="lab", room_width=10.0, scenario="hit", actors=[light, heavy])
    world = PhysicsWorld(cast, 128)
    mass = np.array([body.mass for body in world.bodies])
    momentum = []
    for _ in range(100):
        rows = np.array(world.rows())
        momentum.append((mass[:, None] * rows[:, 2:4]).sum(0) * np.exp(-np.log(0.72) * world.time_s))
        world.step()
    assert any(contact.other >= 0 for contact in world.contacts)
    assert np.allclose(momentum[0], momentum[-1], atol=0.1)


def test_frame_rates_agree_on_what_happens() -> None:
    for seed in range(12):
        slow, fast = (simulate(two_shapes(), seed, fps=fps, num_frames=int(1.5 * fps)).scene for fps in (16, 32))
        assert np.abs(slow.x - fast.x[::2]).max() < 0.05


def test_restless_robots_change_their_minds_and_obey() -> None:
    """Every room of `acting` has a robot; its force jumps now and then, and speeds it up the way it points."""
    forces, changes = [], []
    for seed in range(20):
        episode = simulate(acting(), seed, fps=16, num_frames=64)
        slot = episode.scene.kind.tolist().index(KINDS.index("robot"))
        jumps = np.abs(np.diff(episode.action, axis=0)).max(1) > 0.3
        assert episode.has_action and 2 <= jumps.sum() < 60
        forces.append(episode.action[:-1, 0])
        changes.append(np.diff(episode.scene.vx[:, slot]))
    assert np.corrcoef(np.concatenate(forces), np.concatenate(changes))[0, 1] > 0.2


def test_from_above_a_flag_is_as_far_as_the_nearest_point_of_its_pole() -> None:
    """Its solid reaches farther above its middle than below."""
    flag = Actor(kind="flag", color="red", material="plain", size=0.5, x=0.0, y=0.0)
    foot, top = -0.5 * SOLID["flag"].below, 0.5 * SOLID["flag"].above
    for dy, beyond in ((foot - 0.3, 0.3), (foot, 0.0), (top, 0.0), (top + 0.3, 0.3)):
        assert pole_gap(False, 0.4, dy, flag) == pytest.approx(np.hypot(0.4, beyond)), dy
