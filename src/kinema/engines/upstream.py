"""Another server with `/v1/videos` as an engine: it films, this machine keeps the job.

That a video is asked for, and its id there, are written down (`kinema.engines.ledger`) before anything else happens, so that a
worker that takes over after a crash goes on waiting for the same video. A video is asked for twice only where the entry allows it:
`idempotent` (the server knows the key of the first request) or lost = "resubmit".
"""

from __future__ import annotations

import io
import logging
import math
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import numpy as np

from kinema.engines.ledger import Ledger
from kinema.engines.protocol import Cancelled, Capabilities, FilmRequest, FrameRule, License, Watch, Workflow, never
from kinema.engines.registry import ModelEntry
from kinema.engines.upstream_http import TICK_S, UpstreamAnswer, UpstreamClient, with_ticks
from kinema.errors import EngineError, InputError, MediaError
from kinema.inference.limits import Size, parse_size
from kinema.inference.pipeline import Progress
from kinema.media import Clip

log = logging.getLogger(__name__)

POLL_S, POLL_MOST_S = 0.5, 5.0
PATIENCE_S = 600.0
"""How long a server may answer nothing that helps before a film is given up."""
AWAY_S = 5.0
"""The same for a server that cannot be reached, before it is asked for a film, where somebody waits for it."""
ABOUT_S, STOP_S = 10.0, 5.0
"""How long a server may take to say what it films, and to stop a film."""
ABOUT_TRIES, ABOUT_MOST_S = 4, 60.0
"""How often a server is asked what it films while its answers make no sense, and for how long while it gives none; then it counts
as one that does not say."""
LOSSES, FETCHES = 3, 3
"""How often a lost video is asked for again, and an unreadable file fetched again."""
DONE, FAILED = "completed", ("failed", "cancelled")
FPS, SECONDS, SIZE = 24.0, 4.0, (1280, 720)
"""What servers of this kind film usually, where they do not say."""


class _Lost(Exception):
    """The other server does not know the video any more."""


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """What a film shall be: its size, its rate and its length."""

    size: Size
    fps: float
    seconds: float

    def made_of(self, clip: Clip) -> tuple[Clip, list[str]]:
        """A film of another server at this size, rate and length, and notes on what is otherwise."""
        frames = max(round(self.seconds * self.fps), 1)
        fitted = clip.resample(self.fps)
        notes = []
        if fitted.num_frames < frames:
            notes.append(f"the other server filmed {fitted.duration_s:g} s of the {self.seconds:g} s asked for")
        cut = fitted if fitted.num_frames <= frames else fitted.cut(slice(frames))
        return cut.fit(*self.size), notes


class UpstreamEngine:
    """Films on another server.

    Args:
        entry: The model's entry; its source is the address, with or without /v1.
        ledger: Where it is written down what was asked of the server; a film that it has is not asked for again. None: each film
            has one of its own, in memory.
        tick: Called many times a second while it waits. What it raises ends the film here; `stop` ends it there too.

    Raises:
        InputError: The address or the key cannot be one.
    """

    def __init__(self, entry: ModelEntry, *, ledger: Ledger | None = None, tick: Callable[[], None] = lambda: None) -> None:
        self.entry, self.ledger, self.tick = entry, ledger, tick
        self._client = UpstreamClient(entry)
        self._filming: Ledger | None = None

    @property
    def capabilities(self) -> Capabilities:
        """What the other server says of its model."""
        return _capabilities_in(self.entry, _model_in(self.entry, self._client.send("GET", "/models", timeout=ABOUT_S)))

    def film(
        self, request: FilmRequest, progress: Progress | None = None, cancelled: Callable[[], bool] = never,
        watch: Watch | None = None,
    ) -> list[Clip]:  # fmt: skip
        """Film a request; see `kinema.engines.Engine`."""

        def tick() -> None:
            self.tick()
            if cancelled():
                raise Cancelled

        document = self._about(tick)
        capabilities = _capabilities_in(self.entry, document)
        capabilities.check(request)
        ledger = self.ledger or Ledger(None, uuid.uuid4().hex)
        clips = []
        for i, one in enumerate(request.each()):
            self._filming = ledger.of_film(i)
            try:
                clips.append(self._film(one, capabilities, bool(document), self._filming, progress, tick))
            except Cancelled:
                self.stop()
                raise
        return clips

    def stop(self) -> None:
        """Tell the other server that the film is not wanted any more; by deletion, which all servers know."""
        ledger, self._filming = self._filming, None
        if ledger is None:
            return
        if ledger.video is not None:
            _delete(self._client, ledger.video)
        ledger.clear()

    def close(self) -> None:
        self._client.close()

    def _film(
        self, request: FilmRequest, capabilities: Capabilities, kinema: bool, ledger: Ledger, progress: Progress | None,
        tick: Callable[[], None],
    ) -> Clip:  # fmt: skip
        """One film. kinema: the other server is a Kinema, which has words of its own."""
        seconds, fps = capabilities.check_length(request.seconds, request.fps)
        size = capabilities.check_size(request.size or _given_size(request, capabilities))
        wanted = _Wanted(size=size, fps=fps, seconds=seconds)
        while True:
            id = ledger.video or self._submit(request, wanted, kinema, ledger, tick)
            try:
                video = self._wait(id, progress, tick)
                clip = self._fetch(id, capabilities, tick)
                break
            except _Lost as error:
                ledger.lose()
                if self.entry.lost != "resubmit" or ledger.lost > LOSSES:
                    raise self._error(f"the other server lost the video {id}: {error}", "upstream_lost") from None
        clip, notes = wanted.made_of(clip)
        settings = {
            "model": self.entry.name, "engine": "upstream", "upstream": self._client.host, "upstream_id": id,
            "upstream_model": video.get("model", ""), "layout": request.workflow, "prompt": request.prompt,
            "seed": request.seed, "size": clip.size, "fps": clip.fps, "seconds": clip.duration_s,
            **({"notes": notes} if notes else {}), **capabilities.origin(),
        }  # fmt: skip
        return replace(clip, caption=request.prompt, settings=settings, state=None)

    def _error(self, message: str, code: str = "upstream_failed") -> EngineError:
        return EngineError(f"{self.entry.name}: {message}", code)

    def _submit(self, request: FilmRequest, wanted: _Wanted, kinema: bool, ledger: Ledger, tick: Callable[[], None]) -> str:
        """Ask for a video; its id. A key makes a repeated request the same one, where the server knows such keys."""
        may_repeat = self.entry.idempotent or self.entry.lost == "resubmit"
        if ledger.is_open and not may_repeat:
            lost = "the other server was asked for this video before a crash and may have made it"
            raise self._error(f"{lost}; ask again to pay again", "upstream_lost")
        files = _picture_of(request) or {"prompt": (None, request.prompt)}
        headers = {"idempotency-key": ledger.key} if ledger.key else {}
        fields = _fields_of(request, wanted, self.entry, kinema)
        patience = _Patience()
        while True:
            ledger.begin()
            answer = self._client.send("POST", "/videos", data=fields, files=files, headers=headers)
            id = answer.value.get("id")
            if isinstance(id, str) and id:
                ledger.accept(id)
                return id
            if answer.outcome not in ("ok", "unclear"):
                ledger.withdraw()
                self._check_refusal(answer)
            elif not may_repeat:
                problem = answer.problem or "an answer without an id"
                raise self._error(f"the other server may have accepted the video, and may not: {problem}", "upstream_lost")
            self._pause(patience, answer, tick, begun=answer.outcome == "unclear")

    def _wait(self, id: str, progress: Progress | None, tick: Callable[[], None]) -> dict[str, Any]:
        """The video once it is made."""
        pause, patience = POLL_S, _Patience()
        while True:
            answer = self._get(f"/videos/{id}", tick)
            video = answer.value
            status = video.get("status")
            if status == DONE:
                return video
            if status in FAILED:
                error = video.get("error") or {}
                message = error.get("message") if isinstance(error, dict) else error
                raise self._error(f"the other server says: {self._client.clean(str(message or status))}")
            if not isinstance(status, str):
                self._pause(patience, UpstreamAnswer(outcome="unclear", problem="an answer without a status"), tick)
                continue
            patience = _Patience()
            share = video.get("progress")
            if progress is not None:
                known = isinstance(share, int | float) and math.isfinite(share)
                progress("film", min(max(int(share), 0), 100) if known and share is not None else 0, 100)
            _sleep(pause, tick)
            pause = min(pause * 1.5, POLL_MOST_S)

    def _fetch(self, id: str, capabilities: Capabilities, tick: Callable[[], None]) -> Clip:
        """The film. A file that cannot be read was cut off on its way, perhaps, and is fetched again."""
        patience, unreadable = _Patience(), 0
        with tempfile.TemporaryDirectory(prefix="kinema-upstream-") as folder:
            path = Path(folder) / "video.mp4"
            while True:
                answer = with_ticks(lambda: self._client.fetch(f"/videos/{id}/content", path), tick)
                if answer.outcome == "ok":
                    try:
                        return _whole(path, capabilities)
                    except MediaError as error:
                        unreadable += 1
                        if unreadable == FETCHES:
                            raise self._error(f"the other server's film cannot be read: {error}") from None
                        answer = UpstreamAnswer(outcome="unclear")
                elif answer.outcome == "gone":
                    raise _Lost(answer.problem)
                self._check_refusal(answer)
                self._pause(patience, answer, tick)

    def _get(self, path: str, tick: Callable[[], None]) -> UpstreamAnswer:
        """An answer of the other server, which is asked until it gives one."""
        patience = _Patience()
        while True:
            answer = with_ticks(lambda: self._client.send("GET", path), tick)
            if answer.outcome == "ok":
                return answer
            if answer.outcome == "gone":
                raise _Lost(answer.problem)
            self._check_refusal(answer)
            self._pause(patience, answer, tick)

    def _about(self, tick: Callable[[], None]) -> dict[str, Any]:
        """What a Kinema says of its model; {} of other servers."""
        patience, nonsense, end = _Patience(), 0, time.monotonic() + ABOUT_MOST_S
        while True:
            answer = with_ticks(lambda: self._client.send("GET", "/models", timeout=ABOUT_S), tick)
            nonsense += answer.nonsense
            says_nothing = answer.outcome == "unclear" and (nonsense == ABOUT_TRIES or time.monotonic() > end)
            if says_nothing or answer.outcome not in ("not now", "unclear"):
                return _model_in(self.entry, answer)
            self._pause(patience, answer, tick, begun=False)

    def _check_refusal(self, answer: UpstreamAnswer) -> None:
        """Raise for an answer that would be the same again."""
        if answer.outcome == "key":
            raise self._error(f"the other server refuses the key: {answer.problem}")
        if answer.outcome in ("refused", "gone"):
            raise InputError(f"{self.entry.name}: the other server refuses: {answer.problem}")

    def _pause(
        self, patience: _Patience, answer: UpstreamAnswer, tick: Callable[[], None], *, begun: bool = True
    ) -> None:  # fmt: skip
        """Wait before the server is asked again; EngineError where it was asked long enough. begun: it may be filming. Somebody
        waits where there is no ledger, and is not kept waiting for a server that is not there."""
        is_away = not begun and self.ledger is None and not answer.reached
        wait_s = patience.next_wait(answer.wait_s, min(AWAY_S, PATIENCE_S) if is_away else PATIENCE_S)
        if wait_s is None:
            wish = f"; it asks to wait {answer.wait_s:g} s" if answer.wait_s else ""
            raise self._error(f"the other server does not help: {answer.problem}{wish}")
        if not (patience.is_logged or is_away or answer.reached):
            log.warning("%s: %s; it is asked again for %.0f minutes", self.entry.name, answer.problem, PATIENCE_S / 60)
            patience.is_logged = True
        _sleep(wait_s, tick)


def stop_video(entry: ModelEntry, video: str) -> bool:
    """Tell another server that a video is not wanted any more, where no engine waits for it. Returns whether it was heard."""
    client = UpstreamClient(entry)
    try:
        return _delete(client, video)
    finally:
        client.close()


def _delete(client: UpstreamClient, video: str) -> bool:
    """Delete a video, for STOP_S at most. Returns whether the server answered."""
    end = time.monotonic() + STOP_S
    while time.monotonic() < end:
        answer = client.send("DELETE", f"/videos/{video}", timeout=STOP_S)
        if answer.outcome not in ("not now", "unclear"):
            return True
        time.sleep(POLL_S)
    return False


class _Patience:
    """How long a server that does not help is asked again, and after which pauses."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._pause = POLL_S
        self.is_logged = False
        """Whether the log says that the server is asked again."""

    def next_wait(self, asked_s: float, most_s: float) -> float | None:
        """Seconds to wait, at least those that the server asks for; None once it was asked for `most_s` seconds."""
        wait_s = max(self._pause, asked_s)
        self._pause = min(2 * self._pause, POLL_MOST_S)
        return None if time.monotonic() + wait_s > self._begun + most_s else wait_s


def _sleep(seconds: float, tick: Callable[[], None]) -> None:
    end = time.monotonic() + seconds
    while True:
        tick()
        left = end - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, TICK_S))


def _whole(path: Path, capabilities: Capabilities) -> Clip:
    """The film of a file. MediaError also where the file holds less than its head says, which readers pass over."""
    clip = Clip.open(path, **capabilities.reading)
    with av.open(path) as container:
        stream = container.streams.video[0]
        promised_s = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
    if clip.duration_s < 0.9 * promised_s:
        raise MediaError(f"it holds {clip.duration_s:g} s of {promised_s:g} s")
    return clip


def _fields_of(request: FilmRequest, wanted: _Wanted, entry: ModelEntry, kinema: bool) -> dict[str, str]:
    """The form of a request. Of steps, guidance and rate servers speak with different words."""
    steps, guidance = ("steps", "guidance") if kinema else ("num_inference_steps", "guidance_scale")
    fields = {
        "prompt": request.prompt, "seconds": f"{wanted.seconds:g}", "size": "{}x{}".format(*wanted.size),
        "seed": str(request.seed), "model": entry.upstream_model, "negative_prompt": request.negative_prompt,
        "fps": f"{wanted.fps:g}" if kinema else "", steps: "" if request.steps is None else str(request.steps),
        guidance: "" if request.guidance is None else f"{request.guidance:g}",
    }  # fmt: skip
    return {name: value for name, value in fields.items() if value}


def _picture_of(request: FilmRequest) -> dict[str, Any]:
    """The first picture as a part of the form; {} without one."""
    first = request.first or next((clip for clip, at_s in request.pictures if at_s == 0), None)
    if first is None:
        return {}
    pixels = io.BytesIO()  # the pixels alone: what the picture was made of is nobody's there
    first.picture().save(pixels, "PNG")
    return {"input_reference": ("picture.png", pixels.getvalue(), "image/png")}


def upstream_capabilities(entry: ModelEntry) -> Capabilities:
    """What the other server says of its model: of another Kinema its whole document, of others what is usual."""
    client = UpstreamClient(entry)
    try:
        end = time.monotonic() + ABOUT_S
        for _ in range(ABOUT_TRIES):
            answer = client.send("GET", "/models", timeout=ABOUT_S)
            if answer.outcome != "unclear" or time.monotonic() > end:
                break
        return _capabilities_in(entry, _model_in(entry, answer))
    finally:
        client.close()


def doubts_of(entry: ModelEntry) -> list[str]:
    """Why another server would not film now: it does not answer, it refuses the key, or it has no model of the entry's name."""
    client = UpstreamClient(entry)
    try:
        answer = client.send("GET", "/models", timeout=ABOUT_S)
    finally:
        client.close()
    if answer.outcome in ("not now", "key") or (answer.outcome == "unclear" and not answer.nonsense):
        return [f"{client.host} does not film now: {answer.problem}"]
    models = answer.value.get("data")
    names = [str(model.get("id")) for model in models if isinstance(model, dict)] if isinstance(models, list) else []
    if entry.upstream_model and names and entry.upstream_model not in names:
        return [f"{client.host} lists no model {entry.upstream_model!r}; it lists {', '.join(names)[:300]}"]
    return []


def _model_in(entry: ModelEntry, answer: UpstreamAnswer) -> dict[str, Any]:
    """What a list of models says of the entry's model beyond its name, as a Kinema does; {} where it says nothing."""
    models = answer.value.get("data")
    for model in models if isinstance(models, list) else []:
        if isinstance(model, dict) and isinstance(model.get("kinema"), dict):
            document: dict[str, Any] = model["kinema"]
            if model.get("id") == entry.upstream_model or (not entry.upstream_model and document.get("default", True)):
                return document
    return {}


def _capabilities_in(entry: ModelEntry, document: dict[str, Any]) -> Capabilities:
    workflows: tuple[Workflow, ...] = ("generate", "image")
    usual = Capabilities(
        model=entry.name, engine="upstream", family=entry.upstream_model or "upstream", workflows=workflows, size=SIZE, fps=FPS,
        seconds=SECONDS, frames=FrameRule(), negative_prompt=True, license=entry.license or License(),
        weights_sha256=entry.weights_sha256,
    )  # fmt: skip
    known = document.get("capabilities")
    known = known if isinstance(known, dict) else {}
    with suppress(InputError, TypeError, ValueError):  # a document that is none says nothing
        rate = _rate(known.get("fps", document.get("fps")))
        size = parse_size(document["size"]) if isinstance(document.get("size"), str) else SIZE
        most = document.get("max_seconds")
        return replace(
            usual, fps=rate, size=size, seconds=float(known.get("seconds") or SECONDS),
            sizes=tuple(parse_size(one) for one in document.get("sizes") or ()),
            most_seconds=None if most is None else float(most),
            negative_prompt=bool(known.get("negative_prompt", not document)),
        )  # fmt: skip
    return usual


def _rate(rates: Any) -> float:
    """The usual rate of a model, or of one that films between two rates."""
    if isinstance(rates, list | tuple) and len(rates) == 2:
        return float(np.clip(16.0, float(rates[0]), float(rates[1])))
    return float(rates) if isinstance(rates, int | float) and rates > 0 else FPS


def _given_size(request: FilmRequest, capabilities: Capabilities) -> Size | None:
    if request.first is None:
        return None
    frames = request.first.frames
    return capabilities.fitted_size(frames.shape[2], frames.shape[1])
