"""The demo: four clips with the shipped weights, and a page that shows them beside the state the model kept.

Run by `make demo`: python -m kinema.cli.demo [--out out/demo]
"""

from __future__ import annotations

import argparse
import base64
import html
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

import kinema
from kinema.media import Clip
from kinema.models.hub import load_slot_model
from kinema.scene.geometry import FLOOR, ROOM_HEIGHT
from kinema.scene.scene import COLORS, HEX, Scene

STYLE = """
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}
body{max-width:60rem;margin:2rem auto;padding:0 1rem}
section{display:grid;grid-template-columns:repeat(auto-fit,minmax(16rem,1fr));gap:1rem;margin:2rem 0;align-items:start}
video{width:100%;image-rendering:pixelated;border-radius:8px;background:#888}
svg{width:100%;background:#8881;border-radius:8px}h2{grid-column:1/-1;margin:0;font-size:1.1rem}
p{grid-column:1/-1;margin:0;opacity:.75;font-size:.9rem}figure{margin:0}figcaption{font-size:.85rem;opacity:.75}
"""


def paths_svg(scene: Scene) -> str:
    """The state track drawn: each entity's path through the room, and its place over time."""
    parts = []
    for slot in scene.entities:
        name, color = scene.name(slot), HEX[COLORS[scene.color[slot]]]
        points = " ".join(f"{x:.2f},{ROOM_HEIGHT - y:.2f}" for x, y in zip(scene.x[:, slot], scene.y[:, slot], strict=True))
        x, y = scene.x[-1, slot], ROOM_HEIGHT - scene.y[-1, slot]
        shown = html.escape(name)
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width=".12" stroke-linejoin="round"/>'
            f'<circle cx="{x:.2f}" cy="{y:.2f}" r="{scene.size[slot] * 0.5:.2f}" fill="{color}"><title>{shown}</title></circle>'
            f'<text x="{min(max(x, 1), 7.5):.2f}" y="{max(y - 0.7, 0.6):.2f}" font-size=".5" fill="currentColor">{shown}</text>'
        )
    high, low = f"{ROOM_HEIGHT:g}", f"{ROOM_HEIGHT - FLOOR:g}"
    line = f'<line x1="0" x2="{high}" y1="{low}" y2="{low}" stroke="#8888" stroke-width=".05"/>'
    floor = line if scene.view == "side" else ""
    return f'<svg viewBox="0 0 {high} {high}" role="img" aria-label="paths of the entities">{floor}{"".join(parts)}</svg>'


def section(title: str, note: str, clip: Clip, path: Path, seconds: float) -> str:
    """One clip of the page; the video is inside the page, so the page can be sent alone."""
    video = base64.b64encode(path.read_bytes()).decode()
    state = (
        ""
        if clip.state is None
        else f"<figure>{paths_svg(clip.state)}<figcaption>the state track: where the model says things are</figcaption></figure>"
    )
    return (
        f"<section><h2>{html.escape(title)}</h2><figure><video src='data:video/mp4;base64,{video}' controls loop autoplay muted "
        f"playsinline></video><figcaption>{path.name}, {clip.size}, {clip.duration_s:.1f} s at {clip.fps:g} fps, made in "
        f"{seconds:.2f} s</figcaption></figure>{state}<p>{html.escape(note)}</p></section>"
    )


def enlarge(clip: Clip, factor: int = 4) -> Clip:
    """Whole-pixel enlargement, so that players do not blur small pictures."""
    return replace(clip, frames=np.ascontiguousarray(clip.frames.repeat(factor, 1).repeat(factor, 2)))


def make_demo(out: Path, say: Callable[[str], None]) -> Path:
    """Film the four clips and write the page; returns its path."""
    out.mkdir(parents=True, exist_ok=True)
    begun = time.perf_counter()
    model = load_slot_model()
    say(f"{model} loaded in {time.perf_counter() - begun:.1f} s")
    prompt = "a red ball rolls right and hits a blue box"
    first = kinema.generate(prompt, model=model, seconds=4)[0]
    still = kinema.image("a green star and an orange triangle on a field", model=model, seed=4)
    sections = []

    def film(title: str, note: str, name: str, make_clip: Callable[[], Clip]) -> Clip:
        begun = time.perf_counter()
        clip = make_clip()
        seconds = time.perf_counter() - begun
        path = enlarge(clip).save(out / name, force=True)
        sections.append(section(title, note, clip, path, seconds))
        say(f"{path}  {title}  {seconds:.2f} s")
        return clip

    film("Text to video", f"“{prompt}”", "1-text.mp4", lambda: kinema.generate(prompt, model=model, seconds=4)[0])
    film(
        "Image to video", "the first picture is given, made by `kinema image`; the rest is filmed", "2-image.mp4",
        lambda: kinema.generate("the green star rolls right", model=model, seconds=3, image=still)[0],
    )  # fmt: skip
    start = first.cut(slice(0, 24))
    film(
        "A clip extended", "the first 1.5 seconds of clip 1 are given; two more follow", "3-extended.mp4",
        lambda: kinema.extend(start, prompt, model=model, seconds=2),
    )  # fmt: skip
    ends = [(first.cut(slice(i, i + 1)), i / 16) for i in (0, 4, 8, 24, 28, 32)]
    film(
        "A gap filled", "six pictures of clip 1 are given; the film between them is filled in", "4-filled.mp4",
        lambda: kinema.infill(ends, prompt, model=model),
    )  # fmt: skip
    page = out / "index.html"
    page.write_text(
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'><title>Kinema demo"
        f"</title><style>{STYLE}</style><h1>Kinema: four clips by {model.config.name}</h1>"
        f"<p>{model.parameters / 1e6:.1f} million parameters, on this machine, {time.strftime('%Y-%m-%d %H:%M')}.</p>"
        + "".join(sections)
    )
    return page


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m kinema.cli.demo", description="Film four clips and show them on a page."
    )
    parser.add_argument("--out", type=Path, default=Path("out/demo"))
    arguments = parser.parse_args()
    page = make_demo(arguments.out, lambda line: print(line, flush=True))
    print(f"open {page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
