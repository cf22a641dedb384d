"""Prompts followed at 128 px: is exactly the cast there, and does what was asked for happen?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from benchmarks.first_light import Frames, cast_of, round_trip
from benchmarks.sharp.events import EVENTS, FRAMES, Told, pairs, prompts, reported, scenes
from benchmarks.sharp.figures import Figure, percent, share
from benchmarks.sharp.paths import read_paths
from benchmarks.sharp.rules import happened

import kinema
from kinema.inference.canvas_io import blank_canvas, decode_clips, encode_prompt
from kinema.inference.sampling import SamplingConfig, sample_canvas
from kinema.media import Clip
from kinema.models.hub import Model
from kinema.playground import Episode, simulate, tiny
from kinema.playground.parser import parse_clip
from kinema.playground.renderer import render_scene

SIDE = 128
FPS = 16.0
SECONDS = 2.0
JOINT_FRAMES = 20
JOINT_STEPS = 16
SEED = 930_000_000
RULES_SEED = 940_000_000


def cast_right(frames: Frames, wanted: Counter[str]) -> bool:
    """Whether the parser reads exactly this cast in at least half of eight frames."""
    picks = np.linspace(0, len(frames) - 1, 8).round().astype(int)
    casts = [Counter(f"{seen.color} {seen.kind}" for seen in frame) for frame in parse_clip(frames[picks])]
    return sum(cast == wanted for cast in casts) >= 4


def two_things(count: int, held_out: str, first: int) -> list[Episode]:
    distribution = replace(tiny(), min_entities=2, max_entities=2, held_out=held_out)
    return [simulate(distribution, first + i, fps=FPS, num_frames=64) for i in range(count)]


def true_frames(episode: Episode, frames: int) -> Frames:
    return np.asarray(render_scene(episode.scene.frames(slice(0, frames)), height=SIDE, width=SIDE))


def plan_drawn(clip: Clip) -> Frames:
    """The clip's own plan, drawn by the true renderer."""
    assert clip.state is not None
    return np.asarray(render_scene(clip.state, height=SIDE, width=SIDE))


def casts(model: Model, count: int) -> list[Figure]:
    """Two-thing prompts: cast right by the film, and split: by the plan alone, drawn by the true renderer."""
    figures = []
    for held_out, label, first in (("exclude", "known", SEED), ("only", "held-out", SEED + 500_000)):
        made, planned, true, coded, one = [], [], [], [], []
        for i, episode in enumerate(two_things(count, held_out, first)):
            wanted = cast_of(episode.scene)
            clip = kinema.generate(episode.captions.short, model=model, seconds=SECONDS, size=(SIDE, SIDE), seed=i)[0]
            made.append(cast_right(clip.frames, wanted))
            planned.append(cast_right(plan_drawn(clip), wanted))
            other = cast_of(two_things(1, held_out, first + count + i)[0].scene)
            one.append(other == wanted)
            truth = true_frames(episode, 32)[:: 31 // 7]
            true.append(cast_right(truth, wanted))
            coded.append(cast_right(round_trip(model, truth), wanted))
        truth_said = f"true pictures {percent(true)}, round trip {percent(coded)}"
        figures += [
            Figure(
                what=f"prompts at {SIDE} px: cast right, {label} pairs", measured=share(made), truth=truth_said,
                trivial=f"another prompt's cast {percent(one)}",
            ),
            Figure(
                what=f"- the plan drawn by the true renderer, {label} pairs", measured=share(planned),
                truth=f"true pictures {percent(true)}",
            ),
        ]  # fmt: skip
    return figures


def judged(told: Told, frames: Frames) -> bool:
    """Whether these frames show the event of a prompt."""
    mover, other = told.names
    paths = read_paths(frames, [name for name in (mover, other) if name is not None])
    view = told.episode.scene.view
    return happened(told.event, paths[mover], None if other is None else paths[other], view, FPS)


def events(model: Model, count: int) -> list[Figure]:
    """Prompts of five events: does the film show it, does the plan, do the true pictures; the trivial film stands still."""
    figures, every = [], []
    for number, event in enumerate(EVENTS):
        rows = []
        for i, told in enumerate(prompts(event, count, SEED + 1_000_000 * (number + 1))):
            text = told.episode.captions.short
            clip = kinema.generate(text, model=model, seconds=FRAMES / FPS, size=(SIDE, SIDE), seed=i)[0]
            truth = true_frames(told.episode, FRAMES)
            still = np.repeat(clip.frames[:1], 12, 0)
            rows.append([judged(told, frames) for frames in (clip.frames, plan_drawn(clip), truth, still)])
        every += rows
        figures.append(_event_figure(f"prompts at {SIDE} px: event right, {event}", rows))
    return [_event_figure(f"prompts at {SIDE} px: event right, all five", every), *figures]


def _event_figure(what: str, rows: Sequence[Sequence[bool]]) -> Figure:
    film, plan, truth, still = ([row[k] for row in rows] for k in range(4))
    return Figure(
        what=what, measured=f"{share(film)}; by the plan {percent(plan)}", truth=f"true pictures {percent(truth)}",
        trivial=f"first frame held {percent(still)}",
    )  # fmt: skip


def examples(event: str, count: int) -> tuple[list[Told], list[Told]]:
    """True episodes in which the detector reports the event of a pair, and as many in which it could be asked and is not there.

    The first come from the scripts that bring the event about, the second from all of them."""
    happens: list[Told] = []
    first = RULES_SEED + 1_000_000 * list(EVENTS).index(event)
    for episode in scenes(first, event):
        happens += [Told(event=event, episode=episode, mover=a, other=b) for a, b in reported(episode, event)[:1]]
        if len(happens) >= count:
            break
    lacks: list[Told] = []
    for episode in scenes(first + 500_000):
        said = reported(episode, event, before_s=1e9)
        said += reported(episode, "lands on", before_s=1e9) if event == "hits" else []  # who lands on a thing also hits it
        told = {frozenset(pair) for pair in said}
        free = [pair for pair in pairs(episode, event) if frozenset(pair) not in told]
        lacks += [Told(event=event, episode=episode, mover=a, other=b) for a, b in free[:1]]
        if len(lacks) >= count:
            break
    return happens, lacks


def rules(model: Model, count: int) -> list[Figure]:
    """How often the rules agree with the Playground's event detector on true films; no model takes part."""
    del model
    figures = []
    for event in EVENTS:
        happens, lacks = examples(event, count)
        yes = [judged(told, true_frames(told.episode, FRAMES)) for told in happens]
        no = [judged(told, true_frames(told.episode, FRAMES)) for told in lacks]
        figures.append(
            Figure(
                what=f"rule '{event}' on true films: accepts those with the event; those without",
                measured=f"{share(yes)}; {share(no)}", truth="100%; 0%", trivial="first frame held 0%",
            )
        )  # fmt: skip
    return figures


@torch.inference_mode()
def joint(model: Model, count: int) -> list[Figure]:
    """All tracks, video included, filled together from noise in one run of the sampler: cast right."""
    made, true = [], []
    for i, episode in enumerate(two_things(count, "exclude", SEED + 700_000)):
        wanted = cast_of(episode.scene)
        canvas = blank_canvas(model, count=1, frames=JOINT_FRAMES, fps=FPS, height=SIDE, width=SIDE)
        canvas = encode_prompt(model, canvas, episode.captions.short, False)
        options = SamplingConfig(num_plan_steps=JOINT_STEPS)
        done = sample_canvas(model, canvas, options, [i], steps=JOINT_STEPS, guidance=options.guidance_scale)
        clip = decode_clips(
            model, done, fps=FPS, height=SIDE, width=SIDE, captions=[episode.captions.short], settings=[{}]
        )[0]  # fmt: skip
        made.append(cast_right(clip.frames, wanted))
        true.append(cast_right(true_frames(episode, JOINT_FRAMES)[:: JOINT_FRAMES // 8], wanted))
    return [
        Figure(
            what=f"joint text-to-video at {SIDE} px in {JOINT_STEPS} steps: cast right, known pairs", measured=share(made),
            truth=f"true pictures {percent(true)}",
        )
    ]  # fmt: skip
