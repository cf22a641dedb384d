"""The fenced blocks of a page: read with their marks, and run as a reader would, in one folder and from the top.

A comment right above a block says what is special about it:
    <!-- not run: WHY -->               needs what a test cannot have
    <!-- slow[, --OPTION VALUE]: WHY -->  run by `make test-slow`, with these values of options where it has them
    <!-- refused: WORD -->              each line ends with an error that names the word
"""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinema.cli.main import main
from kinema.media import Clip

MARK = re.compile(r"<!-- (not run|slow|refused)((?:,? --\w+ \S+?)*): (.+) -->")
ADDRESS, KEY = "http://127.0.0.1:8000", "kinema_..."
Looked = Callable[[str, Clip], None]
"""Called with the prompt and the clip of every film that a page makes from words."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """One fenced block. section: heading above it; kind: "", "not run", "slow" or "refused"; options: what is run instead."""

    section: str
    language: str
    text: str
    line: int
    kind: str = ""
    options: tuple[str, ...] = ()
    why: str = ""

    @property
    def commands(self) -> list[list[str]]:
        """The lines of a shell block as words, with the options of its mark."""
        lines = [shlex.split(line, comments=True) for line in self.text.replace("\\\n", " ").splitlines()]
        given = dict(zip(self.options[::2], self.options[1::2], strict=True))
        return [
            [given.get(before, word) for before, word in zip(["", *words], words, strict=False)] for words in lines if words
        ]


def blocks_of(page: Path) -> list[Block]:
    """The fenced blocks of a page in order."""
    blocks, section, above = [], "", ""
    lines = iter(enumerate(page.read_text(encoding="utf-8").splitlines(), 1))
    for number, line in lines:
        if line.startswith("#"):
            section = line.lstrip("# ")
        if line.startswith("```"):
            text = []
            for _, inside in lines:
                if inside.startswith("```"):
                    break
                text.append(inside)
            mark = MARK.fullmatch(above)
            kind, options, why = (mark[1], tuple(mark[2].strip(", ").split()), mark[3]) if mark else ("", (), "")
            made = "\n".join(text)
            language = line[3:].strip()
            blocks.append(
                Block(section=section, language=language, text=made, line=number, kind=kind, options=options, why=why)
            )
        above = line
    return blocks


class Reader:
    """Runs blocks in the current folder: shell lines one by one, Python in one namespace a section.

    looked: called with every film that is made from words. A server that a block starts runs until `close`.
    """

    def __init__(self, looked: Looked) -> None:
        self.looked = looked
        self.ran: list[int] = []
        """Lines of the blocks that ran to their end."""
        self.names: dict[str, dict[str, Any]] = {}
        self.server: subprocess.Popen[str] | None = None
        self.address, self.key = ADDRESS, KEY

    def run(self, block: Block) -> None:
        if block.language == "python":
            self.python(block)
        if block.language == "toml":
            self.settings(block)
        for words in block.commands if block.language == "sh" else []:
            self.shell(words, block)
        self.ran.append(block.line)

    def python(self, block: Block) -> None:
        """Execute, and compare what `# prints TEXT` says with what was printed."""
        names = self.names.setdefault(block.section, {})
        text = block.text.replace(ADDRESS, self.address).replace(KEY, self.key)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(text, f"line {block.line}", "exec"), names)
        for expected in re.findall(r"# prints (.+)$", block.text, re.MULTILINE):
            assert expected in printed.getvalue().splitlines(), f"expected {expected}: {printed.getvalue()}"
        prompts = re.findall(r'kinema\.generate\("([^"]+)"', block.text)
        if prompts and isinstance(names.get("clip"), Clip):
            self.looked(prompts[-1], names["clip"])

    def shell(self, words: list[str], block: Block) -> None:
        assert words[0] == "kinema", f"line {block.line}: {words[0]} is no command of Kinema; mark the block"
        if words[1] == "serve":
            return self.serve(words[2:])
        if words[1] == "play":
            return play(words[2:])
        told = io.StringIO()
        with contextlib.redirect_stderr(told), contextlib.redirect_stdout(io.StringIO()):
            code = main(words[1:])
        if block.kind == "refused":
            assert code == 2 and block.why in told.getvalue(), told.getvalue()
            return None
        assert code == 0, f"line {block.line}: {' '.join(words)}: {told.getvalue()}"
        output = Path(words[words.index("-o") + 1]) if "-o" in words else None
        assert output is None or output.exists()
        if words[1] in ("generate", "image", "edit") and output is not None and "--from" not in words:
            self.looked(next(word for word in words[2:] if " " in word), Clip.open(output))
        return None

    def settings(self, block: Block) -> None:
        """A file of settings is one that the server takes, with each of its lines."""
        file = Path("settings.toml")
        file.write_text(block.text)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            assert main(["serve", "--config", str(file), "--show-settings"]) == 0
        for name in tomllib.loads(block.text):
            assert re.search(rf"{name} .*{re.escape(str(file))}", printed.getvalue()), printed.getvalue()

    def serve(self, options: list[str]) -> None:
        """Start the server on a free port; its key is in the folder, since nobody reads it on a terminal."""
        command = [sys.executable, "-m", "kinema.cli.main", "serve", *options, "--port", "0"]
        self.server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.server.stdout is not None
        for line in self.server.stdout:
            if found := re.search(r"http://[\d.]+:\d+", line):
                self.address = found[0]
                break
        else:
            raise AssertionError(f"the server ended with status {self.server.wait()}")
        self.key = Path("kinema-data/first-key").read_text().strip()

    def close(self) -> None:
        if self.server is not None:
            self.server.terminate()
            assert self.server.wait(60) in (0, -signal.SIGTERM)
            assert self.server.stdout is not None
            self.server.stdout.close()


def play(options: list[str], seconds: float = 120.0) -> None:
    """`kinema play` in a terminal of its own, until it draws; then q."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "kinema.cli.main", "play", *options]
    game = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    end, drawn = time.monotonic() + seconds, b""
    try:
        while game.poll() is None and time.monotonic() < end:
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    drawn += os.read(ours, 65536)
                except OSError:
                    break
            if "▀".encode() in drawn:
                os.write(ours, b"q")
        assert "▀".encode() in drawn, drawn.decode(errors="replace")
        assert game.wait(20) == 0
    finally:
        game.kill()
        os.close(ours)
