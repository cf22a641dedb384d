"""Another server with `/v1/videos` as an engine: it films, this machine keeps the job.

That a video is asked for, and its id there, are written down (`kinema.engines.ledger`) before anything else happens, so that a
worker that takes over after a crash goes on waiting for the same video.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from kinema.engines.ledger import Ledger
from kinema.engines.protocol import Cancelled, Capabilities, FilmRequest, FrameRule, Watch, Workflow, never
from kinema.engines.registry import ModelEntry
from kinema.errors import EngineError, InputError
from kinema.inference.limits import parse_size
from kinema.inference.pipeline import Progress
from kinema.media import Clip

POLL_S, POLL_MOST_S, TICK_S = 0.5, 5.0, 0.1
TIMEOUT_S = 60.0
PATIENCE_S = 600.0
"""How long a server may answer nothing that helps before a film is given up."""
DONE, FAILED = "completed", ("failed", "cancelled")
FPS, SECONDS, SIZE = 24.0, 4.0, (1280, 720)
"""What servers of this kind film usually, where they do not say."""


class _Lost(Exception):
    """The other server does not know the video any more."""


class UpstreamEngine:
    """Films on another server.

    Args:
        entry: The model's entry; its source is the address, with or without /v1.
        ledger: Where it is written down what was asked of the server. What a ledger has is not asked for again.
        tick: Called many times a second while it waits; what it raises ends the film, here and there.
    """

    def __init__(self, entry: ModelEntry, *, ledger: Ledger | None = None, tick: Callable[[], None] = lambda: None) -> None:
        self.entry, self.ledger, self.tick = entry, ledger or Ledger(), tick
        self._http = client_of(entry)

    @property
    def capabilities(self) -> Capabilities:
        """What the other server says of its model."""
        return upstream_capabilities(self.entry, self._http)

    def film(
        self, request: FilmRequest, progress: Progress | None = None, cancelled: Callable[[], bool] = never,
        watch: Watch | None = None,
    ) -> list[Clip]:  # fmt: skip
        """Film a request; see `kinema.engines.Engine`."""
        capabilities = self.capabilities
        capabilities.check(request)
        clips = []
        for i in range(request.count):
            one = replace(request, count=1, seed=request.seed + i)
            clips.append(self._one(one, capabilities, progress, cancelled))
            if i + 1 < request.count:
                self.ledger.clear()
        return clips

    def close(self) -> None:
        self._http.close()

    def _one(
        self, request: FilmRequest, capabilities: Capabilities, progress: Progress | None, cancelled: Callable[[], bool]
    ) -> Clip:
        plan = capabilities.plan(request.seconds, request.fps, request.size or _given_size(request, capabilities))
        id = self.ledger.video or self._submit(request, plan.wanted_size, plan.wanted_frames / plan.fps)
        try:
            video = self._wait(id, progress, cancelled)
            clip = self._fetch(id)
        except _Lost as error:
            self.ledger.clear()
            if self.entry.lost != "resubmit":
                raise EngineError(
                    f"{self.entry.name}: the other server lost the video {id}: {error}", "upstream_lost"
                ) from None
            return self._one(request, capabilities, progress, cancelled)
        if (clip.frames.shape[2], clip.frames.shape[1]) != plan.wanted_size:
            clip = clip.fit(*plan.wanted_size)
        settings = {
            "model": self.entry.name, "engine": "upstream", "upstream": str(self._http.base_url.host), "upstream_id": id,
            "upstream_model": video.get("model", ""), "layout": request.workflow, "prompt": request.prompt,
            "seed": request.seed, "size": clip.size, "fps": clip.fps, "seconds": clip.duration_s,
        }  # fmt: skip
        return replace(clip, caption=request.prompt, settings=settings, state=None)

    def _submit(self, request: FilmRequest, size: tuple[int, int], seconds: float) -> str:
        """Ask for a video; its id. A key makes a repeated request the same one, where the server knows such keys."""
        fields = {
            "prompt": request.prompt, "seconds": f"{seconds:g}", "size": f"{size[0]}x{size[1]}", "seed": str(request.seed),
            "model": self.entry.upstream_model, "negative_prompt": request.negative_prompt,
            "num_inference_steps": "" if request.steps is None else str(request.steps),
            "guidance_scale": "" if request.guidance is None else f"{request.guidance:g}",
        }  # fmt: skip
        if self.ledger.is_open and self.entry.lost != "resubmit" and not self.entry.idempotent:
            lost = "the other server was asked for this video before a crash and may have made it"
            raise EngineError(f"{self.entry.name}: {lost}; ask again to pay again", "upstream_lost")
        known = {name: value for name, value in fields.items() if value}
        files: dict[str, Any] = {}
        if request.first is not None:
            with tempfile.TemporaryDirectory() as folder:
                picture = request.first.cut(slice(1)).save(Path(folder) / "picture.png")
                files = {"input_reference": ("picture.png", picture.read_bytes(), "image/png")}
                self.ledger.begin()
        token = {"idempotency-key": self.ledger.token} if self.ledger.token else {}
        try:
            answer = self._ask(
                "POST", "/videos", data=known, files=files or {"prompt": (None, request.prompt)}, headers=token
            )
        except InputError:
            self.ledger.clear()
            raise
        id = answer.get("id")
        if not isinstance(id, str) or not id:
            raise EngineError(
                f"{self.entry.name}: the other server accepted no video: {str(answer)[:200]}", "upstream_failed"
            )
        self.ledger.accept(id)
        return id

    def _wait(self, id: str, progress: Progress | None, cancelled: Callable[[], bool]) -> dict[str, Any]:
        """The video once it is made."""
        pause = POLL_S
        while True:
            video = self._ask("GET", f"/videos/{id}")
            status = video.get("status")
            if status == DONE:
                return video
            if status in FAILED:
                error = video.get("error") or {}
                message = error.get("message") if isinstance(error, dict) else str(error)
                raise EngineError(f"{self.entry.name}: the other server says: {message or status}", "upstream_failed")
            if progress is not None:
                share = video.get("progress")
                progress("film", int(share) if isinstance(share, int | float) else 0, 100)
            end = time.monotonic() + pause
            while time.monotonic() < end:
                self.tick()
                if cancelled():
                    self.stop(id)
                    raise Cancelled
                time.sleep(TICK_S)
            pause = min(pause * 1.5, POLL_MOST_S)

    def stop(self, id: str) -> None:
        """Tell the other server that a video is not wanted any more; by deletion, which all servers know."""
        with suppress(EngineError, InputError, _Lost):
            self._ask("DELETE", f"/videos/{id}", patience_s=5)
        self.ledger.clear()

    def _fetch(self, id: str) -> Clip:
        content = self._bytes(f"/videos/{id}/content")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "video.mp4"
            path.write_bytes(content)
            return Clip.open(path)

    def _bytes(self, path: str) -> bytes:
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                answer = self._http.get(path)
                if answer.status_code == 200:
                    return answer.content
                problem = f"status {answer.status_code}"
                if answer.status_code in (404, 410):
                    raise _Lost(problem)
                if 400 <= answer.status_code < 500 and answer.status_code not in (408, 409, 425, 429):
                    break
            except httpx.HTTPError as error:
                problem = type(error).__name__
            if time.monotonic() > end:
                break
            time.sleep(POLL_MOST_S)
        raise EngineError(
            f"{self.entry.name}: the video could not be fetched from the other server: {problem}", "upstream_failed"
        )

    def _ask(self, method: str, path: str, *, patience_s: float = PATIENCE_S, **arguments: Any) -> dict[str, Any]:
        """One answer in JSON. Requests that change nothing are repeated while the server is away; one that asks for a video is not,
        since it may have been accepted."""
        end = time.monotonic() + patience_s
        pause = POLL_S
        while True:
            try:
                answer = self._http.request(method, path, **arguments)
                if answer.is_success:
                    value = answer.json()
                    if isinstance(value, dict):
                        return value
                    problem = "an answer that is no JSON object"
                else:
                    problem = _problem(answer)
                    if answer.status_code in (404, 410) and method == "GET":
                        raise _Lost(problem)
                    if answer.status_code in (400, 404, 413, 422):
                        raise InputError(f"{self.entry.name}: the other server refuses: {problem}")
                    if answer.status_code in (401, 403):
                        raise InputError(f"{self.entry.name}: the other server refuses the key: {problem}")
            except httpx.ConnectError as error:
                problem = f"no connection ({error})"
            except httpx.HTTPError as error:
                problem = type(error).__name__
                if method == "POST" and not self.entry.idempotent:
                    lost = f"the other server did not answer ({problem}); it may have accepted the video"
                    raise EngineError(f"{self.entry.name}: {lost}", "upstream_lost") from None
            except ValueError:
                problem = "an answer that is no JSON"
            if time.monotonic() + pause > end:
                raise EngineError(f"{self.entry.name}: the other server does not help: {problem}", "upstream_failed")
            time.sleep(pause)
            pause = min(2 * pause, POLL_MOST_S)


def client_of(entry: ModelEntry) -> httpx.Client:
    """An HTTP client for the server of an entry."""
    address = entry.source.rstrip("/")
    base = address if address.endswith("/v1") else f"{address}/v1"
    key = os.environ.get(entry.key_variable or "KINEMA_UPSTREAM_KEY", "")
    return httpx.Client(
        base_url=base, timeout=TIMEOUT_S, follow_redirects=False, headers={"authorization": f"Bearer {key}"} if key else {}
    )


def upstream_capabilities(entry: ModelEntry, http: httpx.Client | None = None) -> Capabilities:
    """What the other server says of its model: of another Kinema its whole document, of others what is usual."""
    document: dict[str, Any] = {}
    own = http is None
    client = client_of(entry) if http is None else http
    try:
        with suppress(httpx.HTTPError, ValueError):
            models = client.get("/models", timeout=10).json().get("data", [])
            wanted = entry.upstream_model
            one: dict[str, Any] = next((m for m in models if m.get("id") == wanted or not wanted), {})
            document = one.get("kinema") or {}
    finally:
        if own:
            client.close()
    rates = document.get("fps")
    workflows: tuple[Workflow, ...] = ("generate", "image")
    size = document.get("size")
    return Capabilities(
        model=entry.name, engine="upstream", family=entry.upstream_model or "upstream", workflows=workflows,
        size=parse_size(size) if isinstance(size, str) else SIZE, fps=_rate(rates), seconds=SECONDS, frames=FrameRule(),
        sizes=tuple(parse_size(one) for one in document.get("sizes") or ()), most_seconds=document.get("max_seconds"),
        negative_prompt=not document, license=entry.license or Capabilities.license,
    )  # fmt: skip


def _rate(rates: Any) -> float:
    """The usual rate of a model that films between two rates."""
    if isinstance(rates, list | tuple) and len(rates) == 2:
        return min(max(16.0, float(rates[0])), float(rates[1]))
    return float(rates) if isinstance(rates, int | float) else FPS


def _given_size(request: FilmRequest, capabilities: Capabilities) -> tuple[int, int] | None:
    if request.first is None:
        return None
    frames = request.first.frames
    return capabilities.fitted_size(frames.shape[2], frames.shape[1])


def _problem(answer: httpx.Response) -> str:
    with suppress(ValueError, AttributeError, KeyError, TypeError):
        return str(answer.json()["error"]["message"])[:300]
    return f"status {answer.status_code}"
