"""How often a call goes up the layers: python -m benchmarks.climbs

Films a prompt with `kinema generate` under a profiler, and counts the places where code of a package calls code of one that lies
above it (tests/test_layers.py has their order), such as a callback. Each pair of a calling module and a called function counts
once.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import Any

from tests.test_layers import LAYERS, ROOT

from kinema.cli.main import main as kinema


def package(frame: FrameType) -> str | None:
    """The package of a frame's code; None if it is not of Kinema."""
    try:
        return Path(frame.f_code.co_filename).relative_to(ROOT).parts[0].removesuffix(".py")
    except ValueError:
        return None


def caller(frame: FrameType) -> FrameType | None:
    """The nearest frame of Kinema's that led to this one."""
    above = frame.f_back
    while above is not None and package(above) not in LAYERS:
        above = above.f_back
    return above


def climbs(arguments: list[str]) -> dict[tuple[str, str], int]:
    """(calling module, called function) of each call from a lower into a higher layer, and how often it was made."""
    found: dict[tuple[str, str], int] = {}

    def watch(frame: FrameType, event: str, _: Any) -> None:
        name = package(frame) if event == "call" else None
        if name not in LAYERS or frame.f_code.co_name in ("<module>", "<genexpr>"):
            return
        before = caller(frame)
        if before is not None and LAYERS.index(package(before) or "") < LAYERS.index(name):
            key = (before.f_globals["__name__"], f"{frame.f_globals['__name__']}.{frame.f_code.co_qualname}")
            found[key] = found.get(key, 0) + 1

    sys.setprofile(watch)
    try:
        kinema(arguments)
    finally:
        sys.setprofile(None)
    return found


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        prompt = "a red ball rolls right and hits a blue box"
        found = climbs(["generate", prompt, "--seconds", "1", "--seed", "1", "-o", f"{folder}/film.mp4"])
    for (below, above), count in sorted(found.items()):
        print(f"{below} -> {above}  ({count} calls)")
    print(f"{len(found)} climbs (bar: at most 8)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
