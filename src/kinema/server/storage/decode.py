"""Reads one upload in a process of its own, with limits of memory, time and file size; prints one line of JSON.

python -m kinema.server.storage.decode keep IN OUT MAX_PIXELS MAX_FRAMES        {"width", "height", "frames", "fps"} or {"error"}
python -m kinema.server.storage.decode verify IN MAX_PIXELS MAX_FRAMES ANCHORS  a verdict, or {"error"}
"""

from __future__ import annotations

import json
import resource
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

MEMORY, CPU_S, WRITTEN = 3 << 30, 30, 1 << 30
"""Bytes of address space, seconds of processor time, bytes of a file."""
MOST_BYTES = 512 << 20
"""Of decoded pixels."""


def main() -> int:
    for limit, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CPU, CPU_S), (resource.RLIMIT_FSIZE, WRITTEN)):
        resource.setrlimit(limit, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    what, source = sys.argv[1], Path(sys.argv[2])
    from kinema.errors import KinemaError

    try:
        result = _keep(source, *sys.argv[3:]) if what == "keep" else _verify(source, *sys.argv[3:])
    except KinemaError as error:
        result = {"error": str(error).replace(str(source), "the file")}
    except (MemoryError, OverflowError):
        result = {"error": "the file needs more memory than uploads may take; make it smaller first"}
    print(json.dumps(result))
    return 0


def _keep(source: Path, target: str, pixels: str, frames: str) -> dict[str, Any]:
    from kinema.media import Limits, read
    from kinema.server.storage.artifacts import save_clip

    clip = read(source, Limits(max_pixels=int(pixels), max_frames=int(frames), max_bytes=MOST_BYTES))
    save_clip(Path(target), replace(clip, caption="", settings={}))  # words in a file are nobody's prompt
    height, width = clip.frames.shape[1:3]
    return {"width": width, "height": height, "frames": clip.num_frames, "fps": clip.fps}


def _verify(source: Path, pixels: str, frames: str, anchors: str) -> dict[str, Any]:
    from kinema.media import Limits
    from kinema.provenance import verify

    limits = Limits(max_pixels=int(pixels), max_frames=int(frames), max_bytes=MOST_BYTES)
    verdict: dict[str, Any] = verify(source, anchors=anchors.encode(), limits=limits).to_dict()
    return verdict


if __name__ == "__main__":
    sys.exit(main())
