"""Every fenced block of README and of the pages for users runs as it stands, and films show what their prompts say."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import make_scene
from tests.docs.blocks import Block, Reader, blocks_of

from kinema.evaluation.cases import true_frames
from kinema.evaluation.tasks.prompts import read_identities
from kinema.media import Clip
from kinema.playground.parser import ParsedObject, parse_clip
from kinema.scene.scene import COLORS, KINDS

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/index.md", "docs/tutorial.md", "docs/serving.md", "docs/curation.md")
SHOWN = ("text", "bibtex")
"""Languages of blocks that are read, not run."""
NOT_RUN = {"README.md": 5, "docs/index.md": 0, "docs/tutorial.md": 5, "docs/serving.md": 2, "docs/curation.md": 2}
"""How many blocks of a page may stay unrun; each says why."""
NAME = re.compile(rf"\b({'|'.join(COLORS)}) ({'|'.join(KINDS)})s?\b")


def moves(prompt: str) -> str:
    """The way in which the first object of a prompt goes all the time, or nothing."""
    first = re.split(r"\||hits|,", prompt)[0]
    found = re.findall(r"(?:rolls|slides|drives|walks|moves) (right|left)", first)
    return found[0] if found and "|" not in prompt else ""


def paths(prompt: str, clip: Clip) -> list[np.ndarray]:
    """x, y and size of the objects that the prompt names, in twelve frames, NaN where the parser does not find one [12, 3]."""
    picks = np.linspace(0, clip.num_frames - 1, 12).round().astype(int)
    frames = parse_clip(clip.frames[picks])

    def found(name: tuple[str, str], frame: list[ParsedObject]) -> tuple[float, float, float]:
        one = next((o for o in frame if (o.color, o.kind) == name), None)
        return (one.x, one.y, one.size) if one else (np.nan, np.nan, np.nan)

    return [np.array([found(name, frame) for frame in frames]) for name in dict.fromkeys(NAME.findall(prompt))]


def looked(prompt: str, clip: Clip) -> None:
    """The parser, which is no network, finds what the prompt names; it goes where the prompt says, and hits what it should."""
    wanted = Counter(" ".join(name) for name in dict.fromkeys(NAME.findall(prompt)))
    assert read_identities(clip.frames) >= wanted, f"{prompt}: {read_identities(clip.frames)}"
    if clip.num_frames == 1:
        return
    path = paths(prompt, clip)
    if way := moves(prompt):
        x = path[0][:, 0][~np.isnan(path[0][:, 0])]
        furthest = (x - x[0]).max() if way == "right" else (x[0] - x).max()
        back = (x[0] - x).max() if way == "right" else (x - x[0]).max()
        assert furthest > 0.5 and furthest > 2 * back, f"{prompt}: {x}"
    if " falls" in prompt:
        assert path[0][0, 1] - np.nanmin(path[0][:, 1]) > 0.5, f"{prompt}: {path[0][:, 1]}"
    if " hits " in prompt and "|" not in prompt:
        gap = np.hypot(*(path[0] - path[1])[:, :2].T) - path[0][:, 2] - path[1][:, 2]
        assert np.nanmin(gap) < 0.3, f"{prompt}: {gap}"


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KINEMA_CACHE", str(tmp_path / "cache"))
    one = Reader(looked)
    yield one
    one.close()


@pytest.mark.parametrize("page", PAGES)
def test_every_block_runs_or_says_why_not(page: str) -> None:
    blocks = blocks_of(ROOT / page)
    assert {block.language for block in blocks} <= {"sh", "python", "toml", *SHOWN}
    for block in blocks:
        lonely = f"{page}, line {block.line}: a block that is not run says why"
        assert block.kind != "not run" or len(block.why.split()) > 3, lonely
    assert sum(block.kind == "not run" for block in blocks) == NOT_RUN[page]
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(), flags=re.DOTALL | re.MULTILINE)
    assert not re.search(r"\n\n    \S", text), f"{page} has an indented block, which no test would run"
    marks = re.findall(r"<!-- (?:not run|slow|refused)", text)
    assert len(marks) == sum(bool(block.kind) for block in blocks), "a mark that stands above no block, or cannot be read"


@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_run(page: str, reader: Reader) -> None:
    wanted = [block for block in blocks_of(ROOT / page) if block.kind in ("", "refused")]
    for block in wanted:
        reader.run(block)
    assert reader.ran == [block.line for block in wanted]


def slow() -> list[tuple[str, Block]]:
    return [(page, block) for page in PAGES for block in blocks_of(ROOT / page) if block.kind == "slow"]


@pytest.mark.slow
@pytest.mark.parametrize(("page", "block"), slow(), ids=lambda one: one if isinstance(one, str) else f"line {one.line}")
def test_a_slow_block_runs(page: str, block: Block, reader: Reader) -> None:
    reader.run(block)
    assert reader.ran == [block.line]


def test_a_film_of_something_else_is_seen() -> None:
    clip = Clip(frames=np.full((8, 64, 64, 3), 120, np.uint8), fps=16.0)
    with pytest.raises(AssertionError, match="a red ball"):
        looked("a red ball rolls right", clip)


def test_a_film_of_the_opposite_is_seen() -> None:
    clip = Clip(frames=true_frames(make_scene(12)), fps=16.0)
    looked("a red ball rolls right", clip)
    with pytest.raises(AssertionError, match="rolls left"):
        looked("a red ball rolls left", clip)
    with pytest.raises(AssertionError, match="hits"):
        looked("a red ball rolls right and hits a blue box", clip)


def test_marks_are_read(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One\n<!-- slow, --minutes 0.2 --episodes 8: because -->\n```sh\nkinema a --minutes 15 -o b  # c\n```\n"
        "```python\n1\n```\n"
    )
    one, two = blocks_of(page)
    assert one.commands == [["kinema", "a", "--minutes", "0.2", "-o", "b"]] and one.why == "because" and one.section == "One"
    assert two.language == "python" and not two.kind and two.text == "1"
