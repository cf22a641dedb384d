"""What is perceived in true films of many sizes and shapes, and in films as a phone makes them."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from benchmarks.first_light import Frames, cast_of
from benchmarks.sharp.figures import Figure, mean, share
from PIL import Image, ImageFilter

import kinema
from kinema.media import Clip
from kinema.models.hub import Model
from kinema.playground import simulate, tiny
from kinema.playground.renderer import render_scene
from kinema.scene.scene import Scene

SEED = 950_500_000
FRAMES = 16
FPS = 16.0
SHAPES = {"48 px": (48, 48), "64 px": (64, 64), "96 px": (96, 96), "128 px": (128, 128), "256 px": (256, 256)}
SHAPES |= {"16:9, 228x128": (228, 128)}
PHONE = (1280, 720)
CRF = "28"
NOISE = 4.0
"""Standard deviation of a phone's noise, of 255."""
LOST = 5.0


def shown_scenes(count: int, first: int) -> list[Scene]:
    """Fresh episodes of which every thing is in view for a quarter of the frames or more."""
    found: list[Scene] = []
    seed = first
    while len(found) < count:
        scene = simulate(tiny(), seed, fps=FPS, num_frames=32).scene.frames(slice(0, FRAMES))
        if ((scene.visible[:, scene.entities] > 0.5).mean(0) >= 0.25).all():
            found.append(scene)
        seed += 1
    return found


def phone_like(scene: Scene, folder: Path, seed: int) -> Clip:
    """A film as a phone makes it: 1280x720, scaled up, a little blurred and noisy, H.264 at CRF 28, read back from the file."""
    import av

    width, height = PHONE
    small: Frames = np.asarray(render_scene(scene, height=540, width=960))
    rng = np.random.default_rng(seed)
    path = folder / f"{seed}.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=round(scene.fps), options={"crf": CRF, "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in small:
            picture = Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC)
            blurred = np.asarray(picture.filter(ImageFilter.GaussianBlur(1.2)), np.float32)
            noisy = blurred + NOISE * rng.standard_normal(blurred.shape, np.float32)
            noisy = noisy.round().clip(0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noisy, format="rgb24")))
        container.mux(stream.encode())
    return Clip.open(path)


def place_errors(found: Scene, scene: Scene) -> list[float]:
    """Distance in units of each true thing in view from the nearest place among what was found, of its name if there is such."""
    errors = []
    for slot in scene.entities:
        seen = scene.visible[:, slot] > 0.5
        same = [k for k in found.entities if found.name(k) == scene.name(slot)] or found.entities
        apart = [
            float(np.hypot(found.x[seen, k] - scene.x[seen, slot], found.y[seen, k] - scene.y[seen, slot]).mean())
            for k in same
        ]
        errors.append(min(min(apart, default=LOST), LOST))
    return errors


def middle_errors(scene: Scene) -> list[float]:
    """The same for who says that everything is in the middle of the room."""
    middle = 5.0
    return [
        float(np.hypot(scene.x[:, k] - middle, scene.y[:, k] - middle)[scene.visible[:, k] > 0.5].mean())
        for k in scene.entities
    ]


def perceive(model: Model, count: int) -> list[Figure]:
    """Whole cast right, and the error of places, by the size of the film that is shown."""
    scenes = shown_scenes(count, SEED)
    names = [Counter(cast_of(scene)) for scene in scenes]
    usual = Counter(tuple(sorted(name.elements())) for name in names).most_common(1)[0][1] / count
    middle = float(np.mean([error for scene in scenes for error in middle_errors(scene)]))
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        for shape in (*SHAPES, "phone-like, 1280x720"):
            rights, errors = [], []
            for i, scene in enumerate(scenes):
                if shape in SHAPES:
                    width, height = SHAPES[shape]
                    clip = Clip(frames=np.asarray(render_scene(scene, height=height, width=width)), fps=FPS)
                else:
                    clip = phone_like(scene, Path(folder), i)
                found = kinema.perceive(clip, model=model, seed=i)
                rights.append(cast_of(found) == names[i])
                errors.append(float(np.mean(place_errors(found, scene))))
            figures.append(
                Figure(
                    what=f"perceive from {shape}: whole cast right; places off by",
                    measured=f"{share(rights)}; {mean(errors, 'units', 2)}", truth="100%; 0",
                    trivial=f"the most frequent cast {100 * usual:.0f}%; all in the middle {middle:.1f} units",
                )
            )  # fmt: skip
    return figures
