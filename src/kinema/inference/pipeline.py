"""Fill a canvas: the procedure behind every capability.

One network fills a canvas in three passes:

    estimate_state   where pictures are known and the state is not: detect objects, then estimate their whole state
    plan_state       every track but the video, which takes a few tokens a frame
    render_video     the video, given the state

Text and dynamics are sampled in many cheap steps, and pictures in a few. Canvases longer than the model's window are filled window
by window, and each window begins with frames of the one before.

Axes: B batch, T frames, h x w video cells, K slots, F features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from kinema.canvas import conditioning
from kinema.canvas.canvas import Canvas, TextCondition
from kinema.canvas.conditioning import fix_identity
from kinema.diffusion.seeds import candidate_seed, window_seed
from kinema.inference.candidates import copies, plan_scores
from kinema.inference.checkpoint import WindowCheckpoint
from kinema.inference.keyframes import Named, close_slots, joining_texts, near_another
from kinema.inference.sampling import SamplingConfig, sample_canvas
from kinema.inference.velocities import estimate_velocity
from kinema.models.hub import Model
from kinema.models.objects.tracking import Detection, detect_pictures, initial_state
from kinema.scene.encoding import project_for_render, project_identity
from kinema.scene.schema import IDENTITY, StateSchema

OVERLAP = 16
"""Frames that a window shares with the one before it."""
PERCEIVE_STEPS = 1
DETECTION_LEVEL = 0.002
"""Noise level at which positions from the detection head enter the state: about as large as their error."""
ROUGHLY = 0.015
"""Noise level at which an estimated state enters the plan."""
CANDIDATE_STEPS = 2
"""Steps of a draft, at least; plans of fewer steps than that for each candidate are not chosen from."""
REFINE_LEVEL, REFINE_SHARE = 0.4, 4
"""The best draft is noised to this level and finished in one of so many of the plan's steps."""
RESTING = 0.15
"""An estimated camera whose track stays this near its rest, 0, is at rest: by 0.4 units of place and a twentieth of zoom."""

FILM_TEMPERATURE = 0.1
"""Scale of the noise that pictures of a settled state begin with. With the state known, what the sketch's spread stands for is the
network's own error, and a sample at temperature 1 adds it once more (docs/training-log.md)."""

Progress = Callable[[str, int, int], None]
EncodeFrames = Callable[[Tensor], Tensor]
"""Video cells [B, n, h, w, P] of the frames of these numbers [n]."""
CellsAt = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Values [B, n, h, w, P] and levels [B, n, h, w] of the video at the frames of these numbers [n]."""
OnFrames = Callable[[Canvas, int], None]
"""Called with a canvas while it is filled, once its state is planned, and with the number of frames that are rendered."""


def _windows(frames: int, window: int, overlap: int) -> list[tuple[int, int]]:
    """(start, stop) of windows that cover all frames, each but the first beginning `overlap` frames inside the last."""
    if frames <= window:
        return [(0, frames)]
    starts = [*range(0, frames - window, window - overlap), frames - window]
    return [(s, s + window) for s in dict.fromkeys(starts)]


def estimate_state(
    model: Model, canvas: Canvas, options: SamplingConfig, seeds: Sequence[int], encode: EncodeFrames | None = None,
    frames: Tensor | None = None,
) -> Canvas:  # fmt: skip
    """Estimate state and setting of the frames whose video is known, and write them to the canvas at level ROUGHLY.

    The detection head first finds objects in all these frames. From these detections the denoiser estimates the whole state, window
    by window. Velocity stays unknown where no neighboring picture shows it. encode: of a canvas without a video, whose pictures are
    known at these frames [n] (None: at all), so that never all of them are in memory.
    """
    unread = (_without_speed(canvas.levels["state"], canvas.schema).flatten(2) > ROUGHLY).any(-1).any(0)
    if encode is None:
        unread &= (canvas.levels["video"].flatten(2) == 0).all(-1).all(0)
    elif frames is not None:
        unread &= torch.zeros_like(unread).index_fill(0, frames.to(unread.device), True)
    index = unread.nonzero()[:, 0]
    if not len(index):
        return canvas
    part = canvas.pick(index)
    chunks = torch.arange(len(index)).split(model.config.film_window)  # type: ignore[no-untyped-call]

    def shown(chunk: Tensor) -> Canvas:
        picked = part.pick(chunk)
        return picked if encode is None else conditioning.with_video(picked, encode(index[chunk]))

    part = _detect_slots(model, part, [_detect(model, shown(chunk)) for chunk in chunks])
    values = {name: x.clone() for name, x in part.values.items() if name != "video"}
    for chunk in chunks:
        made = sample_canvas(model, shown(chunk), options, seeds, steps=PERCEIVE_STEPS, guidance=1.0).values
        for name, value in values.items():
            value[:, chunk] = made[name].to(value)
    state = torch.where(part.levels["state"] == 0, part.values["state"], values["state"])
    values["camera"] = _settled_camera(part, values["camera"])
    place = part.levels["state"][..., part.schema.slice("position")][..., 0]
    state = estimate_velocity(
        project_identity(state, part.schema), part.levels["state"], place <= DETECTION_LEVEL, part.time_s,
        side=values["scene"][..., 0].mean(1) > 0, schema=part.schema,
    )  # fmt: skip
    perceived = part.with_values({**values, "state": state})
    canvas = canvas.write_part(perceived, index, ("state", "scene", "camera"), ROUGHLY)
    alone = torch.tensor([i for i in index.tolist() if not near_another(canvas.time_s[0], index, i)], dtype=torch.long)
    if len(alone):
        level = canvas.levels["state"].clone()
        level[:, alone, :, canvas.schema.slice("velocity")] = 1.0
        canvas = canvas.with_levels({"state": level})
    return canvas


@torch.inference_mode()
def _detect(model: Model, canvas: Canvas) -> list[list[list[Detection]]]:
    """The objects that the detection head finds in each sample's pictures [B, T]."""
    answers, centers, units = model.denoiser.detect_canvas(canvas, dtype=model.dtype)
    return detect_pictures(answers, centers, units, canvas.schema)


def _detect_slots(model: Model, canvas: Canvas, chunks: Sequence[list[list[list[Detection]]]]) -> Canvas:
    """The canvas with the objects of its pictures, of a chunk of its frames each, in its state: identities are known, positions are
    at DETECTION_LEVEL."""
    pictures = [[picture for chunk in chunks for picture in chunk[b]] for b in range(canvas.batch)]
    camera = torch.where(canvas.level_of("camera") == 0, canvas.values["camera"], 0.0)
    detected_state, detected = (
        x.to(model.device) for x in initial_state(pictures, camera, model.config.denoiser.slots, canvas.schema)
    )
    level = canvas.levels["state"]
    updated = detected & (level > DETECTION_LEVEL)
    state = torch.where(updated, detected_state, canvas.values["state"])
    sure = torch.zeros_like(level)
    sure[..., canvas.schema.slice("position")] = DETECTION_LEVEL
    return canvas.with_track("state", state, torch.where(updated, sure, level))


def _settled_camera(part: Canvas, camera: Tensor) -> Tensor:
    """The estimated camera [B, T, 3], at rest exactly where it is nearly so in all frames; what is known stays as it is. Most films
    are taken by a camera at rest, and an error in it moves everything in the pictures."""
    resting = (camera.abs().amax((1, 2)) <= RESTING)[:, None, None]
    return torch.where(resting & (part.level_of("camera") > 0), 0.0, camera)


def _fix_unknown_identity(canvas: Canvas, identity: Tensor) -> Canvas:
    """The canvas with these identities [B, K, F] known in every frame, except for fields that it knows already."""
    fixed = fix_identity(canvas, identity)
    known = canvas.levels["state"] == 0
    state = torch.where(known, canvas.values["state"], fixed.values["state"])
    return fixed.with_values({"state": state})


def _without_speed(level: Tensor, schema: StateSchema) -> Tensor:
    """Levels [..., F] of a state but for its velocity, which a still picture does not show."""
    speed = schema.slice("velocity")
    return torch.cat([level[..., : speed.start], level[..., speed.stop :]], -1)


def _world_sizes(model: Model) -> list[float]:
    """Radii of the sizes that the model's world has; none where it names none, since sizes are continuous there."""
    schema = model.config.denoiser.schema
    return [radius for name, radius in zip(schema.sizes, schema.radii, strict=True) if name not in model.config.lacks]


def _settled(model: Model, part: Canvas, state: Tensor) -> Tensor:
    """A planned state with constant identities. Sizes are those of the model's world, except for objects whose size is known."""
    given = (part.levels["state"][..., part.schema.slice("size")] <= ROUGHLY).any(1, keepdim=True)
    return torch.where(
        given, project_identity(state, part.schema), project_identity(state, part.schema, _world_sizes(model))
    )


def _open(canvas: Canvas, options: SamplingConfig) -> bool:
    """Whether candidates are drafted: there is a text, no position is known, and there are enough steps for each candidate."""
    unknown = bool((canvas.levels["state"][..., canvas.schema.slice("position")] == 1).all())
    enough = options.num_plan_steps >= CANDIDATE_STEPS * options.num_candidates and canvas.num_frames > 1
    return options.num_candidates > 1 and enough and unknown and canvas.text is not None


def _best(
    model: Model, canvas: Canvas, options: SamplingConfig, seeds: Sequence[int], half_width: float,
    report: Callable[[int, int], None] | None,
) -> Canvas:  # fmt: skip
    """Plan `candidates` drafts of each sample, keep the one of the best score, and finish it. half_width: of the picture, in units.

    Drafts share the plan's steps and have half its frames where the model knows so few a second. Samples are drafted one by one, so
    that which one is kept does not depend on the batch.
    """
    rate = 1.0 / float(canvas.time_s[0, 1] - canvas.time_s[0, 0])
    index = torch.arange(0, canvas.num_frames, 2 if rate / 2 >= model.config.fps[0] - 1e-3 else 1)
    steps = max(options.num_plan_steps // options.num_candidates, CANDIDATE_STEPS)
    finish = max(options.num_plan_steps // REFINE_SHARE, 1)
    total = canvas.batch * steps + finish
    best_candidates: list[dict[str, Tensor]] = []
    for i, seed in enumerate(seeds):
        sample = copies(canvas.sample(i), options.num_candidates)
        step = None if report is None else _share(report, i * steps, total)
        drafts = sample_canvas(
            model, sample.pick(index), options, [candidate_seed(seed, n) for n in range(options.num_candidates)], steps=steps,
            guidance=options.guidance_scale, progress=step,
        )  # fmt: skip
        best = int(plan_scores(model, drafts, half_width).argmax()) if sample.text is not None else 0
        best_candidates.append({name: _spread(x[best], index, canvas.num_frames) for name, x in drafts.values.items()})
    noised_candidate = canvas
    for name, x in canvas.values.items():
        chosen = torch.where(canvas.level_of(name) == 0, x, torch.stack([candidate[name] for candidate in best_candidates]))
        noised_candidate = noised_candidate.with_track(name, chosen, canvas.levels[name].clamp_max(REFINE_LEVEL))
    step = None if report is None else _share(report, canvas.batch * steps, total)
    again = [candidate_seed(seed, -1) for seed in seeds]
    return sample_canvas(
        model, noised_candidate, options, again, steps=finish, guidance=1.0, progress=step, long_steps=False
    )


def _half_width(canvas: Canvas) -> float:
    """Half the width of the picture in units; infinite where there is none."""
    if "video" not in canvas.values or canvas.cell_units is None:
        return float("inf")
    return canvas.values["video"].shape[3] * canvas.cell_units / 2


def _share(report: Callable[[int, int], None], before: int, total: int) -> Callable[[int, int], None]:
    """A report of one stroke as part of a longer one, of which `before` steps are done."""
    return lambda done, _: report(before + done, total)


def _spread(x: Tensor, index: Tensor, frames: int) -> Tensor:
    """Values at some frames [n, ...], on straight lines between them and as the last after it: [frames, ...]."""
    every = int(index[1] - index[0]) if len(index) > 1 else 1
    at = torch.arange(frames) / every
    before = at.floor().long().clamp_max(len(index) - 1)
    after = (before + 1).clamp_max(len(index) - 1)
    share = (at - before).reshape(-1, *[1] * (x.ndim - 1)).to(x)
    return x[before] + share * (x[after] - x[before])


def plan_state(
    model: Model, canvas: Canvas, options: SamplingConfig, seeds: Sequence[int], progress: Progress | None = None,
    checkpoint: WindowCheckpoint | None = None, half_width: float | None = None,
) -> Canvas:  # fmt: skip
    """Sample every track but the video, window by window; identities are decided in the first window. Where only the text is known,
    the best of several candidates is finished (`kinema.inference.candidates`). half_width: half the width of the picture in units;
    None: that of the canvas's video."""
    half_width = _half_width(canvas) if half_width is None else half_width
    names = ["state", *canvas.schema.vectors]
    windows = _windows(canvas.num_frames, model.config.window, OVERLAP)
    identity: Tensor | None = None
    for number, (begin, stop) in enumerate(windows):
        index = torch.arange(begin, stop)
        part = canvas.pick(index).without("video")
        if identity is not None:
            part = _fix_unknown_identity(part, identity)
        report = None
        if progress is not None:
            report = lambda i, n, number=number: progress("plan", number * n + i, n * len(windows))
        tracks = None if checkpoint is None else checkpoint.load("plan", number)
        if tracks is None:
            window_seeds = [window_seed(seed, number) for seed in seeds]
            planned = _plan_window(model, part, options, window_seeds, half_width, report)
            tracks = {name: planned.values[name] for name in names}
            if checkpoint is not None:
                checkpoint.save("plan", number, tracks)
        elif progress is not None:
            progress("plan", number + 1, len(windows))
        identity = tracks["state"][:, 0] if identity is None else identity
        canvas = canvas.write_part(part.with_values(tracks), index, names, 0.0)
    return canvas


def _plan_window(
    model: Model, part: Canvas, options: SamplingConfig, seeds: Sequence[int], half_width: float,
    report: Callable[[int, int], None] | None,
) -> Canvas:  # fmt: skip
    """One window of a plan, settled."""
    if _open(part, options):
        done = _best(model, part, options, seeds, half_width, report)
    else:
        steps, scale = options.num_plan_steps, options.guidance_scale
        done = sample_canvas(model, part, options, seeds, steps=steps, guidance=scale, progress=report)
    settled = _settled(model, part, done.values["state"])
    return done.with_values({"state": settled, "scene": _settled_scene(part, done.values["scene"])})


def _settled_scene(part: Canvas, scene: Tensor) -> Tensor:
    """The planned scene track [B, T, D] as one view and one background for all frames that read the same words: a mean of two
    backgrounds is none, and is drawn as both. Frames whose scene was seen decide; what is known stays as it is."""
    frames = scene.shape[1]
    same = torch.ones(len(scene), frames, frames, device=scene.device)
    if part.text is not None:
        reads = part.text.reads
        same = (reads[:, :, None] == reads[:, None]).all(-1).float()
    same = same * (1.0 + 1e3 * (part.levels["scene"] <= ROUGHLY))[:, None]
    mean = same @ scene / same.sum(-1, keepdim=True)
    settled = torch.full_like(scene, -1.0).scatter(-1, 1 + mean[..., 1:].argmax(-1, keepdim=True), 1.0)
    settled[..., 0] = torch.where(mean[..., 0] > 0, 1.0, -1.0)
    return torch.where(part.level_of("scene") == 0, scene, settled)


def render_video(
    model: Model, canvas: Canvas, options: SamplingConfig, seeds: Sequence[int], progress: Progress | None = None,
    watch: OnFrames | None = None, checkpoint: WindowCheckpoint | None = None,
) -> Canvas:  # fmt: skip
    """Sample the video of a planned canvas, window by window; known pictures stay as they are."""
    pending = _pending(canvas.levels["video"])
    planned = canvas.values["state"]
    canvas = canvas.with_values({"state": project_for_render(planned, canvas.schema)})
    windows = _windows(canvas.num_frames, model.config.film_window, 0)
    for number, (begin, stop) in enumerate(windows):
        index = torch.arange(begin, stop)
        if bool(pending[index].any()):
            made, index = _render_window(model, canvas.pick(index), pending[index], options, seeds, number, checkpoint)
            canvas = canvas.write_part(made, begin + index, ["video"], 0.0)
        if progress is not None:
            progress("film", number + 1, len(windows))
        if watch is not None:
            watch(canvas, stop)
    return canvas.with_values({"state": planned})


def film_windows(
    model: Model,
    canvas: Canvas,
    video: CellsAt,
    options: SamplingConfig,
    seeds: Sequence[int],
    progress: Progress | None = None,
) -> Iterator[Tensor]:
    """Sample the video of a planned canvas without one as `render_video` does, and give it window by window, [B, n, h, w, P], so
    that never all of it is in memory. video: what is known of it."""
    canvas = canvas.with_values({"state": project_for_render(canvas.values["state"], canvas.schema)})
    windows = _windows(canvas.num_frames, model.config.film_window, 0)
    rendered, shown = 0, torch.zeros(0)
    for number, (begin, stop) in enumerate(windows):
        values, levels = video(torch.arange(begin, stop))
        pending, shared = _pending(levels), rendered - begin
        if shared > 0:  # frames that the window before this one has rendered
            values = torch.cat([shown[:, -shared:], values[:, shared:]], 1)
            levels = torch.cat([torch.zeros_like(levels[:, :shared]), levels[:, shared:]], 1)
        part = canvas.pick(torch.arange(begin, stop)).with_track("video", values, levels)
        if bool(pending.any()):
            made, index = _render_window(model, part, pending, options, seeds, number)
            part = part.write_part(made, index, ["video"], 0.0)
        shown, rendered = part.values["video"], stop
        yield shown[:, shared:]
        if progress is not None:
            progress("film", number + 1, len(windows))


def _pending(levels: Tensor) -> Tensor:
    """Frames [T] of which something is unknown, by levels [B, T, h, w]."""
    return (levels.flatten(2) > 0).any(-1).any(0)


def _render_window(
    model: Model, part: Canvas, pending: Tensor, options: SamplingConfig, seeds: Sequence[int], number: int,
    checkpoint: WindowCheckpoint | None = None,
) -> tuple[Canvas, Tensor]:  # fmt: skip
    """Frames of one window with their video, and which of the window's they are [n]: where each is drawn from its own state those
    that are pending, else all."""
    render = _known(part)
    index = torch.arange(part.num_frames)
    index = index[pending] if render else index
    part = part.pick(index)
    tracks = None if checkpoint is None else checkpoint.load("film", number)
    if tracks is None:
        made = sample_canvas(
            model, part, options, [window_seed(seed, number, video=True) for seed in seeds], steps=options.num_render_steps,
            guidance=1.0, temperature=FILM_TEMPERATURE, render=render,
        )  # fmt: skip
        tracks = {"video": made.values["video"]}
        if checkpoint is not None:
            checkpoint.save("film", number, tracks)
    return part.with_values(tracks), index


def _known(canvas: Canvas) -> bool:
    """Whether all that a picture is drawn from is known in every frame."""
    return all(bool((canvas.levels[name] == 0).all()) for name in ("state", "scene", "camera"))


def fill_canvas(
    model: Model, canvas: Canvas, options: SamplingConfig, seeds: Sequence[int], progress: Progress | None = None,
    watch: OnFrames | None = None, named: Sequence[Named | None] | None = None, checkpoint: WindowCheckpoint | None = None,
) -> Canvas:  # fmt: skip
    """Fill a canvas: estimate the state of known pictures, plan the state, render the video. Known cells come back bit-identical.

    named: the objects that each sample's prompt names [B]; only these are added to known pictures. None: the plan may add any.
    checkpoint: keeps each window; those that it has are not made again.
    """
    if "video" in canvas.values:
        canvas = propagate_identity(estimate_state(model, canvas, options, seeds))
        if named is not None:
            canvas = add_only(model, canvas, named)
    canvas = plan_state(model, canvas, options, seeds, progress, checkpoint)
    if "video" not in canvas.values:
        return canvas
    if watch is not None:
        watch(canvas, 0)
    return render_video(model, canvas, options, seeds, progress, watch, checkpoint)


def add_only(model: Model, canvas: Canvas, named: Sequence[Named | None]) -> Canvas:
    """The canvas of known pictures to which the plan may add only the objects that each sample's prompt names [B]."""
    joining = joining_texts(canvas, named, ROUGHLY)
    return _with_texts(model, close_slots(canvas, named, ROUGHLY), joining)


def _with_texts(model: Model, canvas: Canvas, texts: Sequence[str]) -> Canvas:
    """The canvas with one more text for each sample [B], read in every frame; '' adds nothing."""
    if not any(texts):
        return canvas
    added = [model.condition([(text, 0.0, float("inf"))], canvas.time_s[i : i + 1]) for i, text in enumerate(texts)]
    length = max(one.states.shape[1] for one in added if one is not None)
    states = canvas.time_s.new_zeros(canvas.batch, length, model.config.denoiser.text_dim)
    reads = torch.zeros(canvas.batch, canvas.num_frames, length, dtype=torch.bool, device=states.device)
    for i, one in enumerate(added):
        if one is not None:
            states[i, : one.states.shape[1]] = one.states[0]
            reads[i, :, : one.states.shape[1]] = True
    if canvas.text is not None:
        states, reads = torch.cat([canvas.text.states, states], 1), torch.cat([canvas.text.reads, reads], 2)
    return replace(canvas, text=TextCondition(states=states, reads=reads))


def propagate_identity(canvas: Canvas) -> Canvas:
    """The canvas with identities and background that are known in some frame known in every frame; empty slots stay unknown."""
    state, level = canvas.values["state"].clone(), canvas.levels["state"].clone()
    shown = ((level[..., :1] <= ROUGHLY) & (state[..., :1] > 0)).float()
    present = shown.any(1, keepdim=True)
    mean = (shown * state).sum(1, keepdim=True) / shown.sum(1, keepdim=True).clamp_min(1)
    for group in IDENTITY:
        columns = canvas.schema.slice(group)
        unknown = present & (level[..., columns] > ROUGHLY)
        state[..., columns] = torch.where(unknown, mean[..., columns], state[..., columns])
        level[..., columns] = torch.where(unknown, torch.zeros_like(level[..., columns]), level[..., columns])
    scene, scene_level = canvas.values["scene"], canvas.levels["scene"]
    known_scene = (scene_level <= ROUGHLY).float()[..., None]
    unknown = known_scene.any(1, keepdim=True) & (known_scene == 0)
    mean = (known_scene * scene).sum(1, keepdim=True) / known_scene.sum(1, keepdim=True).clamp_min(1)
    scene = torch.where(unknown, mean, scene)
    scene_level = torch.where(unknown[..., 0], torch.zeros_like(scene_level), scene_level)
    return canvas.with_track("state", state, level).with_track("scene", scene, scene_level)
