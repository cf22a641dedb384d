"""play: step into a world in the terminal, drawn in true-color half blocks; works over SSH."""

from __future__ import annotations

import argparse
import os
import select
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kinema.cli.options import add_model, add_size, model_from, number, options
from kinema.errors import InputError
from kinema.types import path_exists

if TYPE_CHECKING:
    from kinema.envs.recorded import RecordedWorld
    from kinema.simulation.world import World

KEYS = {
    "\x1b[D": (-1.0, 0.0), "\x1b[C": (1.0, 0.0), "\x1b[A": (0.0, 1.0), "\x1b[B": (0.0, -1.0),
    "a": (-1.0, 0.0), "d": (1.0, 0.0), "w": (0.0, 1.0), "s": (0.0, -1.0),
}  # fmt: skip
HELP = (
    "arrows or wasd act (0-9, A-Z for 10 on in a recorded world) · p pause · b branch · n next branch · r rewind a second"
    " · / ask or change · q quit"
)
FPS = 16.0
HELD_S = 0.25
"""A terminal tells when a key goes down, not when it comes up: an action lasts this long after its last key."""
MOST_ROWS = 48
MOST_OF_A_PATH = 200
"""Characters; what is longer is words."""
ENDINGS = (".mp4", ".mov", ".webm", ".gif", ".png", ".jpg", ".jpeg")


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "play", help="step into a world", description=f"Step into a world in the terminal. Keys: {HELP}."
    )
    parser.add_argument(
        "start", nargs="?", default="", help="words, a picture, a clip, a state, a saved world, or a model's name or folder"
    )
    add_model(parser, "steps of the plan of the first frame (default: 16) and of every frame after it (default: 1)")
    add_size(parser, "that of the clip it starts from, else the model's own")
    parser.add_argument("--fps", type=number, default=None, help=f"frames a second (default: {FPS:g})")
    parser.add_argument(
        "--task",
        default=None,
        help="what the robot is rewarded for, such as 'reach the flag'; of a recorded world one of its tasks",
    )
    parser.add_argument("--save", type=Path, default=None, help="write the world here when leaving")
    parser.add_argument("--force", action="store_true", help="let --save overwrite what is there")
    parser.set_defaults(run=run)


PLAN = ("candidates", "guidance", "strict")
"""Options of the plan of a world's first frame, which only a world from words has."""
GIVEN = ("size", "fps", "task", "steps", *PLAN)
"""Options that a saved or recorded world brings along."""


def refuse_unused(arguments: argparse.Namespace, names: Sequence[str], world: str) -> None:
    """InputError if an option was given that has no effect on this kind of world."""
    given = [
        f"--{name}" for name in names if getattr(arguments, name, None) is not None and getattr(arguments, name) is not False
    ]
    if given:
        raise InputError(
            f"{' and '.join(given)} cannot be changed for {world}; leave {'them' if len(given) > 1 else 'it'} out"
        )


def refuse_several(path: Path, worlds: Sequence[Path], advice: str) -> None:
    """InputError where a folder holds several recorded worlds, with advice that ends before the folder of one of them."""
    if len(worlds) > 1:
        names = ", ".join(folder.name for folder in worlds)
        raise InputError(f"{path} holds several worlds: {names}; {advice} {worlds[0]}")


def begin_recorded(arguments: argparse.Namespace) -> RecordedWorld | None:
    """The recorded world that the command line names, by its folder, or by words or a picture with --model; None: it names none."""
    from kinema.envs.starts import world_folders, world_from
    from kinema.media import Clip

    path = Path(arguments.start)
    own = (
        world_folders(path)
        if arguments.start and len(arguments.start) < MOST_OF_A_PATH and path_exists(path) and path.is_dir()
        else []
    )
    folders = own or (world_folders(Path(arguments.model)) if arguments.model else [])
    if not folders or (path.suffix in (".kinema", ".world") and path_exists(path) and path.is_file()):
        return None
    from kinema.envs.recorded import RecordedWorld

    fixed = ("size", "fps", *PLAN)
    refuse_unused(arguments, ("model", *fixed) if own else fixed, "a recorded world")
    if own:
        refuse_several(path, own, "step into one: kinema play")
        start, folder, task = None, own[0], None
    else:
        start = Clip.open(path) if path.suffix.lower() in ENDINGS else None
        folder, task = world_from(folders, arguments.start if start is None else start)
    return RecordedWorld(
        folder, start=start, seed=arguments.seed, task=arguments.task or task, steps=arguments.steps or 1,
        device=arguments.device,
    )  # fmt: skip


def begin(arguments: argparse.Namespace) -> World | RecordedWorld:
    """The world that the command line names."""
    from kinema.media import Clip
    from kinema.models.hub import available_models
    from kinema.scene.scene import Scene
    from kinema.simulation.world import World

    start, path = arguments.start, Path(arguments.start)
    recorded = begin_recorded(arguments)
    if recorded is not None:
        return recorded
    if len(start) < MOST_OF_A_PATH and "\n" not in start:
        if start and path_exists(path / "meta" / "info.json"):
            raise InputError(f"{path} is a recording; train a world of it first: kinema train world --data {path}")
        if path.suffix in (".kinema", ".world") or (
            path_exists(path) and path.is_file() and path.suffix.lower() not in (*ENDINGS, ".json")
        ):
            from kinema.envs.recorded import RecordedWorld
            from kinema.simulation.checkpoint import saved_kind

            kind = saved_kind(path)
            refuse_unused(arguments, GIVEN, "a saved world")
            if kind == "dream":
                return RecordedWorld.open(path, model=arguments.model, device=arguments.device)
            return World.open(path, model=arguments.model, device=arguments.device)
        if start in available_models() or path_exists(path / "config.json"):
            arguments.model, start = start, ""
    given: str | Clip | Scene = start
    if path.suffix.lower() in ENDINGS:
        given = Clip.open(path)
    elif path.suffix == ".json":
        try:
            given = Scene.from_json(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            raise InputError(f"{path} cannot be read; expected a state that `kinema perceive` writes") from None
    if not isinstance(given, str):
        refuse_unused(arguments, PLAN, "a world that does not start from words")
    steps = 1 if arguments.steps is None else arguments.steps
    return World(
        model_from(arguments),
        given,
        seed=arguments.seed,
        fps=FPS if arguments.fps is None else arguments.fps,
        size=arguments.size,
        task=arguments.task,
        steps=steps,
        options=options(arguments),
        strict=arguments.strict,
    )


def half_blocks(frame: NDArray[np.uint8], columns: int, rows: int) -> str:
    """A picture uint8 [H, W, 3] as lines of characters, each two pixels high, at most columns x rows."""
    height, width = frame.shape[:2]
    scale = min(columns / width, 2 * rows / height)
    wide, high = max(int(width * scale), 1), max(int(height * scale) // 2 * 2, 2)
    down, across = (np.arange(high) * height // high), (np.arange(wide) * width // wide)
    small = frame[down][:, across]
    lines = []
    for top, bottom in zip(small[::2], small[1::2], strict=True):
        cells = (
            f"\x1b[38;2;{a[0]};{a[1]};{a[2]}m\x1b[48;2;{b[0]};{b[1]};{b[2]}m▀" for a, b in zip(top, bottom, strict=True)
        )
        lines.append("".join(cells) + "\x1b[0m")
    return "\r\n".join(lines)


def split_keys(text: str) -> list[str]:
    """What was typed, arrow keys as one."""
    keys, i = [], 0
    while i < len(text):
        length = 3 if text[i : i + 3] in KEYS else 1
        keys.append(text[i : i + length])
        i += length
    return keys


class Play:
    """What keys do; drawing and reading are around it."""

    def __init__(self, world: World | RecordedWorld) -> None:
        from kinema.envs.controls import CHOICE_KEYS
        from kinema.envs.recorded import RecordedWorld

        self.numbered = isinstance(world, RecordedWorld)
        self.choice_keys = CHOICE_KEYS if self.numbered else ""
        """Keys that act by one of N actions of a recorded environment."""
        self.worlds: list[World | RecordedWorld] = [world]
        self.which = 0
        self.paused, self.done, self.typed = False, False, ""
        self.typing = False
        self.message = HELP
        self.action: Sequence[float] | int | None = None
        self.acted_at = 0.0
        self.model_ms = 0.0

    @property
    def world(self) -> World | RecordedWorld:
        return self.worlds[self.which]

    def key(self, key: str, now: float) -> None:
        """One key."""
        if self.typing:
            self._type(key)
        elif key in KEYS:
            self.action, self.acted_at = self.arrow(*KEYS[key]), now
        elif key in self.choice_keys:
            self.action, self.acted_at = self.choice_keys.index(key), now
        elif key == "p":
            self.paused = not self.paused
            self.message = "paused" if self.paused else HELP
        elif key == "b":
            self.worlds.append(self.world.branch())
            self.which = len(self.worlds) - 1
            self.message = f"branch {self.which + 1}; n goes to the next"
        elif key == "n":
            self.which = (self.which + 1) % len(self.worlds)
            self.message = f"branch {self.which + 1} of {len(self.worlds)}"
        elif key == "r":
            back = min(round(self.world.fps), self.world.past_frames)
            self.world.rewind(back)
            self.message = f"back by {back} frames"
        elif key == "/":
            self.typing, self.typed = True, ""
        elif key in ("q", "\x03", "\x04"):
            self.done = True

    def arrow(self, right: float, up: float) -> Sequence[float]:
        """The action of an arrow, one of two numbers from -1 to 1; of a recorded environment with a box of numbers, which may have
        other edges, as the Studio and the browser have it."""
        from kinema.envs.controls import ARROWS, chosen_action, key_actions
        from kinema.envs.recorded import RecordedWorld

        if not isinstance(self.world, RecordedWorld) or self.world.action_spec["type"] != "box":
            return right, up
        spec, name = self.world.action_spec, ARROWS[0][right > 0] if right else ARROWS[1][up > 0]
        numbers: list[float] = np.ravel(key_actions(spec).get(name, chosen_action(spec, None))).tolist()
        return numbers

    def _type(self, key: str) -> None:
        if key in ("\r", "\n"):
            self.typing = False
            self.message = self.say(self.typed)
        elif key == "\x1b":
            self.typing = False
        elif key in ("\x7f", "\b"):
            self.typed = self.typed[:-1]
        elif key.isprintable():
            self.typed += key

    def say(self, text: str) -> str:
        """Ask a question, or try the text as an edit. Returns the answer."""
        first = text.strip().lower().split(" ")[0] if text.strip() else ""
        try:
            if not first:
                return HELP
            if first in ("where", "how", "what", "which", "is", "did", "when", "who", "can") or text.strip().endswith("?"):
                return self.world.ask(text).sentence
            return f"done: {self.world.edit(text)}"
        except InputError as error:
            return str(error)

    def go(self, now: float) -> None:
        """One frame, unless paused or typing."""
        if self.paused or self.typing:
            return
        action = self.action if now - self.acted_at < HELD_S else (0.0, 0.0)
        begun = time.perf_counter()
        self.world._advance(1, action)
        self.model_ms = 1000 * (time.perf_counter() - begun)

    def screen(self, columns: int, rows: int, frame_ms: float) -> str:
        """The picture and two lines below it."""
        world = self.world
        picture = half_blocks(world.frame, columns, max(min(rows - 3, MOST_ROWS), 2))
        reward = f"  reward {world.reward:+.2f}{'  done' if world.terminated else ''}" if world.task or self.numbered else ""
        status = f"{world.time_s:6.2f} s  frame {frame_ms:.0f} ms, model {self.model_ms:.0f} ms{reward}"
        line = f"/{self.typed}_" if self.typing else self.message
        return f"\x1b[H{picture}\r\n{status[:columns]}\x1b[K\r\n{line[:columns]}\x1b[K\x1b[J"


@contextmanager
def raw_terminal() -> Iterator[None]:
    """Keys as they come and no cursor; everything as it was afterwards."""
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setraw(sys.stdin)
        sys.stdout.write("\x1b[?1049h\x1b[?25l\x1b[2J")
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
        sys.stdout.write("\x1b[0m\x1b[?25h\x1b[?1049l")
        sys.stdout.flush()


def run(arguments: argparse.Namespace) -> int:
    from kinema.media.write import check_free

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InputError("play needs a terminal to read keys from and to draw in; use kinema.World in a program")
    if arguments.save is not None and arguments.save.parent.is_dir():
        check_free(arguments.save, force=arguments.force)
    game = Play(begin(arguments))
    period, frame_ms = 1.0 / game.world.fps, 0.0
    with raw_terminal():
        while not game.done:
            begun = time.monotonic()
            game.go(begun)
            size = shutil.get_terminal_size()
            sys.stdout.write(game.screen(size.columns, size.lines, frame_ms))
            sys.stdout.flush()
            frame_ms = 1000 * (time.monotonic() - begun)
            while not game.done:
                left = begun + period - time.monotonic()
                ready = select.select([sys.stdin], [], [], max(left, 0.0))[0]
                if not ready:
                    break
                typed = os.read(sys.stdin.fileno(), 1024)
                game.done = not typed
                for key in split_keys(typed.decode(errors="ignore")):
                    game.key(key, time.monotonic())
    if arguments.save is not None:
        print(game.world.save(arguments.save, force=arguments.force))
    return 0
