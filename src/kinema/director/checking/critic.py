"""A second opinion on a take, by a model that looks at pictures behind an OpenAI-compatible endpoint, with a fixed rubric."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np

from kinema.director.checking.results import TakeCheck
from kinema.director.checking.take_report import TakeReport
from kinema.director.endpoint import ChatEndpoint, json_in
from kinema.director.script import Script, Shot
from kinema.errors import EngineError, InputError
from kinema.media import Clip

RUBRIC = {
    "prompt": "the pictures show what the prompt says",
    "cast": "everyone of the cast is there and looks as described, in every picture",
    "continuity": "nothing appears, vanishes or changes its look from picture to picture without a reason",
    "picture": "the pictures are whole: no smears, no broken shapes, no text that nobody asked for",
}
"""Criteria and what a full mark of 4 means."""
PASSING = 2
"""Marks of 0 to 4 from this on pass."""
PICTURES = 6


class Critic:
    """Asks about takes.

    Args:
        endpoint: Where.
        tries: Answers that are asked for at most.
    """

    def __init__(self, endpoint: ChatEndpoint, tries: int = 2) -> None:
        self.endpoint, self.tries = endpoint, tries

    def with_opinion(self, report: TakeReport, script: Script, shot: Shot, clip: Clip) -> TakeReport:
        """A report with the critic's marks as further checks. Raises EngineError: no marks came in so many tries."""
        return TakeReport(results=(*report.results, *self.marks(script, shot, clip)))

    def marks(self, script: Script, shot: Shot, clip: Clip) -> list[TakeCheck]:
        """One result for each criterion of RUBRIC, with the critic's own words."""
        picks = np.linspace(0, clip.num_frames - 1, min(PICTURES, clip.num_frames)).round().astype(int).tolist()
        looks = "; ".join(script.member(id).look for id in shot.cast) or "not said"
        rubric = "\n".join(f"- {name}: {text}" for name, text in RUBRIC.items())
        question = (
            f"These are frames {', '.join(map(str, picks))} of one shot, in order. Prompt: {shot.prompt}. Cast: {looks}.\n"
            f"Mark each criterion from 0 (not at all) to 4 (fully) and say why in one sentence, with a frame number:\n{rubric}\n"
            'Answer with JSON only: {"prompt": {"mark": 3, "why": "..."}, ...}'
        )
        content: list[dict[str, Any]] = [{"type": "text", "text": question}]
        content += [{"type": "image_url", "image_url": {"url": _data_url(clip, int(i))}} for i in picks]
        problem = ""
        for _ in range(self.tries):
            answer = self.endpoint.ask([{"role": "user", "content": content}], _SCHEMA, "marks")
            try:
                return [_result(name, json_in(answer), picks) for name in RUBRIC]
            except InputError as error:
                problem = str(error)
        raise EngineError(
            f"the critic {self.endpoint.model} gave no marks in {self.tries} tries: {problem}", "upstream_failed"
        )


_MARK = {
    "type": "object", "properties": {"mark": {"type": "integer", "minimum": 0, "maximum": 4}, "why": {"type": "string"}},
    "required": ["mark", "why"], "additionalProperties": False,
}  # fmt: skip
_SCHEMA = {
    "type": "object", "properties": dict.fromkeys(RUBRIC, _MARK), "required": list(RUBRIC), "additionalProperties": False,
}  # fmt: skip


def _result(name: str, answer: dict[str, Any], picks: list[int]) -> TakeCheck:
    entry = answer.get(name)
    mark = entry.get("mark") if isinstance(entry, dict) else entry
    if isinstance(mark, bool) or not isinstance(mark, int | float) or not 0 <= mark <= 4:
        raise InputError(f"{name}: mark {mark!r} came, expected 0 to 4")
    why = str(entry.get("why", ""))[:200] if isinstance(entry, dict) else ""
    return TakeCheck(name=f"critic: {name}", passed=mark >= PASSING, saw=f"{mark:g} of 4: {why}", frames=tuple(picks))


def _data_url(clip: Clip, index: int) -> str:
    made = io.BytesIO()
    clip.picture(index).save(made, "PNG")
    return f"data:image/png;base64,{base64.b64encode(made.getvalue()).decode()}"
