"""The general network: frames by cache, causality, full attention, levels of cells, independence of clips, sizes, text."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

import kinema
from kinema.errors import ModelError
from kinema.models.dit import PLACE_WAVES, SIZES, DiT, DiTConfig, DiTInput, FrameCache, Pointing, patch_places

CONFIG = DiTConfig(
    width=32, depth=4, heads=2, channels=6, context=2, causal=True, known={"action": 3}, predicted={"reward": 1}, slots=2,
    slot_dim=4, text_dim=12,
)  # fmt: skip


def network(config: DiTConfig) -> DiT:
    torch.manual_seed(0)
    made = DiT(config).eval().requires_grad_(False)
    torch.nn.init.normal_(made.modulation.weight, std=0.1)
    torch.nn.init.normal_(made.modulation.bias, std=0.3)
    return made


def given(config: DiTConfig, frames: int = 5, height: int = 4, width: int = 6) -> DiTInput:
    torch.manual_seed(1)
    b, c, k = 2, config.channels, config.context
    return DiTInput(
        video=torch.randn(b, frames, c, height, width),
        level=torch.rand(b, frames),
        time_s=(torch.arange(frames) / 8).expand(b, -1),
        context=torch.randn(b, frames, k, c, height, width) if k else None,
        vectors={name: torch.randn(b, frames, numbers) for name, numbers in config.known.items()},
        slots=torch.randn(b, frames, config.slots, config.slot_dim) if config.slots else None,
        slot_context=torch.randn(b, frames, k, config.slots, config.slot_dim) if config.slots and k else None,
        text=torch.randn(b, 3, config.text_dim) if config.text_dim else None,
        text_mask=torch.tensor([[True, True, False], [True, False, False]]) if config.text_dim else None,
    )


def part(x: DiTInput, which: slice) -> DiTInput:
    """Some of its frames."""
    cut = {name: getattr(x, name)[:, which] for name in ("video", "level", "time_s", "context", "slots", "slot_context")}
    return replace(x, **cut, vectors={name: value[:, which] for name, value in x.vectors.items()})


FULL = replace(CONFIG, full=True)


@pytest.mark.parametrize("config", [CONFIG, FULL])
def test_frames_one_by_one_with_the_cache_are_those_of_one_pass(config: DiTConfig) -> None:
    net, x = network(config), given(config)
    whole = net(x)
    kept: list[tuple[torch.Tensor, torch.Tensor]] = []
    for t in range(5):
        cache = FrameCache(cached=kept, time_s=x.time_s[:, :t] if t else None)
        made = net(part(x, slice(t, t + 1)), cache)
        for name, value in made.items():
            torch.testing.assert_close(value[:, 0], whole[name][:, t], atol=1e-5, rtol=1e-4, msg=f"{name} of frame {t}")
        new = cache.new
        joined = zip(kept, new, strict=True) if kept else ()
        kept = [(torch.cat([a, c], -2), torch.cat([b, d], -2)) for (a, b), (c, d) in joined] or new
    assert len(kept) == net.cached_blocks == 2


@pytest.mark.parametrize("full", [False, True])
def test_a_causal_network_or_batch_reads_no_later_frame_and_another_one_does(full: bool) -> None:
    for trained, wished in ((True, None), (False, None), (True, False), (False, True)):
        config = replace(CONFIG, causal=trained, full=full)
        net, x = network(config), replace(given(config), causal=wished)
        other = replace(x, video=torch.cat([x.video[:, :3], x.video[:, 3:] + 1], 1))
        same = torch.equal(net(x)["video"][:, :3], net(other)["video"][:, :3])
        assert same is (trained if wished is None else wished)


def test_full_attention_in_one_frame_is_that_inside_it_and_in_several_it_reads_other_places_of_others() -> None:
    config = replace(CONFIG, slots=0, slot_dim=0, time_every=1)
    full, inside = network(replace(config, full=True)), network(replace(config, time_every=0))
    inside.load_state_dict(full.state_dict())
    one = given(config, frames=1)
    for name, value in full(one).items():
        torch.testing.assert_close(value, inside(one)[name], msg=name)
    several = given(config)
    assert not torch.allclose(full(several)["video"], inside(several)["video"])
    one_block = replace(config, depth=1, context=0, causal=False)
    x = given(one_block, frames=2)
    changed = x.video.clone()
    changed[:, 0, :, 0, 0] += 1  # the convolution that reads patches sees one latent around
    for reads in (True, False):
        net = network(replace(one_block, full=reads, time_every=int(reads)))
        far = [net(replace(x, video=video))["video"][:, 1, :, -1, -1] for video in (x.video, changed)]
        assert torch.equal(*far) is not reads


def test_levels_of_cells_are_those_of_frames_where_they_are_the_same_and_else_told_apart() -> None:
    for config in (CONFIG, replace(CONFIG, patch=2)):
        net, x = network(config), given(config)
        cells = x.level[..., None, None].expand(-1, -1, 4, 6)
        before, same = net(x), net(replace(x, level=cells))
        for name, value in before.items():
            torch.testing.assert_close(same[name], value, atol=1e-5, rtol=1e-4, msg=name)
        masked = cells.clone()
        masked[:, :, :2, :2] = 0.0
        assert not torch.allclose(net(replace(x, level=masked))["video"], before["video"])
    net, conditions = network(CONFIG), list[torch.Tensor]()
    net.modulation.register_forward_pre_hook(lambda _, inputs: conditions.append(inputs[0]))
    for level in (cells, masked):
        net(replace(x, level=level))
    changed = (conditions[0] != conditions[1]).any(-1)
    assert not changed[:, :, :3].any() and torch.equal(changed[:, :, 3:].unflatten(2, (4, 6)), masked == 0)
    with pytest.raises(ModelError, match=r"levels \[2, 5, 3\]: expected \[2, 5\] of frames or \[2, 5, 4, 6\] of latents"):
        net(replace(x, level=torch.rand(2, 5, 3)))


def test_a_network_for_few_steps_is_the_same_before_it_learns_them_and_then_tells_sizes_apart() -> None:
    plain, sized = network(CONFIG), network(replace(CONFIG, step_sizes=True))
    assert sized.step_in is not None
    sized.load_state_dict(plain.state_dict() | {"step_in.weight": torch.zeros_like(sized.step_in.weight)})
    x = given(CONFIG)
    half = replace(x, step_size=torch.full((2,), 0.5))
    assert torch.equal(plain(x)["video"], sized(half)["video"])
    torch.nn.init.normal_(sized.step_in.weight)
    assert not torch.allclose(sized(x)["video"], sized(half)["video"])
    torch.testing.assert_close(sized(x)["video"], sized(replace(x, step_size=torch.zeros(2)))["video"])
    with pytest.raises(ModelError, match="was not trained for few steps"):
        plain(half)


def test_a_number_that_points_one_patch_on_says_of_each_patch_what_it_said_of_the_one_before() -> None:
    torch.manual_seed(0)
    pointing = Pointing(torch.tensor([[-1.0, 1.0], [10.0, 30.0]]), 16)
    numbers = torch.tensor([[-0.4, 17.0]])
    at, right, both = (
        pointing(numbers + torch.tensor([step]), torch.ones(1, 2), 8, 8) for step in ([0.0, 0.0], [0.25, 2.5], [-0.25, -2.5])
    )
    assert at.shape == (1, 16, 8, 8)
    torch.testing.assert_close(right[..., 1:, 1:], at[..., :-1, :-1])
    torch.testing.assert_close(both[..., :-1, :-1], at[..., 1:, 1:])
    assert not torch.allclose(right, at)


def test_to_begin_with_a_feature_of_what_points_is_of_one_pair() -> None:
    pointing = Pointing(torch.tensor([[0.0, 1.0]] * 4), 16)
    numbers, known = torch.tensor([[0.3, 0.6, 0.2, 0.8]]), torch.ones(1, 4)
    before = pointing(numbers, known, 8, 8)
    changed = [(pointing(numbers + step, known, 8, 8) - before).abs() > 1e-6 for step in 0.1 * torch.eye(4)]
    for which, moved in enumerate(changed):
        assert [bool(part.any()) for part in moved[0].split(8)] == [which < 2, which >= 2]
    only_x, only_y = (pointing(numbers + 0.1 * torch.eye(4)[i], known, 8, 8) - before for i in (0, 1))
    assert only_x[0, 0].std(1).mean() > 0.01 and not torch.allclose(only_x, only_y)


def test_what_points_comes_back_from_json_and_changes_pictures_and_nothing_else_is_taken() -> None:
    name = next(iter(CONFIG.known))
    config = replace(CONFIG, pointing={name: [(0, -1.0, 1.0)]})
    assert DiTConfig.from_dict(json.loads(json.dumps(asdict(config)))) == config
    net, x = network(config), given(config)
    assert net.pointing is not None
    torch.nn.init.zeros_(net.condition[0].weight[:, -sum(CONFIG.known.values()) :])  # what is left is the way by places
    moved = {key: value + (key == name) for key, value in x.vectors.items()}
    assert not torch.allclose(net(x)["video"], net(replace(x, vectors=moved))["video"])
    gated = network(replace(config, pointing_if={name: 2}))
    torch.nn.init.zeros_(gated.condition[0].weight[:, -sum(CONFIG.known.values()) :])
    for known in (0.0, 1.0):
        at, beside = (
            torch.cat([one[name][..., :2], torch.full_like(one[name][..., 2:], known)], -1) for one in (x.vectors, moved)
        )
        same = torch.equal(*(gated(replace(x, vectors={name: one}))["video"] for one in (at, beside)))
        assert same is (known == 0), "what is not known points nowhere"
    for gates in ({name: 3}, {"nothing": 0}):
        with pytest.raises(ModelError, match="expected one of the numbers that are given"):
            replace(config, pointing_if=gates)
    for wrong in ({"nothing": [(0, 0.0, 1.0)]}, {name: [(99, 0.0, 1.0)]}, {name: [(0, 1.0, 1.0)]}):
        with pytest.raises(ModelError, match="expected columns of numbers that are given"):
            replace(CONFIG, pointing=wrong)


def test_relative_numbers_are_the_last_ones_and_what_the_network_and_a_line_change_of_them() -> None:
    sizes = {"known": {"action": 3, "height": 4}, "predicted": {"reward": 1, "height": 2}}
    plain, relative = network(replace(CONFIG, **sizes)), network(replace(CONFIG, **sizes, relative={"height": [0.5, 2.0]}))
    assert DiTConfig.from_dict(json.loads(json.dumps(asdict(relative.config)))) == relative.config
    x = given(plain.config)
    read = relative.numbers(x.vectors)
    moved = (x.vectors["height"][..., 2:] - x.vectors["height"][..., :2]) / torch.tensor([0.5, 2.0])
    torch.testing.assert_close(read, torch.cat([x.vectors["action"], x.vectors["height"][..., 2:], moved], -1))
    assert torch.equal(plain.numbers(x.vectors)[..., 3:], x.vectors["height"])
    weight, bias = relative.get_submodule("rules.height.line").parameters()
    assert weight.shape == (2, 7) and not weight.any() and not bias.any() and not weight.requires_grad
    for parameter in relative.heads.parameters():
        torch.nn.init.zeros_(parameter)
    assert torch.equal(relative(x)["height"], x.vectors["height"][..., 2:]), "nothing is known of changes"
    weight[1, 1], bias[0] = 3.0, 0.25
    changed = relative(x)["height"] - x.vectors["height"][..., 2:]
    torch.testing.assert_close(changed[..., 0], torch.full(changed.shape[:2], 0.125))
    torch.testing.assert_close(changed[..., 1], 2 * 3 * x.vectors["action"][..., 1])
    relative.heads["height"].bias.data += 1
    torch.testing.assert_close(
        relative(x)["height"] - x.vectors["height"][..., 2:] - changed, torch.tensor([0.5, 2.0]).expand_as(changed)
    )
    relative.get_buffer("rules.height.left")[0] = 0.5
    added = relative(x)["height"] - x.vectors["height"][..., 2:] - changed
    torch.testing.assert_close(added, torch.tensor([0.25, 2.0]).expand_as(changed))
    hidden = network(replace(relative.config, hidden_if={"action": 2}))
    hidden.load_state_dict(relative.state_dict())
    x.vectors["action"][..., 2] = torch.tensor([0.0, 1.0])[:, None]
    made = hidden(x)["height"]
    torch.testing.assert_close(made[0], relative(x)["height"][0])
    assert (made[1] == 1).all(), "where numbers are hidden they are predicted as they are"
    for column in (-1, 3):
        with pytest.raises(ModelError, match=f"column {column} of action: expected one of the numbers that are given"):
            replace(relative.config, hidden_if={"action": column})
    with pytest.raises(ModelError, match="expected one column at most"):
        replace(relative.config, hidden_if={"action": 0, "height": 0})
    for changes in ([1.0], [1.0, 0.0], [1.0, float("nan")], [1.0, float("inf")], []):
        with pytest.raises(ModelError, match="expected usual changes of given and predicted numbers"):
            replace(plain.config, relative={"height": changes})
    for wrong in ({"reward": [1.0]}, {"action": [1.0]}):
        with pytest.raises(ModelError, match="expected usual changes of given and predicted numbers"):
            replace(plain.config, relative=wrong)


def test_network_objective_and_sampler_are_read_in_one_sitting() -> None:
    """The issue's bound on the general model: 700 lines in all."""
    root = Path(kinema.__file__).parent
    parts = ("models/dit.py", "models/attention.py", "diffusion/flow.py", "inference/dit_films.py")
    assert sum(len((root / part).read_text().splitlines()) for part in parts) <= 700


def test_clips_of_a_batch_are_those_alone() -> None:
    net, x = network(CONFIG), given(CONFIG)
    one = replace(x, **{
        name: getattr(x, name)[1:] for name in ("video", "level", "time_s", "context", "slots", "slot_context", "text", "text_mask")
    }, vectors={name: value[1:] for name, value in x.vectors.items()})  # fmt: skip
    for name, value in net(one).items():
        torch.testing.assert_close(value[0], net(x)[name][1], atol=1e-5, rtol=1e-4)


def test_text_is_read_where_it_is_and_padding_is_not() -> None:
    net, x = network(CONFIG), given(CONFIG)
    assert x.text is not None
    padded, changed = x.text.clone(), x.text.clone()
    padded[0, 2] += 9.0
    changed[0, 1] += 9.0
    before = net(x)["video"]
    assert torch.equal(net(replace(x, text=padded))["video"], before)
    assert not torch.equal(net(replace(x, text=changed))["video"][0], before[0])
    assert torch.equal(net(replace(x, text=changed))["video"][1], before[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_text_that_is_not_heard_is_no_text(dtype: torch.dtype) -> None:
    """Guidance leads away from films without text: those may not know it."""
    net, x = network(CONFIG).to(dtype), given(CONFIG)
    x = replace(x, **{name: getattr(x, name).to(dtype) for name in ("video", "context", "slots", "slot_context", "text")})
    assert x.text is not None and x.text_mask is not None
    silent = torch.zeros_like(x.text_mask)
    other = replace(x, text=torch.randn_like(x.text), text_mask=silent)
    torch.testing.assert_close(net(replace(x, text_mask=silent))["video"], net(other)["video"], atol=0, rtol=0)
    torch.testing.assert_close(net(other)["video"], net(replace(x, text=None, text_mask=None))["video"])
    assert not torch.equal(net(x)["video"], net(other)["video"])


def test_level_actions_context_and_slots_matter_and_any_size_and_length_is_taken() -> None:
    net, x = network(CONFIG), given(CONFIG)
    before = net(x)["video"]
    assert x.context is not None and x.slots is not None
    for other in (
        replace(x, level=1 - x.level), replace(x, vectors={"action": -x.vectors["action"]}), replace(x, context=-x.context),
        replace(x, slots=-x.slots), replace(x, time_s=x.time_s * 2),
    ):  # fmt: skip
        assert not torch.allclose(net(other)["video"], before)
    for frames, height, width in ((1, 2, 2), (3, 8, 4)):
        made = net(given(CONFIG, frames, height, width))
        assert made["video"].shape == (2, frames, 6, height, width)
        assert made["slots"].shape == (2, frames, 2, 4) and made["reward"].shape == (2, frames, 1)
    plain = DiTConfig(width=32, depth=2, heads=2, channels=6, patch=2)
    assert network(plain)(given(plain, 3, 4, 6))["video"].shape == (2, 3, 6, 4, 6)


def test_sizes_have_the_parameters_that_their_names_promise() -> None:
    millions = {}
    for name, (width, depth, heads) in SIZES.items():
        with torch.device("meta"):
            made = DiT(DiTConfig(width=width, depth=depth, heads=heads, channels=24, text_dim=384))
        millions[name] = sum(p.numel() for p in made.parameters()) / 1e6
    assert millions["nano"] < 1 and 4 < millions["XXS"] < 6 and 6 < millions["XS"] < 10 and 30 < millions["S"] < 38
    assert 115 < millions["B"] < 140 and 400 < millions["L"] < 500 and 1200 < millions["XL"] < 1400


def test_a_config_is_stored_and_bad_ones_are_named() -> None:
    assert DiTConfig.from_dict(asdict(CONFIG)) == CONFIG
    for entries, message in (
        ({"width": 30}, "multiple of 4 per head"), ({"depth": 0}, "at least 1"), ({"slots": 0}, "both or neither"),
        ({"nonsense": 1}, "does not fit this version"), ({"full": "yes"}, "full 'yes': expected true or false"),
    ):  # fmt: skip
        with pytest.raises(ModelError, match=message):
            DiTConfig.from_dict({**asdict(CONFIG), **entries})


def test_places_are_those_of_a_picture_whatever_its_patches() -> None:
    """Of every patch its own, within what a picture spans; and a picture of twice as many patches has the same ones in between."""
    few, many = patch_places(3, 4, torch.zeros(1)), patch_places(9, 12, torch.zeros(1))
    assert few.shape == (3, 4, 4 * PLACE_WAVES) and few.flatten(0, 1).unique(dim=0).shape[0] == 12
    torch.testing.assert_close(few, many[1::3, 1::3])
    config = DiTConfig(width=32, depth=1, heads=2, channels=4, places=True)
    assert DiT(config).place_in is not None and DiT(replace(config, places=False)).place_in is None
