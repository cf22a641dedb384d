"""A small server of the Videos API that keeps its films in memory and makes them one after another.

It is correct as it stands. `faults` are what it does otherwise, one by one, and `lacks` what it does not offer. Two sets of them
are stand-ins of other servers, after their documents and source texts of 2026.
"""

from __future__ import annotations

import contextlib
import io
import json
import queue
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kinema.media import Clip

KEY = "key-of-the-stand-in"
MODEL = "stand-in-1"
SIZE, SECONDS = "64x48", "1"

VLLM_OMNI = (
    # docs/serving/videos_api.md: forms only, no variants, no remix, no cancel. Issues #6403, #6933 of its repository, both of 2026:
    # in_progress while a film waits; DELETE that stops nothing; a film of an upload that broke off. What is not documented is
    # taken to be right.
    frozenset({"json_refused", "in_progress_while_queued", "delete_runs_on", "orphan_upload"}),
    frozenset({"ranges", "variants", "remix", "cancel", "idempotency", "expiry", "poll_after"}),
)
SGLANG = (
    # multimodal_gen/runtime/entrypoints/openai/video_api.py: a dict of records; FastAPI's {"detail"}; queued until completed;
    # DELETE pops the record and answers with it; any model and any variant; pages without last_id and has_more.
    frozenset({"detail_errors", "queued_to_the_end", "delete_runs_on", "delete_answers_record", "any_model", "variant_ignored",
               "no_last_id", "no_has_more", "empty_after_unknown"}),
    frozenset({"models", "remix", "cancel", "idempotency", "expiry", "poll_after", "first_id", "prompt", "request_id"}),
)  # fmt: skip


@cache
def film(size: str, seconds: str) -> bytes:
    """An MP4 of a square that moves."""
    width, height = map(int, size.split("x"))
    count = max(round(8 * float(seconds)), 1)
    frames = np.full((count, height, width, 3), 120, np.uint8)
    for i, frame in enumerate(frames):
        frame[height // 3 : height // 2, 2 * i : 2 * i + 12] = (200, 40, 40)
    with tempfile.TemporaryDirectory() as folder:
        return Clip(frames=frames, fps=8.0).save(Path(folder) / "film.mp4").read_bytes()


@cache
def picture() -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (64, 48), (120, 60, 60)).save(sink, "JPEG")
    return sink.getvalue()


class Refusal(HTTPException):
    """An error with its parameter."""

    def __init__(self, status: int, message: str, param: str | None = None) -> None:
        super().__init__(status, message)
        self.param = param


@dataclass(kw_only=True)
class Job:
    id: str
    prompt: str
    model: str
    size: str
    seconds: str
    number: int
    created_at: int
    status: str = "queued"
    progress: float = 0
    completed_at: int | None = None
    stopped: bool = False
    looks: int = 0
    source: str | None = None
    error: dict[str, Any] | None = None


@dataclass(kw_only=True)
class StandIn:
    """faults: what is done otherwise; lacks: what is not offered; film_s: how long a film takes."""

    faults: frozenset[str] = frozenset()
    lacks: frozenset[str] = frozenset()
    film_s: float = 0.15
    key: str = ""
    jobs: dict[str, Job] = field(default_factory=dict)
    repeats: dict[str, tuple[str, str]] = field(default_factory=dict)
    waiting: queue.Queue[Job | None] = field(default_factory=queue.Queue)
    count: int = 0

    # making films

    def work(self) -> None:
        while (job := self.waiting.get()) is not None:
            begun = time.monotonic()
            if not job.stopped and "queued_to_the_end" not in self.faults:
                job.status = "in_progress"
            while not job.stopped and (done := (time.monotonic() - begun) / self.film_s) < 1:
                job.progress = min(int(100 * done), 99)
                time.sleep(0.005)
            if "never_ends" in self.faults:
                continue
            if not job.stopped:
                job.progress, job.completed_at, job.status = 100, int(time.time()), "completed"

    def submit(self, fields: dict[str, Any], source: str | None = None) -> Job:
        self.count += 1
        id = f"video_{int(time.time())}" if "same_id" in self.faults else f"video_{self.count:06d}"
        prompt = fields["prompt"].encode("ascii", "ignore").decode() if "ascii_prompt" in self.faults else fields["prompt"]
        job = Job(
            id=id, prompt=prompt, model=fields["model"], size=fields["size"], seconds=fields["seconds"], number=self.count,
            created_at=int(time.time()), source=source,
        )  # fmt: skip
        if "in_progress_while_queued" in self.faults:
            job.status = "in_progress"
        self.jobs[id] = job
        self.waiting.put(job)
        return job

    # requests

    async def fields(self, request: Request) -> dict[str, Any]:
        """The fields of a request for a film, checked and with defaults."""
        kind = request.headers.get("content-type", "").partition(";")[0]
        if kind == "multipart/form-data" and "form_refused" not in self.faults:
            given = await self.form(request)
        elif kind == "application/json" and "json_refused" not in self.faults:
            try:
                given = json.loads(await request.body())
            except ValueError:
                raise Refusal(400, "the body is not JSON") from None
        else:
            raise Refusal(415, f"a body of {kind}")
        if not isinstance(given, dict):
            raise Refusal(400, "the body is no object")
        return self.checked(given)

    async def form(self, request: Request) -> dict[str, Any]:
        try:
            async with request.form() as form:
                given: dict[str, Any] = dict(form)
                upload = given.pop("input_reference", None)
                if upload is not None and not isinstance(upload, str):
                    try:
                        Image.open(io.BytesIO(await upload.read())).load()
                    except OSError:
                        raise Refusal(400, "input_reference is no picture", "input_reference") from None
            return given
        except ClientDisconnect:
            if "orphan_upload" in self.faults:
                self.submit(self.checked({"prompt": "a film of an upload that broke off"}))
            raise

    def checked(self, given: dict[str, Any]) -> dict[str, Any]:
        fields = {"prompt": "", "model": MODEL, "size": SIZE, "seconds": SECONDS, **given}
        if not isinstance(fields["prompt"], str) or not fields["prompt"].strip():
            raise Refusal(400, "prompt: expected a text", "prompt")
        if len(fields["prompt"]) > 32_000:
            if "prompt_cut" not in self.faults:
                raise Refusal(400, "prompt: up to 32000 characters", "prompt")
            fields["prompt"] = fields["prompt"][:32_000]
        if re.fullmatch(r"[1-9]\d{1,3}x[1-9]\d{1,3}", str(fields["size"])) is None:
            if "crash_at_size" in self.faults:
                raise Refusal(500, "internal error")
            raise Refusal(400, "size: expected WIDTHxHEIGHT", "size")
        if re.fullmatch(r"[1-9]\d?(\.\d+)?", str(fields["seconds"])) is None:
            raise Refusal(400, "seconds: expected a number", "seconds")
        if fields["model"] in ("sora-2", "sora-2-pro"):
            fields["model"] = MODEL
        if fields["model"] != MODEL and "any_model" not in self.faults:
            raise Refusal(404, f"no model {fields['model']}", "model")
        return {**fields, "seconds": str(fields["seconds"])}

    def shown(self, job: Job) -> dict[str, Any]:
        """The video object."""
        job.looks += 1
        video: dict[str, Any] = {
            "id": job.id, "object": "video", "created_at": job.created_at, "completed_at": job.completed_at, "model": job.model,
            "expires_at": None if job.completed_at is None else job.completed_at + 3600, "error": job.error, "prompt": job.prompt,
            "progress": job.progress, "remixed_from_video_id": job.source, "seconds": job.seconds, "size": job.size,
            "status": job.status,
        }  # fmt: skip
        for name in ("expiry", "prompt"):
            if name in self.lacks:
                del video[{"expiry": "expires_at"}.get(name, name)]
        live = job.status in ("queued", "in_progress")
        changed: dict[str, dict[str, Any]] = {
            "status_word": {"status": "processing"} if job.status == "in_progress" else {},
            "status_back": {"status": "queued"} if live and job.looks > 4 else {},
            "seconds_number": {"seconds": float(job.seconds)},
            "progress_float": {"progress": job.progress + 0.5} if live else {},
            "progress_falls": {"progress": 0} if live and job.looks % 2 else {},
            "created_ms": {"created_at": 1000 * job.created_at},
            "completed_early": {"completed_at": job.created_at},
            "no_model": {"model": None},
        }
        for fault in self.faults & changed.keys():
            video.update(changed[fault])
        return video

    def find(self, request: Request) -> Job:
        job = self.jobs.get(request.path_params["id"])
        if job is None:
            raise Refusal(404, "no such video")
        return job

    async def create(self, request: Request) -> Response:
        fields = await self.fields(request)
        token = request.headers.get("idempotency-key")
        if token and "idempotency" not in self.lacks:
            prompt, id = self.repeats.get(token, ("", ""))
            if id:
                if prompt != fields["prompt"] and "key_of_another" not in self.faults:
                    raise Refusal(409, "this key was sent with another request")
                return JSONResponse(self.shown(self.jobs[id]))
        job = self.submit(fields)
        if token:
            self.repeats[token] = (fields["prompt"], job.id)
        return JSONResponse(self.shown(job))

    async def retrieve(self, request: Request) -> Response:
        job = self.find(request)
        live = job.status in ("queued", "in_progress") and "poll_after" not in self.lacks
        return JSONResponse(self.shown(job), headers={"openai-poll-after-ms": "50"} if live else None)

    async def videos(self, request: Request) -> Response:
        query = request.query_params
        try:
            limit = int(query.get("limit", 20))
        except ValueError:
            raise Refusal(400, "limit: expected a number", "limit") from None
        if not 0 <= limit <= 100:
            raise Refusal(400, "limit: 0 to 100", "limit")
        descending = query.get("order", "desc") == "desc" or "order_ignored" in self.faults
        rows = sorted(self.jobs.values(), key=lambda job: job.number, reverse=descending)
        if after := query.get("after"):
            places = [i for i, job in enumerate(rows) if job.id == after]
            if not places and "empty_after_unknown" in self.faults:
                rows = []
            elif not places and "begins_anew" not in self.faults:
                raise Refusal(404, "no such video", "after")
            elif places:
                rows = rows[places[0] + (0 if "after_repeats" in self.faults else 1) :]
        page = rows[:limit]
        answer = {"object": "list", "data": [self.shown(job) for job in page], "first_id": page[0].id if page else None,
                  "last_id": page[-1].id if page else None, "has_more": len(rows) > limit}  # fmt: skip
        for name, absent in (("first_id", self.lacks), ("no_last_id", self.faults), ("no_has_more", self.faults)):
            if name in absent:
                del answer[name.removeprefix("no_")]
        return JSONResponse(answer)

    async def delete(self, request: Request) -> Response:
        job = self.find(request)
        if "delete_leaves" not in self.faults:
            del self.jobs[job.id]
        if "delete_runs_on" not in self.faults:
            job.stopped = True
        if "delete_answers_record" in self.faults:
            return JSONResponse({**self.shown(job), "status": "deleted"})
        return JSONResponse({"id": job.id, "object": "video.deleted", "deleted": True})

    async def content(self, request: Request) -> Response:
        job = self.find(request)
        variant = request.query_params.get("variant", "video")
        pictures = () if "variants" in self.lacks else ("thumbnail", "spritesheet")
        if "variant_ignored" not in self.faults and variant not in ("video", *pictures):
            raise Refusal(400, f"no variant {variant}", "variant")
        if job.status != "completed":
            if "early_content" in self.faults:
                return Response(b"not yet", media_type="video/mp4")
            raise Refusal(404, f"{job.id} is {job.status}")
        if variant in pictures and "variant_ignored" not in self.faults:
            return Response(picture(), media_type="image/jpeg")
        data = film("32x24" if "other_size" in self.faults else job.size, job.seconds)
        if "cut_film" in self.faults:
            data = data[: len(data) // 2]
        return self.ranged(request, data)

    def ranged(self, request: Request, data: bytes) -> Response:
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
        headers = {"accept-ranges": "bytes"}
        if match is None or "ranges" in self.lacks:
            return Response(data, media_type="video/mp4", headers=headers)
        start = int(match[1]) if match[1] else len(data) - int(match[2])
        end = min(int(match[2]) + 1, len(data)) if match[1] and match[2] else len(data)
        if start >= len(data):
            raise Refusal(416, f"there are {len(data)} bytes")
        if "range_off" in self.faults:
            end -= 1
        headers["content-range"] = f"bytes {start}-{end - 1}/{len(data)}"
        return Response(data[start:end], 206, media_type="video/mp4", headers=headers)

    async def remix(self, request: Request) -> Response:
        source = self.find(request)
        fields = await self.fields(request)
        return JSONResponse(self.shown(self.submit(fields, None if "remix_of_nothing" in self.faults else source.id)))

    async def cancel(self, request: Request) -> Response:
        job = self.find(request)
        job.stopped, job.status, job.error = True, "failed", {"code": "cancelled", "message": "stopped by its owner"}
        return JSONResponse(self.shown(job))

    async def models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": MODEL, "object": "model", "created": 0, "owned_by": "test"}]})

    # the application

    def app(self) -> Starlette:
        def guard(handler: Any) -> Any:
            async def guarded(request: Request) -> Response:
                sent = request.headers.get("authorization")
                if self.key and sent != f"Bearer {self.key}" and not (sent and "any_key" in self.faults):
                    raise Refusal(401, "no such key")
                response: Response = await handler(request)
                return response

            return guarded

        routes = [
            Route("/v1/videos", guard(self.create), methods=["POST"]),
            Route("/v1/videos", guard(self.videos)),
            Route("/v1/videos/{id}", guard(self.retrieve)),
            Route("/v1/videos/{id}", guard(self.delete), methods=["DELETE"]),
            Route("/v1/videos/{id}/content", guard(self.content)),
        ]
        for name, path, handler, method in (("remix", "/v1/videos/{id}/remix", self.remix, "POST"),
                                            ("cancel", "/v1/videos/{id}/cancel", self.cancel, "POST"),
                                            ("models", "/v1/models", self.models, "GET")):  # fmt: skip
            if name not in self.lacks:
                routes.append(Route(path, guard(handler), methods=[method]))
        return Starlette(routes=routes, exception_handlers={HTTPException: self.failed})

    async def failed(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        self.count += 1
        headers = {} if "request_id" in self.lacks else {"x-request-id": f"req_{self.count}"}
        if "detail_errors" in self.faults:
            return JSONResponse({"detail": error.detail}, error.status_code, headers=headers)
        if "html_errors" in self.faults:
            return Response(f"<h1>{error.status_code}</h1>", error.status_code, media_type="text/html", headers=headers)
        kind = {401: "authentication_error", 404: "not_found_error"}.get(error.status_code, "invalid_request_error")
        body = {"message": error.detail, "type": kind, "param": getattr(error, "param", None), "code": None}
        return JSONResponse({"error": body}, error.status_code, headers=headers)


@contextlib.contextmanager
def serving(standin: StandIn) -> Iterator[str]:
    """The address of a stand-in, which runs in threads of this process until the block ends."""
    config = uvicorn.Config(standin.app(), port=0, log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    threads = [threading.Thread(target=run, daemon=True) for run in (server.run, standin.work)]
    for thread in threads:
        thread.start()
    while not server.started:
        time.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        standin.waiting.put(None)
        for job in list(standin.jobs.values()):
            job.stopped = True
        for thread in threads:
            thread.join(5)
