"""How much memory large files take: python -m benchmarks.memory [--write]

Makes a photo of 12 megapixels, four seconds of 4K, one minute and ten minutes of 1080p at 30 frames a second (flat, some
kilobytes each), and runs each command in a process of its own. Two peaks are read: of all resident memory, and of anonymous
memory, which leaves out what is mapped from files (large films lie in a temporary file, and the system takes those pages back when
it needs them). The bar, 1 GB, holds for the first. Masked edits take a mask of the picture's full size. An upload is what the
server's decode process does with it. A command that refuses a file in one line counts as refused. --write puts the table into
docs/measurements/memory.md, row by row. Perceiving and editing 1,800 and 18,000 frames takes long on a processor: only with --long.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
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
POLL_S = 0.01
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


def commands(file: Path, folder: Path, *, slow: bool) -> Iterator[tuple[str, list[str]]]:
    """Names and command lines of what is done with a file. slow: also what makes every frame of a film anew."""
    cli = [sys.executable, "-m", "kinema.cli.main"]
    out, fast = ["-o", str(folder / "out.mp4"), "--force"], ["--steps", "1", "--candidates", "1"]
    still = file.suffix == ".jpg"
    yield "verify", [*cli, "verify", str(file)]
    if slow:
        yield "perceive", [*cli, "perceive", str(file), "-o", str(folder / "out.json"), "--force"]
    yield "extend", [*cli, "extend", str(file), "--seconds", "0.5", *out, *fast]
    yield "upload", [sys.executable, "-m", "kinema.server.storage.decode", "decode", str(file), "out.npz", str(4096 * 4096),
                     "2000", "archive", "title"]  # fmt: skip
    if still:
        yield "generate --image", [*cli, "generate", "a red ball", "--image", str(file), "--seconds", "0.5", *out, *fast]
        return
    if not slow:
        return
    with av.open(str(file)) as container:
        size = (container.streams.video[0].width, container.streams.video[0].height)
    Image.fromarray(np.full((size[1], size[0]), 255, np.uint8)).save(folder / "mask.png")
    yield "edit --mask", [*cli, "edit", str(file), "a red ball", "--mask", str(folder / "mask.png"), *out, *fast]


def peaks_of(command: list[str], folder: Path) -> tuple[float, float, str]:
    """Bytes of resident memory and of anonymous memory at the peaks of a process, and its last line if it refused. Both are read
    each POLL_S; the first is a peak that the system counts. (`ru_maxrss` would count this process too, as its parent.)"""
    with (folder / "output.txt").open("w") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
        resident = anonymous = 0.0
        while True:
            pid, status = os.waitpid(process.pid, os.WNOHANG)
            if pid:
                break
            for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
                name, _, value = line.partition(":")
                if name == "VmHWM":
                    resident = max(resident, 1024.0 * int(value.split()[0]))
                elif name == "RssAnon":
                    anonymous = max(anonymous, 1024.0 * int(value.split()[0]))
            time.sleep(POLL_S)
    process.returncode = os.waitstatus_to_exitcode(status)
    lines = [line for line in (folder / "output.txt").read_text().splitlines() if line.strip()]
    refused = process.returncode not in (0, 1) or (lines and '"error"' in lines[-1])
    return resident, anonymous, lines[-1] if refused and lines else ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--only", default="", help="only files or commands whose name holds this")
    parser.add_argument("--long", action="store_true", help="also perceive and edit the long films (an hour and more)")
    arguments = parser.parse_args()
    lines = [
        "# Memory of large files", "",
        f"`{' '.join(['python -m benchmarks.memory', *sys.argv[1:]])}`, {date.today()}, {machine()}, one run each (n = 1)", "",
        "Peaks of resident memory, and of anonymous memory: without pages that are mapped from files, which the system takes back"
        " when it needs them. The bar is 1 GB for the first; a file that is refused in one line counts by the memory that this"
        " took. `perceive` and `edit` of the long films run only with `--long`.", "",
        "| file | command | resident | anonymous | |", "|---|---|---|---|---|",
    ]  # fmt: skip
    worst = 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for what, file in files(folder).items():
            slow = arguments.long or file.stem in ("photo", "uhd")
            for verb, command in commands(file, folder, slow=slow):
                if arguments.only not in f"{what} {verb}":
                    continue
                peak, anonymous, refusal = peaks_of(command, folder)
                worst = max(worst, peak)
                over = " **over**" if peak > MOST else ""
                said = f"refused: {refusal.replace(str(folder), '').strip()[:160]}" if refusal else ""
                lines.append(f"| {what} | {verb} | {peak / 1e9:.2f} GB{over} | {anonymous / 1e9:.2f} GB | {said} |")
                print(lines[-1], flush=True)
                if arguments.write:
                    (ROOT / "docs" / "measurements" / "memory.md").write_text("\n".join([*lines, ""]))
    return int(worst > MOST)


if __name__ == "__main__":
    sys.exit(main())
