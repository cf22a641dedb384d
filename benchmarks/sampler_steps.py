"""What more steps of the sampler give: python -m benchmarks.sampler_steps FILM [--world RUN DATA] [--clips N] [--write]

FILM is a model of `benchmarks.own_films`, RUN a run of `kinema train world` on the recording DATA. Each number of steps films the
same captions, none of them seen in training, with the same noise, and continues the same films, whose first frames are known.

- Distance: the Frechet distance of local features of the latents (each cell, the change to the next one on its right, and to the
  same one a frame later) to those of other true films. Blur is far: its features vary too little. Beside it stand true films, and
  the mean of all.
- Energy score (Gneiting & Raftery 2007) of two films made with different noise: their mean distance to the true film less half
  of that between them. Only what is as varied as the truth is has the least score.
- Squared error of the latents. The mean of all that may come has the least, so an estimate in one step is ahead by design; films
  that are as varied as the truth have up to twice as much.
- The shape of the text in most frames, by the parser.

Intervals are 95%, by bootstrap over films.
--write puts the tables into docs/measurements/sampler-steps.md, row by row; rows of other runs stay.

Axes: N films, T latent frames, C channels, h x w latents, D features.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.autoencoder import machine
from benchmarks.first_light import ROOT, interval
from benchmarks.own_films import shape_of, shows, true_film
from benchmarks.recorded_worlds import load_world, recordings_of
from numpy.typing import NDArray
from torch import Tensor

from kinema.autoencoder import to_uint8
from kinema.diffusion.flow import noise_to
from kinema.inference.dit_films import fill_frames
from kinema.models.dit import DiTInput
from kinema.models.dit_model import DiTModel
from kinema.models.hub import load
from kinema.scene.scene import Scene
from kinema.training.recordings import Recordings
from kinema.training.world_report import AHEAD, SHOWN, START_FRAMES, changed_error, fill_recording, roll

STEPS = (1, 2, 4, 8)
KNOWN = 4
"""Latent frames that a continuation goes on from."""
LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
FIRST = 20_000_000
"""Seeds of true films from here on are of no training."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Of the local features of each film: mean [N, D] and mean product [N, D, D]."""

    mean: Floats
    product: Floats

    @staticmethod
    def of(latents: Tensor) -> Moments:
        """Of latents [N, T, C, h, w]."""
        here = latents[:, :-1, :, :, :-1]
        features = torch.cat([here, latents[:, :-1, :, :, 1:] - here, latents[:, 1:, :, :, :-1] - here], 2)
        sites = features.movedim(2, -1).flatten(1, 3).double()
        return Moments(sites.mean(1).numpy(), (sites.transpose(1, 2) @ sites / sites.shape[1]).numpy())

    def pooled(self, which: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Mean and covariance over these films."""
        mean = self.mean[which].mean(0)
        return mean, self.product[which].mean(0) - np.outer(mean, mean)


def frechet(a: tuple[Floats, Floats], b: tuple[Floats, Floats]) -> float:
    """Frechet distance of two Gaussians, each a mean and a covariance (Heusel et al. 2017)."""
    root = _root(a[1])
    return float(np.square(a[0] - b[0]).sum() + np.trace(a[1] + b[1] - 2 * _root(root @ b[1] @ root)))


def _root(matrix: Floats) -> Floats:
    """The symmetric root of a symmetric matrix without negative eigenvalues."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return np.asarray((vectors * np.sqrt(values.clip(0))) @ vectors.T)


def with_interval(statistic: Callable[[NDArray[np.int64]], float], count: int, resamples: int = 200) -> str:
    """A statistic of films by number, with its interval, which lies around the statistic as resamples lie around their mean: a
    resample has fewer different films, which moves distances."""
    rng = np.random.default_rng(0)
    value = statistic(np.arange(count))
    drawn = np.array([statistic(rng.integers(0, count, count)) for _ in range(resamples)])
    low, high = np.percentile(drawn - drawn.mean(), (2.5, 97.5))
    return f"{value:.3f} [{value + low:.3f}, {value + high:.3f}]"


def distance(made: Tensor, truth: Moments) -> str:
    mine = Moments.of(made)
    return with_interval(lambda which: frechet(mine.pooled(which), truth.pooled(which)), len(made))


def mean_of(values: Tensor) -> str:
    """Of one value for each film."""
    each = values.double().numpy()
    return with_interval(lambda which: float(each[which].mean()), len(each), 2000)


def apart(a: Tensor, b: Tensor) -> Tensor:
    """Distance of films [N, T, C, h, w], in units of one number: [N]."""
    return (a - b).flatten(1).square().mean(1).sqrt()


def energy(pair: tuple[Tensor, Tensor], truth: Tensor) -> str:
    return mean_of((apart(pair[0], truth) + apart(pair[1], truth)) / 2 - apart(*pair) / 2)


# Films


def film_rows(model: DiTModel, count: int, guidances: list[float]) -> Iterator[dict[str, str]]:
    """What films are to be compared with, and one row for each number of steps with each guidance; 1 is none."""
    tries, clean = true_films(model, FIRST, count)
    _, other = true_films(model, FIRST + count, count)
    truth = Moments.of(other)
    texts, shapes = [text for text, _ in tries], [shape_of(scene) for _, scene in tries]
    mean = other.mean((0, 1, 3, 4), keepdim=True)[0]
    still = torch.cat([clean[:, :KNOWN], clean[:, KNOWN - 1 : KNOWN].expand(-1, clean.shape[1] - KNOWN, -1, -1, -1)], 1)
    yield described(model, "true films", (clean, other), shapes, clean, truth) | continued((clean, clean), clean, truth)
    yield described(model, "the mean of all", (mean.expand_as(clean),) * 2, shapes, clean, truth)
    yield {"made by": "the last known frame"} | continued((still, still), clean, truth)
    for guidance in guidances:
        for steps in STEPS:
            name = f"{steps} steps" + (f", guidance {guidance:g}" if guidance != 1 else "")

            def pair(known: int, steps: int = steps, guidance: float = guidance) -> tuple[Tensor, ...]:
                return tuple(films(model, texts, clean, known, steps, guidance, seed) for seed in (0, 1))

            row = described(model, name, pair(0), shapes, clean, truth)
            yield row | (continued(pair(KNOWN), clean, truth) if guidance == 1 else {})


def true_films(model: DiTModel, first: int, count: int) -> tuple[list[tuple[str, Scene]], Tensor]:
    """Texts and scenes, and latents [N, T, C, h, w] as long as the model films at once."""
    config, tries, latents = model.config, [], []
    for seed in range(first, first + count):
        frames, text, scene = true_film(seed)
        every = round(len(frames) / 3 / config.fps)
        tries.append((text, scene))
        latents.append(model.autoencoder.encode_frames(frames[::every][: config.frames]))
    return tries, torch.stack(latents).float()


def films(model: DiTModel, texts: list[str], clean: Tensor, known: int, steps: int, guidance: float, seed: int) -> Tensor:
    """Films of texts, of which the first `known` frames stand: latents [N, T, C, h, w]."""
    unknown = torch.ones(1, clean.shape[1])
    unknown[:, :known] = 0
    made = [
        fill_frames(
            model, truth[None] * (1 - unknown[..., None, None, None]), unknown, prompt=text, seed=2 * i + seed,
            fps=model.config.fps, steps=steps, guidance=guidance,
        )
        for i, (text, truth) in enumerate(zip(texts, clean, strict=True))
    ]  # fmt: skip
    return torch.cat(made).clone()


def described(
    model: DiTModel,
    name: str,
    pair: tuple[Tensor, ...],
    shapes: list[tuple[str, str]],
    clean: Tensor,
    truth: Moments,
) -> dict[str, str]:
    """A row of the table: two films of each text alone."""
    with torch.inference_mode():
        seen = [shows(model.autoencoder.decode_frames(x), shape) for x, shape in zip(pair[0], shapes, strict=True)]
    return {
        "made by": name,
        "distance": distance(pair[0], truth),
        "energy score": "-" if pair[0] is clean else energy((pair[0], pair[1]), clean),
        "shape of the text": interval(seen),
    }


def continued(pair: tuple[Tensor, ...], clean: Tensor, truth: Moments) -> dict[str, str]:
    """More of the row: two films of each, whose first frames are known."""
    found = {"continued: distance": distance(pair[0][:, KNOWN - 1 :], truth)}
    if pair[0] is clean:
        return found
    first, second, right = (x[:, KNOWN:] for x in (*pair, clean))
    return found | {
        "continued: energy score": energy((first, second), right),
        "continued: squared error": mean_of((first - right).flatten(1).square().mean(1)),
    }


@torch.inference_mode()
def errors_by_level(model: DiTModel, count: int) -> dict[str, str]:
    """Squared error of the network's estimate of true films noised to one level, by level."""
    tries, clean = true_films(model, FIRST, count)
    states, mask = model.encode_texts([text for text, _ in tries])
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    time_s = (torch.arange(clean.shape[1]) / model.config.fps).expand(count, -1)
    found = {}
    for at in LEVELS:
        level = torch.full(clean.shape[:2], at)
        given = DiTInput(
            video=noise_to(clean, level, noise).to(model.dtype), level=level, time_s=time_s, text=states, text_mask=mask
        )
        made = model.network(given)["video"].float()
        found[f"{at:g}"] = mean_of((made - clean).flatten(1).square().mean(1))
    return found


# Worlds


def world_rows(model: DiTModel, recordings: Recordings, count: int) -> Iterator[dict[str, str]]:
    """One row for each number of steps: held-back stretches stepped with their true actions."""
    fill_recording(model, recordings)
    tracks = recordings.sample_windows(np.random.default_rng(12345), count, START_FRAMES + AHEAD, 0, held_back=True)
    del tracks["task"]
    if not recordings.sensors:
        del tracks["sensors"]
    clean = tracks["video"][:, START_FRAMES:].float()
    other = recordings.sample_windows(np.random.default_rng(54321), count, START_FRAMES + AHEAD, 0, held_back=True)["video"]
    truth = Moments.of(other[:, START_FRAMES + AHEAD // 2 :].float())
    pictures = _pictures(model, clean)
    last = _pictures(model, tracks["video"][:, START_FRAMES - 1 : START_FRAMES].float())[:, 0]
    copied = tracks["video"][:, START_FRAMES - 1 : START_FRAMES].float().expand_as(clean)
    for name, made in (("true frames", clean), ("the last known frame", copied)):
        yield {"made by": name, "distance, frames 33 to 64": distance(made[:, AHEAD // 2 :], truth)}
    for steps in STEPS:
        states = roll(model, tracks, START_FRAMES, tracks["action"], None, recordings.fps, steps)
        made = torch.stack([state.tracks["video"].float() for state in states], 1)
        row = {"made by": f"{steps} steps", "distance, frames 33 to 64": distance(made[:, AHEAD // 2 :], truth)}
        shown = _pictures(model, made)
        for after in SHOWN:
            at = after - 1

            def ratio(which: NDArray[np.int64], at: int = at, shown: NDArray[np.uint8] = shown) -> float:
                error, copy = (changed_error(x[which], pictures[which, at], last[which]) for x in (shown[:, at], last))
                return error / copy

            row[f"of copying, after {after}"] = with_interval(ratio, count)
        yield row


@torch.inference_mode()
def _pictures(model: DiTModel, latents: Tensor) -> NDArray[np.uint8]:
    return np.concatenate([to_uint8(model.autoencoder.decode(row[None])) for row in latents])


def table(rows: list[dict[str, str]]) -> str:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    return "\n".join([*lines, *(f"| {' | '.join(row.get(column, '-') for column in columns)} |" for row in rows)])


def keep(part: str, row: dict[str, str], write: bool) -> None:
    """Print a row, and put it into the page in place of the one of that name."""
    print(row, flush=True)
    if not write:
        return
    path = ROOT / "docs" / "measurements" / "sampler-steps.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    kept.setdefault(part, {})[row["made by"]] = row
    kept["measured"] = f"{date.today()}, {machine()}"
    path.write_text(json.dumps(kept, indent=1) + "\n")
    path.with_suffix(".md").write_text(page(kept))


def page(kept: dict[str, Any]) -> str:
    """docs/measurements/sampler-steps.md"""
    parts = [
        "# Steps of the sampler",
        f"`python -m benchmarks.sampler_steps FILM [--world RUN DATA] --write`, {kept['measured']}",
        "The film model of [own films](own-films.md) and texts that it has not seen. The distance is to other true films, low where"
        " films are as sharp and as varied as these; the energy score is low where films are right and as varied as the truth;"
        f" squared error favors the mean of all that may come, which one step gives. Continued: {KNOWN} frames are known first.",
    ]
    parts += [table(list(kept[part].values())) for part in ("levels", "films") if part in kept]
    if "worlds" in kept:
        parts += [
            "A recorded world: error on changed pixels as a share of that of copying the last known frame, and the distance of what"
            " it shows in the end to what true frames show.",
            table(list(kept["worlds"].values())),
        ]
    return "\n\n".join(parts) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("film", type=Path, help="folder of a model that benchmarks.own_films trained")
    parser.add_argument("--world", type=Path, nargs=2, metavar=("RUN", "DATA"), help="a recorded world and its recording")
    parser.add_argument("--clips", type=int, default=48, help="films of each number of steps (default: 48)")
    parser.add_argument("--guidance", type=float, nargs="*", default=[1.0, 3.0], help="scales; 1 is none (default: 1 3)")
    parser.add_argument("--stretches", type=int, default=16, help="of a world, of each number of steps (default: 16)")
    parser.add_argument("--write", action="store_true", help="write docs/measurements/sampler-steps.md")
    given = parser.parse_args()
    model = load(str(given.film))
    assert isinstance(model, DiTModel)
    errors = errors_by_level(model, given.clips)
    row = {"made by": "the network's estimate", **{f"squared error at level {at}": error for at, error in errors.items()}}
    keep("levels", row | {"n": str(given.clips)}, given.write)
    for row in film_rows(model, given.clips, given.guidance):
        keep("films", row | {"n": str(given.clips)}, given.write)
    if given.world:
        world = load_world(given.world[0])
        env = (world.config.world or {})["env"]
        for row in world_rows(world, recordings_of(world, given.world[1]), given.stretches):
            keep("worlds", row | {"made by": f"{env}, {row['made by']}", "n": str(given.stretches)}, given.write)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
