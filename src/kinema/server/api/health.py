"""Whether the server is there, and how it does."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel

from kinema.errors import KinemaError
from kinema.server.api.dependencies import ManagerDep, ServicesDep

router = APIRouter(tags=["health"])


class Health(BaseModel):
    status: str


class Readiness(Health):
    """jobs: how many there are by status. workers: how many were heard of lately. reason: why the server is not ready."""

    jobs: dict[str, int] | None = None
    workers: int | None = None
    reason: str | None = None


@router.get("/healthz", summary="The process answers")
async def healthz() -> Health:
    return Health(status="ok")


@router.get(
    "/readyz", summary="Database, disk and workers are there", response_model_exclude_none=True,
    responses={503: {"model": Readiness, "description": "not ready"}},
)  # fmt: skip
async def readyz(services: ServicesDep, response: Response) -> Readiness:
    def read_checks() -> Readiness:
        checks = Readiness(status="not ready")
        try:
            checks.jobs = services.queue.counts()
            checks.workers = services.throughput.num_workers()
            services.store.check_space()
        except (KinemaError, OSError) as error:
            checks.reason = str(error)
            return checks
        checks.status = "ready" if checks.workers else "not ready: no worker was heard of lately"
        return checks

    checks = await run_in_threadpool(read_checks)
    response.status_code = 200 if checks.status == "ready" else 503
    return checks


@router.get(
    "/metrics", summary="For Prometheus; with the key of an administrator also by key", response_class=PlainTextResponse
)
async def metrics(services: ServicesDep, manager: ManagerDep, request: Request) -> Response:
    by_key = "authorization" in request.headers and (await services.caller(request)).admin
    page = await run_in_threadpool(lambda: services.metrics.page(manager, by_key=by_key))
    return Response(page, media_type="text/plain; version=0.0.4")
