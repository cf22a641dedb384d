"""Other words for one shot of a script: its events and its cast are planned anew by the grammar."""

from __future__ import annotations

from collections.abc import Sequence

from kinema.director.planning.cues import cue_of
from kinema.director.planning.grammar import NamedThing, NamedThings, events_of, member_of
from kinema.director.planning.story import sentences_of
from kinema.director.script import Cue, ExpectedEvent, Script, Shot

MOST_BESIDE = 4
"""Members of the cast up to which those stay in a shot that its new words do not name, but the shots beside it do."""


def reworded(script: Script, shot: str, prompt: str) -> tuple[Script, tuple[str, ...]]:
    """A script with other words for a shot.

    Args:
        script: The script.
        shot: Id of the shot.
        prompt: Its new words.

    Returns:
        The script, whose shot has the events and the cast of the new words; and notes. Where the words are not understood, or the
        cast has no identities, the shot keeps its cast and has no events, which is noted.

    Raises:
        InputError: There is no such shot.
    """
    old = script.shots[script.index_of(shot)]
    memory = _memory_of(script, old)
    known = set(memory.things)
    events: list[ExpectedEvent] = []
    involved: list[str] = []
    lost: list[str] = []
    cues: list[Cue] = []
    texts: list[str] = []
    for sentence in sentences_of(prompt) if memory.things else ():
        if events and (planned := cue_of(sentence, memory, cues, old.seconds)) is not None:
            cues.append(planned.cue)
            involved += planned.named
            continue
        texts.append(sentence)
        understood, named, unclear = events_of(sentence, memory)
        events, involved, lost = events + understood, involved + named, lost + unclear
    taken = {member.id for member in script.cast} - known
    if not events or taken & set(involved):
        return _without_events(script, old, prompt)
    if cues:
        prompt = " ".join(texts)
    cast = tuple(dict.fromkeys(involved))
    cast += tuple(id for id in _beside(script, old) if id not in cast)[: max(MOST_BESIDE - len(cast), 0)]
    members = tuple(member_of(memory.things[id]) for id in cast if id not in known)
    update = {"prompt": prompt, "events": tuple(events), "cast": cast, "cues": tuple(cues)}
    shot_again = old.model_copy(update=update)
    removed = ["its cues are gone: the new words have none"] if old.cues and not cues else []
    notes = [*memory.notes, *removed, *(f"no event is understood in {clause!r}; it is not checked" for clause in lost)]
    return script.model_copy(update={"cast": (*script.cast, *members)}).with_shot(shot_again), tuple(notes)


def _without_events(script: Script, old: Shot, prompt: str) -> tuple[Script, tuple[str, ...]]:
    notes = ("its events are no longer checked: none is understood in its new words",) if old.events else ()
    if old.cues:
        notes = (*notes, "its cues are gone: the new words have none")
    return script.with_shot(old.model_copy(update={"prompt": prompt, "events": (), "cues": ()})), notes


def _memory_of(script: Script, shot: Shot) -> NamedThings:
    """The cast with identities, as a story would have named it before the shot; that of the shot last."""
    memory = NamedThings()
    for member in sorted(script.cast, key=lambda member: member.id in shot.cast):
        one = member.identity
        if one is not None:
            memory.things[member.id] = NamedThing(
                id=member.id, kind=one.kind, color=one.color, material=one.material, size=one.size
            )
    first: Sequence[str] = [event.who for event in shot.events] or shot.cast
    memory.last = next((id for id in first if id in memory.things), None)
    return memory


def _beside(script: Script, shot: Shot) -> list[str]:
    """Who of a shot's cast is also in the shot that it goes on from, or in one that goes on from it: they stay where they are."""
    others = [one for one in script.shots if one.goes_on_from == shot.id or one.id == shot.goes_on_from]
    coming = {
        (one.id, event.who)
        for one in others
        if one.goes_on_from == shot.id
        for event in one.events
        if event.kind == "enters"
    }
    seen = {id for one in others for id in one.cast if (one.id, id) not in coming}
    return [id for id in shot.cast if id in seen]
