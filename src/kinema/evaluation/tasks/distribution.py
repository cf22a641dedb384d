"""Distribution (test 11): are the clips, as a whole, like real ones; and is what happens as like the truth as a second take is?

Films of captions are compared with films of the same captions' truths: by what the parser reads of them (state features) and by
latents of a frozen autoencoder. MMD is the unbiased U-statistic with a permutation test; the Frechet distance is extrapolated to
infinitely many samples and stands beside its null. Neither is FVD, whose features are I3D's.
Physics-IQ (Motamed et al. 2025), synthetic: from shown frames, where and when does something move? Its four figures, each divided
by what a second take of the same scene gets, begun a little differently. An empty mask agrees with nothing.
The classifier score: names read by the parser in film after film: exp of the mutual information of film and name.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from kinema.evaluation.cases import FPS, Case, enact, least_trivial, sample_episodes, true_frames, with_others
from kinema.evaluation.model_under_test import Evaluated, predict
from kinema.evaluation.task import ArenaTask, Metric, Result, TaskResult, mean_with_interval
from kinema.playground import Episode, tiny
from kinema.playground.parser import ParsedObject, parse_clip
from kinema.playground.physics import Actor, EpisodeSetup
from kinema.scene.scene import COLORS, KINDS, MATERIALS, Scene
from kinema.statistics import bootstrap, frechet_infinity, mmd_test, standardized
from kinema.types import Frames

FRAMES = 24
KNOWN = 8
LOOKS = np.arange(0, FRAMES, 3)
COUNTS = {"quick": (48, 12), "full": (240, 40)}
"""Films of captions, and pairs of takes. How often so many films are told from altered ones: benchmarks/distribution_power.py."""
SLOWEST = 0.02
"""Units from look to look, added to a speed before its logarithm."""
MOVING = 24
"""Levels of 255 by which a pixel changes where something moves."""


@lru_cache(maxsize=2)
def _films(count: int) -> list[Case]:
    chosen = sample_episodes(tiny(), 2 * count, 6_000_000, frames=FRAMES, keep=lambda e: not e.has_action)
    return [
        Case(
            name=f"distribution/film/{i}", seed=i, truth=episode.scene, known=0, text=episode.captions.short,
            other=chosen[(i + 1) % count].scene, marks={"real": chosen[count + i].scene},
        )
        for i, episode in enumerate(chosen[:count])
    ]  # fmt: skip


def _moves(episode: Episode) -> bool:
    scene = episode.scene
    return (
        not episode.has_action
        and least_trivial(scene, KNOWN, KNOWN + FRAMES - 1) >= 1.0
        and "car" not in {KINDS[scene.kind[k]] for k in scene.entities}
    )


@lru_cache(maxsize=2)
def _takes(count: int) -> list[Case]:
    """Clips with a second take: the last shown frame set up again, its speeds and places a little off."""
    chosen = sample_episodes(tiny(), count + 1, 7_000_000, frames=KNOWN + FRAMES, keep=_moves)
    cases = []
    for i, episode in enumerate(chosen):
        again = _again(episode.scene, np.random.default_rng(i))
        cases.append(Case(name=f"distribution/take/{i}", seed=i, truth=episode.scene, known=KNOWN, marks={"again": again}))
    return with_others(cases)


def _again(scene: Scene, rng: np.random.Generator) -> Scene:
    actors = []
    for k in scene.entities:
        kind = KINDS[scene.kind[k]]
        moved = rng.normal(0, 0.03, 4) * (kind not in ("screen", "flag"))
        still = float(np.hypot(scene.vx[KNOWN - 1, k], scene.vy[KNOWN - 1, k])) < 0.05
        last = [float(getattr(scene, name)[KNOWN - 1, k]) for name in ("x", "y", "vx", "vy")]
        actors.append(
            Actor(
                kind=kind, color=COLORS[scene.color[k]], material=MATERIALS[scene.material[k]], size=float(scene.size[k]),
                x=last[0] + 0 if still else last[0] + float(moved[0]), y=last[1] + (0 if still else abs(float(moved[1]))),
                vx=last[2] * (1 + float(moved[2])), vy=last[3] * (1 + float(moved[3])),
                angle=float(scene.angle[KNOWN - 1, k]),
            )
        )  # fmt: skip
    cast = EpisodeSetup(
        view=scene.view, background=scene.background, room_width=scene.room_width, scenario="still", actors=actors
    )
    return enact(cast, np.zeros((FRAMES + 1, 2), np.float32)).frames(slice(1, None))


def _case(item: str) -> Case:
    group, number = item.split("/")
    which = 0 if group == "film" else 1
    count = COUNTS["quick" if int(number) < COUNTS["quick"][which] else "full"][which]
    return (_films(count) if group == "film" else _takes(count))[int(number)]


def state_features(seen: list[list[ParsedObject]]) -> list[float]:
    """What is read of a clip at LOOKS [16]: how many things, where, how large, how fast; how strongly one is drawn downward, which
    is the same in every room with gravity and so tells a wrong speed of time from a right one."""
    first, last = seen[0], seen[-1]
    paths, tracks = [], []
    for thing in first:
        matches = [next((s for s in frame if (s.kind, s.color) == (thing.kind, thing.color)), None) for frame in seen]
        tracks.append(matches)
        places = [(s.x, s.y) for s in matches if s is not None]
        if len(places) > 1:
            paths.append(np.array(places))
    steps = [np.linalg.norm(np.diff(path, axis=0), axis=1) for path in paths]
    shifts = [path[-1] - path[0] for path in paths]
    falls = [_fall([None if s is None else s.y for s in track]) for track in tracks]
    rises = [float(path[:, 1].max() - path[-1, 1]) for path in paths]
    return [
        float(len(first)), float(len(last)), float(np.mean([len(frame) for frame in seen])),
        float(np.mean([s.x for s in first] or [5.0])), float(np.mean([s.y for s in first] or [5.0])),
        float(np.mean([s.x for s in last] or [5.0])), float(np.mean([s.y for s in last] or [5.0])),
        float(np.mean([s.size for s in first] or [0.0])),
        float(max((step.sum() for step in steps), default=0.0)), float(np.mean([step.mean() for step in steps] or [0.0])),
        float(max((abs(shift[0]) for shift in shifts), default=0.0)), float(max((abs(shift[1]) for shift in shifts), default=0.0)),
        float(max(rises, default=0.0)), float(len(paths)),
        max(falls, default=0.0), float(np.log(max((step.max() for step in steps), default=0.0) + SLOWEST)),
    ]  # fmt: skip


def _fall(heights: Sequence[float | None]) -> float:
    """Downward change of speed from look to look, at least 0: the middle of the three largest, so that one bounce or one bad
    reading does not decide."""
    changes = -np.diff(np.array([np.nan if y is None else y for y in heights], np.float64), n=2)
    largest = np.sort(changes[~np.isnan(changes)])[-3:]
    return max(float(np.median(largest)), 0.0) if len(largest) else 0.0


@lru_cache(maxsize=1)
def _encoder():  # type: ignore[no-untyped-def]
    from kinema.autoencoder import load_autoencoder
    from kinema.models.hub import weights_folder

    return load_autoencoder(weights_folder() / "codec-8x8")


def latent_features(frames: Frames) -> list[float]:
    """Mean of each latent channel over a clip's places and frames, and its mean change from look to look [2 x 24]."""
    latents = np.asarray(_encoder().encode_frames(frames[LOOKS]).float()).reshape(len(LOOKS), 24, -1)
    return [*latents.mean((0, 2)).tolist(), *np.abs(np.diff(latents, axis=0)).mean((0, 2)).tolist()]


def _evaluate(model: Evaluated, item: str) -> Result:
    case = _case(item)
    if item.startswith("take"):
        return _evaluate_take(model, case)
    frames = predict(model, case)
    seen = parse_clip(frames[LOOKS])
    real = true_frames(case.marks["real"])
    names = sorted({f"{s.color} {s.kind}" for frame in seen for s in frame})
    return {
        "value": 1.0, "state": state_features(seen), "latent": latent_features(frames), "names": names,
        "real_state": state_features(parse_clip(real[LOOKS])), "real_latent": latent_features(real),
    }  # fmt: skip


def _motion(frames: Frames) -> NDArray[np.bool_]:
    """Where something changes [T - 1, H, W]."""
    return np.asarray(np.abs(np.diff(frames.astype(np.int16), axis=0)).max(-1) > MOVING)


def _iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Of weights; two empty masks agree on nothing."""
    union = float(np.maximum(a, b).sum())
    return float(np.minimum(a, b).sum()) / union if union else 0.0


def likeness(made: Frames, truth: Frames) -> dict[str, float]:
    """The four figures of Physics-IQ."""
    a, b = _motion(made), _motion(truth)
    per_frame = [_iou(x.astype(float), y.astype(float)) for x, y in zip(a, b, strict=True) if x.any() or y.any()]
    return {
        "where": _iou(a.any(0).astype(float), b.any(0).astype(float)),
        "where and when": float(np.mean(per_frame or [0.0])),
        "where, how much": _iou(a.mean(0), b.mean(0)),
        "pixels": float(np.mean((made.astype(np.float64) - truth) ** 2)) / 255.0**2,
    }


def _evaluate_take(model: Evaluated, case: Case) -> Result:
    truth, second = case.frames[case.known :], true_frames(case.marks["again"])
    frames = predict(model, case)
    own, best = likeness(frames, truth), likeness(second, truth)
    frozen = likeness(np.repeat(case.context[-1:], case.horizon, 0), truth)
    x_freeze = frozen["pixels"]
    ratios = {key: min(own[key] / max(best[key], 1e-6), 1.0) for key in ("where", "where and when", "where, how much")}
    ratios["pixels"] = float(np.clip((x_freeze - own["pixels"]) / max(x_freeze - best["pixels"], 1e-9), 0, 1))
    return {"value": float(np.mean(list(ratios.values()))), **ratios}


def _aggregate(results: Sequence[Result], oracle: Sequence[Result]) -> TaskResult:
    films = [result for result in results if result["item"].startswith("film")]
    takes = [result for result in results if result["item"].startswith("take")]
    metrics: list[Metric] = []
    like = 0.0
    if len(films) >= 8:
        for key, name in (("state", "state features"), ("latent", "frozen encoder")):
            real, made = standardized(
                np.array([result[f"real_{key}"] for result in films]), np.array([result[key] for result in films])
            )
            squared, p, null = mmd_test(real, made)
            metrics += [
                Metric(name=f"MMD^2, {name}", value=squared),
                Metric(name=f"MMD^2, {name}: p", value=p),
                Metric(name=f"MMD^2, {name}: 95% of its null", value=null),
            ]
            if real.shape[1] < len(real) / 1.5:
                distance, nothing = frechet_infinity(real, made)
                metrics.append(Metric(name=f"FD_inf, {name}", value=distance))
                metrics.append(Metric(name=f"FD_inf, {name}: null", value=nothing))
            if key == "state":
                like = float(np.exp(-max(squared - null, 0.0)))
        metrics.append(Metric(name="classifier score (exp of mutual information)", value=_inception(films)))
    for key in ("where", "where and when", "where, how much", "pixels"):
        if takes:
            value, low, high = (100 * v for v in mean_with_interval(takes, key))
            metrics.append(
                Metric(name=f"Physics-IQ, {key}: share of a second take", value=value, low=low, high=high, unit="%")
            )
    motion = mean_with_interval(takes)[0] if takes else 0.0
    values = np.array([result["value"] for result in takes])
    low, high = bootstrap(len(values), lambda pick: float(like * values[pick].mean())) if takes else (0.0, 0.0)
    metrics.append(Metric(name="likeness of the distribution: exp(-(MMD^2 beyond its null)), state features", value=like))
    return TaskResult(score=like * motion, low=low, high=high, count=len(results), metrics=tuple(metrics))


def _inception(films: Sequence[Result]) -> float:
    """Names as classes: a film's are as likely as one another."""
    every = sorted({name for result in films for name in result["names"]})
    if not every:
        return 1.0
    table = np.zeros((len(films), len(every)))
    for row, result in zip(table, films, strict=True):
        for name in result["names"]:
            row[every.index(name)] = 1 / len(result["names"])
    table = table[table.sum(1) > 0]
    mean = table.mean(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.exp(np.nansum(table * np.log(table / mean), 1).mean()))


def _items(scale: str) -> list[str]:
    films, takes = COUNTS[scale]
    order = [f"take/{i}" for i in range(takes)]
    return [*order[:6], *(f"film/{i}" for i in range(films)), *order[6:]]


DISTRIBUTION = ArenaTask(
    name="distribution",
    number="11",
    title="Distribution",
    says=f"product of: exp(-(MMD^2 beyond its null)) of state features of filmed captions; motion and pixels over"
    f" {FRAMES / FPS:g} s as a share of what a second take gets",
    examples=_items,
    evaluate=_evaluate,
    aggregate=_aggregate,
    baselines=("freeze", "loop", "shuffled"),
    case=_case,
    gate=14,
)
