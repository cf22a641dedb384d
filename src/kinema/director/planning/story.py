"""Stories as people write them: plain prose, or a screenplay in Fountain (fountain.io/syntax). Both become scenes of beats.

A beat is one sentence of what is seen, with what is spoken in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from kinema.director.script import Cue, DialogueLine, TransitionKind, errors_named
from kinema.errors import InputError

MOST_CHARACTERS = 200_000


@dataclass(kw_only=True)
class Beat:
    """One sentence of what is seen. dialogue: spoken in it; transition: to it; cues: given in it; brought, removed: ids of what
    these bring in and take away."""

    text: str
    dialogue: list[DialogueLine] = field(default_factory=list)
    transition: TransitionKind = "cut"
    cues: list[Cue] = field(default_factory=list)
    brought: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class StoryScene:
    """Beats at one place. heading: 'INT. LAB - NIGHT', or "" in prose."""

    heading: str = ""
    beats: list[Beat] = field(default_factory=list)


@dataclass(kw_only=True)
class Story:
    """What is to be filmed, before it is planned."""

    title: str = "Untitled"
    scenes: list[StoryScene] = field(default_factory=list)

    @property
    def beats(self) -> list[Beat]:
        """The beats of all scenes."""
        return [beat for scene in self.scenes for beat in scene.beats]


def read_story(text: str, *, fountain: bool | None = None) -> Story:
    """A story from its text.

    Args:
        text: Prose, with an empty line between scenes, or a screenplay.
        fountain: Whether it is a screenplay in Fountain. None: if it has a scene heading such as "INT. LAB - NIGHT".

    Returns:
        The story.

    Raises:
        InputError: There is nothing to film in it, or it is too long.
    """
    if len(text) > MOST_CHARACTERS:
        raise InputError(f"a story of {len(text)} characters: expected up to {MOST_CHARACTERS}; film it in parts")
    if fountain is None:
        fountain = any(_HEADING.match(line) for line in text.splitlines())
    with errors_named("the story's dialogue"):
        story = _fountain(text) if fountain else _prose(text)
    story.scenes = [scene for scene in story.scenes if scene.beats]
    if not story.scenes:
        raise InputError('the story holds no sentence to film: expected one such as "A red ball rolls across the lab."')
    return story


_QUOTED = re.compile(r"[\"“]([^\"”]+)[\"”]")
_SAYS = re.compile(r",?\s*\b(?:says|asks|shouts|answers|replies|calls|whispers)\b", re.IGNORECASE)


def _prose(text: str) -> Story:
    story = Story()
    for number, paragraph in enumerate(re.split(r"\n\s*\n", text.strip())):
        title = re.fullmatch(r"#\s*(.+)", paragraph.strip())
        if title and number == 0:
            story.title = title[1].strip()[:200]
            continue
        story.scenes.append(StoryScene(beats=list(_beats(" ".join(paragraph.split())))))
    return story


def _beats(text: str) -> Iterator[Beat]:
    """The sentences of a paragraph; speech alone belongs to the sentence before it."""
    last: Beat | None = None
    for sentence in sentences_of(text):
        spoken = [line.strip(" ,") for line in _QUOTED.findall(sentence)]
        lines = [DialogueLine(text=line, who=_speaker(sentence)) for line in spoken if line]
        rest = " ".join(_SAYS.sub(" ", _QUOTED.sub(" ", sentence)).split()).strip(" ,.")
        if lines and last is not None and len(rest.split()) <= 4:
            last.dialogue += lines
            continue
        last = Beat(text=f"{rest or sentence.strip()}", dialogue=lines)
        yield last


def sentences_of(text: str) -> list[str]:
    """The sentences of a text; what is quoted stays whole."""
    marked = _QUOTED.sub(lambda match: match[0].replace(".", "\0.").replace("!", "\0!").replace("?", "\0?"), text)
    parts = re.split(r"(?<=[.!?])(?<!\0[.!?])\s+", marked)
    return [part.replace("\0", "").strip() for part in parts if part.strip(" .!?")]


def _speaker(sentence: str) -> str:
    """'the robot' of '"Hello," says the robot.'."""
    match = re.search(r"\b(?:says|asks|shouts|answers|replies|calls|whispers)\s+([\w' -]{1,40})", _QUOTED.sub(" ", sentence))
    return match[1].strip() if match else ""


_HEADING = re.compile(r"\s*(?:(?:INT|EXT|EST|INT\./EXT|INT/EXT|I/E)[. ]|\.(?!\.))\s*\S", re.IGNORECASE)
_TITLE_KEY = re.compile(r"([A-Za-z ]+):\s*(.*)")
_CHARACTER = re.compile(r"\s*@?[^a-z\s][^a-z]*(?:\([^)]*\))?\s*\^?\s*")
_TRANSITIONS: tuple[tuple[str, TransitionKind], ...] = (("DISSOLVE", "dissolve"), ("FADE", "fade"), ("CUT", "cut"))


def _fountain(text: str) -> Story:
    """A screenplay. Notes, sections, synopses and the boneyard are left out."""
    text = re.sub(r"/\*.*?\*/|\[\[.*?\]\]", "", text, flags=re.DOTALL).replace("\t", "    ")
    lines = text.split("\n")
    story = Story(scenes=[StoryScene()])
    start = _title_page(lines, story)
    transition: TransitionKind = "cut"
    index = start
    while index < len(lines):
        line = lines[index].strip()
        index += 1
        if not line or line.startswith(("#", "=", "~")):
            continue
        moved = _transition(line)
        if moved is not None:
            transition = moved
        elif _HEADING.match(line):
            story.scenes.append(StoryScene(heading=line.lstrip(".").strip()))
        elif _is_character(lines, index - 1):
            index = _dialogue(lines, index, line, story.scenes[-1])
        else:
            for sentence in sentences_of(line.lstrip("!").strip("> <")):
                story.scenes[-1].beats.append(Beat(text=sentence.strip(" ."), transition=transition))
                transition = "cut"
    return story


def _title_page(lines: list[str], story: Story) -> int:
    """Read "Title: ..." from the top. Returns the first line after it."""
    if not lines or not _TITLE_KEY.match(lines[0]) or _transition(lines[0].strip()):
        return 0
    for number, line in enumerate(lines):
        if not line.strip():
            return number
        match = _TITLE_KEY.match(line)
        if match and match[1].strip().lower() == "title":
            value = match[2].strip() or (lines[number + 1].strip() if number + 1 < len(lines) else "")
            story.title = re.sub(r"[*_]", "", value)[:200] or story.title
    return len(lines)


def _transition(line: str) -> TransitionKind | None:
    forced = line.startswith(">") and not line.endswith("<")
    if not forced and not (line == line.upper() and line.endswith(("TO:", "IN:", "OUT.", "OUT:"))):
        return None
    return next((kind for word, kind in _TRANSITIONS if word in line.upper()), "cut")


def _is_character(lines: list[str], index: int) -> bool:
    """A line in capitals after an empty one and before one that is not."""
    line = lines[index]
    after = index + 1 < len(lines) and bool(lines[index + 1].strip())
    before = index == 0 or not lines[index - 1].strip()
    return (
        before
        and after
        and (line.strip().startswith("@") or bool(_CHARACTER.fullmatch(line)))
        and any(map(str.isalpha, line))
    )


def _dialogue(lines: list[str], index: int, name: str, scene: StoryScene) -> int:
    """Read what a character says. Returns the line after it."""
    who = re.sub(r"\(.*?\)|[@^]", "", name).strip()
    spoken = []
    while index < len(lines) and lines[index].strip():
        line = lines[index].strip()
        if not (line.startswith("(") and line.endswith(")")):
            spoken.append(line)
        index += 1
    if spoken:
        if not scene.beats:
            scene.beats.append(Beat(text=f"{who.capitalize()} speaks"))
        scene.beats[-1].dialogue.append(DialogueLine(who=who.capitalize(), text=" ".join(spoken)[:500]))
    return index
