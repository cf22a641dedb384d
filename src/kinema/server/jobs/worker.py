"""A worker claims jobs from the queue, renders them and publishes the results. Any number run on any number of machines.

A worker may be killed at any point. When its lease ends, another worker takes over its jobs, and unfinished files are deleted.
`reached` is called with the name of each of POINTS, so that tests can kill the worker there.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from kinema.canvas.canvas import Canvas
from kinema.engines.native import NativeEngine
from kinema.engines.protocol import Engine
from kinema.errors import (
    EngineError,
    KinemaError,
    ModelError,
    ModelListError,
    OutputError,
    SizeError,
    StorageError,
    unavailable,
)
from kinema.inference.canvas_io import resolve_model
from kinema.media import Clip
from kinema.models.hub import available_models
from kinema.server.api.video_object import SOUND
from kinema.server.jobs import render
from kinema.server.jobs.batch import JobBatch, JobsReleased, JobTimeout
from kinema.server.jobs.checkpoint import FilmCheckpoint, film_digest
from kinema.server.jobs.engines import EngineBusy, EnginePool
from kinema.server.jobs.leases import LEASE_S, WITHOUT_MODEL, Claim, Finished, Leases
from kinema.server.jobs.publish import UNREADABLE, VIDEO, write_film
from kinema.server.jobs.queue import Queue
from kinema.server.jobs.sources import Sources
from kinema.server.jobs.throughput import ThroughputStats
from kinema.server.moderation import moderation_from
from kinema.server.productions.filming import ProductionJobs
from kinema.server.productions.productions import Productions
from kinema.server.settings import Settings
from kinema.server.signing import identity_of
from kinema.server.storage.artifacts import ArtifactStore
from kinema.server.storage.database import Database
from kinema.server.storage.job_rows import CUT, TAKE
from kinema.types import Frames

log = logging.getLogger(__name__)

WINDOWS = "windows"
"""The point at which some windows of a film are on disk; films of several windows reach it again and again."""
POINTS = ("claimed", "filmed", "kept", "written", "settled", "published", "cleaned")
IDLE_S, LONG_IDLE_S, SEEN_S = 0.03, 0.1, 3.0
"""How often an idle worker polls the queue, how often after a minute without a job, and how often it reports that it is alive."""
PREVIEW_S = 1.0
"""Previews are rendered at most this often."""
UNAVAILABLE = "model_unavailable"
"""The code of a video whose model is gone, or cannot be opened."""
FULL_S = 5.0
"""How long a job waits after the disk was full, or object storage did not answer."""
DEPTH, LEND_AGAIN_S = 2, 60.0
"""How many jobs may be interrupted at a time for smaller ones, and how long none is after there was too little memory."""


def _described(clip: Clip) -> dict[str, Any]:
    """The settings of a clip, with its sound if it has sound."""
    settings = {name: value for name, value in clip.settings.items() if name != SOUND}
    return (
        settings if clip.sound is None else {**settings, SOUND: {"rate": clip.sound.rate, "channels": clip.sound.channels}}
    )


class Worker:
    """Renders jobs one after another, or several of one shape at once."""

    def __init__(
        self,
        settings: Settings,
        *,
        name: str | None = None,
        reached: Callable[[str], None] = lambda point: None,
        lease_s: float = LEASE_S,
    ) -> None:
        self.settings, self.reached = settings, reached
        self.store = ArtifactStore(settings.data, settings.artifacts)
        self.database = Database(settings.url, upgrade=True)
        self.database.check_data_folder(self.store.root)
        self.database.check_artifacts(self.store.remote)
        self.leases = Leases(
            self.database, lease_s=lease_s, retained_s=86400 * settings.retention_days, models=settings.models
        )
        self.queue, self.throughput = Queue(self.database), ThroughputStats(self.database)
        self.sources = Sources(self.store, self.queue)
        productions = Productions(self.database, retained_s=86400 * settings.retention_days)
        self.production_jobs = ProductionJobs(productions, self.sources)
        self.name = name or f"{os.uname().nodename}-{os.getpid()}-{secrets.token_hex(3)}"
        self.identity = identity_of(settings)
        self.moderation = moderation_from(settings.moderation, settings.blocked)
        self.engines = EnginePool(settings.device, stall_s=settings.stall_s)
        self.warm: list[str] = []
        self.in_hand: list[JobBatch] = []
        """The batches that are being made: each but the first in between the one before it."""
        self._lends_from = 0.0
        """No job is made in between others before this time: there was not enough memory for two."""
        self.stopping = threading.Event()
        if settings.threads is not None:
            torch.set_num_threads(settings.threads)

    def run(self, *, idle: Callable[[], bool] = lambda: False) -> None:
        """Run until `stopping` is set, or until `idle` returns True while the queue is empty."""
        seen, busy_at = 0.0, time.monotonic()
        while not self.stopping.is_set():
            try:
                if self.leases.ready() and self.once():
                    busy_at = time.monotonic()
                    continue
                if time.monotonic() - seen > SEEN_S:
                    self.leases.heartbeat(self.name, self.warm)
                    seen = time.monotonic()
            except OperationalError as error:
                log.error("the database does not answer (%s); waiting", str(error.orig).splitlines()[0])
                self.stopping.wait(SEEN_S)
            if idle():
                return
            self.stopping.wait(IDLE_S if time.monotonic() - busy_at < 60 else LONG_IDLE_S)

    def once(self) -> bool:
        """Claim and render the next jobs, in between those in hand if there are any. Returns whether there were any."""
        beside = [claim for batch in self.in_hand for claim in batch.claims]
        try:
            self.store.check_space()
            claims = self.leases.claim(self.name, self.warm, most=self.settings.batch, beside=beside)
        except KinemaError as error:
            log.error("%s; waiting", error)
            if not beside:
                self.stopping.wait(FULL_S)
            return False
        if not claims:
            return False
        self.reached("claimed")
        with JobBatch(self.leases, claims, self.name, self.settings.job_timeout_s) as batch:
            self.in_hand.append(batch)
            try:
                self._make(batch)
            except JobsReleased:
                pass
            except (SizeError, MemoryError) as error:
                if beside:
                    self._wait_for_memory(batch, error)
                elif isinstance(error, SizeError):
                    self._fail(batch, "invalid_request", str(error))
                else:
                    self._fail(batch, "out_of_memory", "not enough memory; ask for a shorter or smaller film")
            except OutputError as error:
                log.error("%s; the job goes back to the queue", error)
                self._requeue(batch, wait_s=FULL_S, stage="waiting for space")
            except StorageError as error:
                log.error("%s; the job goes back to the queue", error)
                self._requeue(batch, wait_s=FULL_S, stage="waiting for storage")
            except ModelListError as error:
                log.error("%s; the job goes back to the queue", error)
                self._requeue(batch, wait_s=FULL_S, stage="waiting for the list of models")
            except OperationalError:
                raise
            except EngineBusy:
                self._requeue(batch, wait_s=1.0, stage="waiting for its model")
            except EngineError as error:
                if beside and error.code == "out_of_memory":
                    self._wait_for_memory(batch, error)
                else:
                    log.error("%s", error, extra={"code": error.code})
                    self._fail(batch, error.code, str(error))
            except JobTimeout as error:
                self._fail(batch, "timeout", str(error))
            except ModelError as error:  # its message may name files of this machine
                log.error("%s", error, extra={"code": UNAVAILABLE})
                self._fail(batch, UNAVAILABLE, unavailable(claims[0].model))
            except KinemaError as error:
                self._fail(batch, "invalid_request", str(error))
            except Exception as error:
                if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                    log.error("%s; the job goes back to the queue", error)
                    self._requeue(batch, wait_s=FULL_S, stage="waiting for space")
                elif isinstance(error, RuntimeError) and "allocate memory" in str(error):
                    self._fail(batch, "out_of_memory", "not enough memory; ask for a shorter or smaller film")
                else:
                    log.exception("a job met an error that nobody foresaw")
                    self._fail(
                        batch, "internal_error", f"the film could not be made ({type(error).__name__}); see the server's log"
                    )
            finally:
                self.in_hand.pop()
            self._release_stopped(batch)
        return True

    def _lend(self) -> None:
        """Make a small job of another key, if one waits, in between those in hand."""
        batch = self.in_hand[-1]
        if len(self.in_hand) > DEPTH or time.monotonic() < self._lends_from or not batch.may_lend():
            return
        with batch.lent():
            try:
                if not self.stopping.is_set() and self.leases.ready([claim for one in self.in_hand for claim in one.claims]):
                    self.once()
            except SQLAlchemyError as error:
                log.error("no job is made in between: %s", str(error).splitlines()[0])

    def _wait_for_memory(self, batch: JobBatch, error: Exception) -> None:
        """Requeue a job that was made in between others: there may be enough memory for it alone."""
        log.info("%s; the job waits for memory", error)
        self._lends_from = time.monotonic() + LEND_AGAIN_S
        self._requeue(batch, wait_s=1.0, stage="waiting for memory")

    def _check_stopping(self, batch: JobBatch) -> None:
        """JobsReleased where the worker stops."""
        if self.stopping.is_set():
            self.engines.hurry()
            batch.stop |= {claim.id: "stopping" for claim in batch.active}
            raise JobsReleased

    def _requeue(self, batch: JobBatch, *, wait_s: float = 0.0, stage: str = "waiting") -> None:
        for claim in batch.active:
            self.leases.release(claim, wait_s=wait_s, stage=stage)
            batch.stop[claim.id] = "released"

    def _fail(self, batch: JobBatch, code: str, message: str) -> None:
        """Fail a job that was rendered alone; release the jobs of a larger batch to be rendered alone, so that one does not fail
        the others."""
        together = len(batch.claims) > 1
        for claim in batch.active:
            if together:
                self.leases.release(claim, alone=True)
            else:
                self.leases.fail(claim, code, message)
            batch.stop[claim.id] = "failed"
            self.store.drop_work(claim.id)

    def _release_stopped(self, batch: JobBatch) -> None:
        """Fail cancelled jobs, and release paused ones and those of a stopping worker."""
        for claim in batch.claims:
            reason = batch.stop.get(claim.id)
            if reason == "cancelled":
                self.leases.fail(claim, "cancelled", "cancelled by its owner")
            elif reason in ("paused", "stopping"):
                if batch.checkpoint is not None:
                    batch.checkpoint.write()
                self.leases.release(claim)
            if reason == "cancelled":
                self.store.drop_work(claim.id)

    def _make(self, batch: JobBatch) -> None:
        clips = self._render(batch)
        self.reached("filmed")
        for claim in batch.active:
            clip = clips[claim.id]
            refusal = self.moderation.check_frames(clip.frames)
            if refusal:
                self.leases.fail(claim, "content_policy_violation", refusal)
                batch.stop[claim.id] = "refused"
            elif len(batch.claims) > 1 or claim.kind == TAKE or claim.pixel_seconds > 1e6:
                self.store.save_rendered(claim.id, clip)
        self.reached("kept")
        took_s = batch.own_s / len(batch.claims)
        for claim in batch.active:
            batch.report("write", 0.97)
            self._lend()
            self._publish(batch, claim, clips[claim.id], took_s)

    def _render(self, batch: JobBatch) -> dict[str, Clip]:
        """Load clips that an earlier worker stored, and render the others, in one pass where possible."""
        stored = {claim.id: self.store.load_rendered(claim.id) for claim in batch.claims}
        clips = {id: clip for id, clip in stored.items() if clip is not None}
        remaining = [claim for claim in batch.claims if claim.id not in clips]
        if not remaining:
            return clips

        def progress(stage: str, done: int, of: int) -> None:
            self._check_stopping(batch)
            share = done / max(of, 1)
            planned = remaining[0].model in available_models()  # Kinema's own films are planned, then drawn
            drawn = 0.6 + 0.35 * share if planned else 0.95 * share
            batch.report(stage, 0.02 + (0.6 * share if stage == "plan" else drawn))
            self._lend()

        batch.rendered = {claim.id for claim in remaining}
        first = remaining[0]
        requests = [claim.request for claim in remaining]
        together = render.shape_of(first.kind, first.model, first.request) is not None
        if together and first.model in available_models():

            def watch(canvas: Canvas, rendered: int) -> None:
                if time.monotonic() - batch.previewed_at < PREVIEW_S:
                    return
                batch.previewed_at = time.monotonic()
                for i, claim in enumerate(remaining):
                    with suppress(OSError):  # a failed preview must not fail the job
                        self._preview(claim, canvas, i, rendered)

            model = resolve_model(first.model, self.settings.device)
            batch.checkpoint = self._checkpoint(remaining)
            films = render.make_together(model, requests, progress, watch, batch.checkpoint)
            clips |= {claim.id: clip for claim, clip in zip(remaining, films, strict=True)}
        elif together and len(remaining) > 1:
            with self._engine(first, batch) as engine:
                assert engine is not None
                films = render.make_together(engine, requests, progress)
            clips |= {claim.id: clip for claim, clip in zip(remaining, films, strict=True)}
        else:
            for claim in remaining:
                with self._engine(claim, batch) as engine:
                    windows = claim.kind == "generate" and isinstance(engine, NativeEngine)
                    batch.checkpoint = self._checkpoint([claim]) if windows else None
                    if claim.kind in (TAKE, CUT):
                        clips[claim.id] = self.production_jobs.make(claim, engine, progress)
                    else:
                        clips[claim.id] = render.render_job(
                            claim.kind, engine, claim.request, self.sources, progress, batch.checkpoint
                        )
        self.warm = [first.model, *[name for name in self.warm if name != first.model]][:3]
        return clips

    def _engine(self, claim: Claim, batch: JobBatch) -> AbstractContextManager[Engine | None]:
        """The engine of a job, None if it needs none; while it films elsewhere, the job's lease and its owner's wishes are seen to
        here."""

        def tick() -> None:
            self._check_stopping(batch)
            share, stage = batch.progress[claim.id]
            batch.report(stage, share / 100)
            self._lend()

        def watch(picture: Frames) -> None:
            if time.monotonic() - batch.previewed_at < PREVIEW_S:
                return
            batch.previewed_at = time.monotonic()
            with suppress(OSError):  # a failed preview must not fail the job
                self._write_preview(claim, picture)

        def dropped(error: BaseException | None) -> bool:
            return isinstance(error, JobTimeout) or batch.stop.get(claim.id) == "cancelled"

        if claim.kind in WITHOUT_MODEL:
            return nullcontext()
        return self.engines.film_with(claim.model, self.store.records(claim.id), claim.id, tick, watch, dropped)

    def _checkpoint(self, claims: Sequence[Claim]) -> FilmCheckpoint:
        folders = {self.store.work_folder(claim.id, make=False): film_digest(claim.model, claim.request) for claim in claims}
        return FilmCheckpoint(folders, written=lambda: self.reached(WINDOWS))

    def _preview(self, claim: Claim, canvas: Canvas, sample: int, rendered: int) -> None:
        """Write a preview of a job: its last rendered frame, or the middle frame of the plan."""
        from kinema.inference.canvas_io import decode_clips
        from kinema.inference.pipeline import render_video
        from kinema.inference.sampling import SamplingConfig

        model = resolve_model(claim.model, self.settings.device)
        one = canvas.sample(sample)
        index = rendered - 1 if rendered else one.num_frames // 2
        frame = one.pick(slice(index, index + 1))
        if not rendered:
            frame = render_video(model, frame, SamplingConfig(), [0])
        height, width = (cells * model.config.cell_px for cells in one.values["video"].shape[2:4])
        clip = decode_clips(model, frame, fps=1.0, height=height, width=width, captions=[""], settings=[{}])[0]
        self._write_preview(claim, clip.frames[0])

    def _write_preview(self, claim: Claim, frame: Frames) -> None:
        """Write a picture uint8 [H, W, 3] as the preview of a job, small ones enlarged."""
        height, width = frame.shape[:2]
        path = self.store.preview(claim.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        by = max(256 // max(height, width), 1)
        picture = Image.fromarray(np.ascontiguousarray(frame)).resize((width * by, height * by), Image.Resampling.NEAREST)
        picture.save(temporary, "JPEG", quality=85)
        temporary.replace(path)

    def _publish(self, batch: JobBatch, claim: Claim, clip: Clip, took_s: float) -> None:
        """Publish one finished job: write all files to a staging folder, fsync, rename, then commit status, billing and webhooks in
        one database transaction. If the commit is rejected, delete the folder."""
        begun = time.perf_counter()
        artifact = str(claim.fence)
        staged: Path | None = None
        request = render.as_made(claim.kind, claim.request, clip)
        try:
            staged = self.store.stage(claim.id)
            visible = self.settings.label or bool(claim.request.get("label"))
            made = write_film(
                staged, clip, video=claim.id, identity=self.identity, visible=visible, model=claim.model,
                making=render.making_of(claim.kind, request),
                sources=[self.sources.ingredient(reference) for reference in render.sources_of(claim.kind, request)],
            )  # fmt: skip
            self.reached("written")
            record = None
            if claim.kind == TAKE:
                batch.report("check", 0.98)
                record = self.production_jobs.check(claim, staged / VIDEO, took_s)
            self.store.publish(staged, artifact)
            self.reached("settled")
        except (OSError, KinemaError) as error:
            if staged is not None:
                shutil.rmtree(staged, ignore_errors=True)
            self.store.drop(claim.id, artifact)
            if isinstance(error, KinemaError):
                raise
            raise OutputError(f"the film could not be written: {error.strerror or error}") from None
        took_s += time.perf_counter() - begun
        finished = Finished(
            bytes=made.bytes, frames=clip.num_frames, took_s=round(took_s, 3), mark=made.mark,
            settings=_described(clip) | ({} if made.readable else UNREADABLE), has_state=clip.state is not None,
            size=clip.size, seconds=f"{clip.duration_s:g}",
        )  # fmt: skip

        def then(db: Connection, now: float) -> None:
            if claim.kind in (TAKE, CUT):
                self.production_jobs.productions.finished(db, now, claim, record)

        if not self.leases.publish(claim, artifact, finished, then):
            self.store.drop(claim.id, artifact)
            batch.stop[claim.id] = "lost"
            return
        batch.stop[claim.id] = "published"
        self.reached("published")
        self.store.remove_others(claim.id, artifact)
        resumed = batch.checkpoint is not None and batch.checkpoint.resumed
        if claim.id in batch.rendered and not resumed:
            self.throughput.measured(claim.model, claim.kind, claim.pixel_seconds, took_s)
        self.reached("cleaned")
        log.info("published", extra={"job": claim.id, "took_s": round(took_s, 2), "worker": self.name})

    def close(self) -> None:
        self.engines.close()
        self.database.close()
