"""How much memory large files take: python -m benchmarks.memory [--write]

Makes a photo of 12 megapixels, four seconds of 4K, one minute and ten minutes of 1080p at 30 frames a second (flat, some
kilobytes each), and runs each command in a process of its own, whose peak of resident memory is read. Masked edits take a mask
of the picture's full size. An upload is what the server's decode process does with it. A command that refuses a file in one line
counts as refused; the bar is 1 GB in either case. --write puts the table into docs/measurements/memory.md.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from benchmarks.autoencoder import machine
from benchmarks.first_light import ROOT
from PIL import Image

MOST = 1e9
LOOP = 300
"""Frames of one group, which long films repeat without being encoded again."""


def film(path: Path, width: int, height: int, frames: int) -> Path:
    """A gray film with a block that moves, at 30 frames a second."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=30, options={"preset": "ultrafast", "g": str(LOOP), "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        packets = []
        for i in range(min(LOOP, frames)):
            planes = np.full((height * 3 // 2, width), 128, np.uint8)
            planes[:height] = 150
            left = 4 * (i // 10) % (width - 200)
            planes[height // 2 : height // 2 + 200, left : left + 200] = 60
            frame = av.VideoFrame.from_ndarray(planes, "yuv420p")
            frame.pts, frame.time_base = i, Fraction(1, 30)
            packets += stream.encode(frame)
        packets += stream.encode()
        held = [(bytes(packet), packet.is_keyframe) for packet in packets]
        for i in range(frames):
            packet = av.Packet(held[i % len(held)][0])
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, i, i, Fraction(1, 30)
            packet.is_keyframe = held[i % len(held)][1]
            container.mux(packet)
    return path


def files(folder: Path) -> dict[str, Path]:
    photo = folder / "photo.jpg"
    y, x = np.mgrid[:3000, :4000]
    Image.fromarray(np.stack([x // 16, y // 12, (x + y) // 28], -1).astype(np.uint8)).save(photo, quality=90)
    return {
        "photo, 4000x3000": photo,
        "3840x2160, 4 s": film(folder / "uhd.mp4", 3840, 2160, 120),
        "1920x1080, 60 s": film(folder / "minute.mp4", 1920, 1080, 1800),
        "1920x1080, 600 s": film(folder / "ten.mp4", 1920, 1080, 18_000),
    }


def commands(file: Path, folder: Path) -> Iterator[tuple[str, list[str]]]:
    cli = [sys.executable, "-m", "kinema.cli.main"]
    out, fast = ["-o", str(folder / "out.mp4"), "--force"], ["--steps", "1", "--candidates", "1"]
    still = file.suffix == ".jpg"
    yield "verify", [*cli, "verify", str(file)]
    yield "perceive", [*cli, "perceive", str(file), "-o", str(folder / "out.json"), "--force"]
    yield "extend", [*cli, "extend", str(file), "--seconds", "0.5", *out, *fast]
    yield "upload", [sys.executable, "-m", "kinema.server.storage.decode", "decode", str(file), "out.npz", str(4096 * 4096),
                     "2000", "archive", "title"]  # fmt: skip
    if still:
        yield "generate --image", [*cli, "generate", "a red ball", "--image", str(file), "--seconds", "0.5", *out, *fast]
        return
    with av.open(str(file)) as container:
        size = (container.streams.video[0].width, container.streams.video[0].height)
    Image.fromarray(np.full((size[1], size[0]), 255, np.uint8)).save(folder / "mask.png")
    yield "edit --mask", [*cli, "edit", str(file), "a red ball", "--mask", str(folder / "mask.png"), *out, *fast]


def peak_of(command: list[str], folder: Path) -> tuple[float, str]:
    """Bytes of resident memory at the peak of a process, and its last line if it refused."""
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    lines = [line for line in process.stdout.read().splitlines() if line.strip()]
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    refused = process.returncode not in (0, 1) or (lines and '"error"' in lines[-1])
    return 1024.0 * usage.ru_maxrss, lines[-1] if refused and lines else ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--only", default="", help="only files or commands whose name holds this")
    arguments = parser.parse_args()
    lines = [
        "# Memory of large files", "",
        f"`python -m benchmarks.memory --write`, {date.today().isoformat()}, {machine()}", "",
        "Peak of resident memory. The bar is 1 GB; a file that is refused in one line counts by the memory that this took.", "",
        "| file | command | peak | |", "|---|---|---|---|",
    ]  # fmt: skip
    worst = 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for what, file in files(folder).items():
            for verb, command in commands(file, folder):
                if arguments.only not in f"{what} {verb}":
                    continue
                peak, refusal = peak_of(command, folder)
                worst = max(worst, peak)
                said = f"refused: {refusal.replace(str(folder), '').strip()[:160]}" if refusal else ""
                lines.append(f"| {what} | {verb} | {peak / 1e9:.2f} GB{' **over**' if peak > MOST else ''} | {said} |")
                print(lines[-1], flush=True)
    if arguments.write:
        (ROOT / "docs" / "measurements" / "memory.md").write_text("\n".join([*lines, ""]))
    return int(worst > MOST)


if __name__ == "__main__":
    sys.exit(main())
