"""Starts the ranks of a run by Ray Train, on a cluster or on this machine. A rank that dies: all start anew."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from kinema.datasets.cluster import ray_cluster, work_in
from kinema.devices import AUTO, resolve_device
from kinema.errors import EngineError, InputError, KinemaError, excerpt
from kinema.training.parallel import LostPeerError

log = logging.getLogger(__name__)

RESTARTS = 3
"""How often a run starts anew after ranks have died, unless a run says otherwise; machines that the cluster takes back do not
count."""


def launch_ray_ranks(count: int, work: Callable[[str], None], device: str, out: Path, restarts: int = RESTARTS) -> None:
    """Call `work` with the device in so many processes of a Ray cluster, which are ranks (`join_ranks`): one a GPU, or one a core.

    device: "auto" takes GPUs where the cluster has enough of them. out: folder of the run, on storage that all machines share.
    restarts: how often the run starts anew after ranks have died.

    InputError: count is below 1. KinemaError: the one that a rank has raised, unless it is of a lost rank. EngineError: ranks died
    more than `restarts` times.
    """
    if count < 1:
        raise InputError(f"{count} ranks: expected 1 or more")
    with ray_cluster(count) as ray:
        from ray import train
        from ray.train.torch import TorchConfig, TorchTrainer

        class EndAtError(train.UserCallback):  # type: ignore[misc]
            """Ends a run whose ranks raised what would be raised again after a restart."""

            def after_exception(self, run_context: object, worker_exceptions: dict[int, Exception]) -> None:
                for _, error in sorted(worker_exceptions.items()):
                    if isinstance(error, KinemaError) and not isinstance(error, LostPeerError):
                        raise error

        kind = _kind(device, count, int(ray.cluster_resources().get("GPU", 0)))
        unit = "GPU" if kind == "cuda" else "CPU"
        if (free := int(ray.available_resources().get(unit, 0))) < count:
            log.warning("%d ranks wait for as many %ss; the cluster has %d free", count, unit, free)
        place = Path.cwd()

        def rank() -> None:
            work_in(place)
            work(kind)

        trainer = TorchTrainer(
            rank,
            torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if kind == "cuda" else "gloo"),
            scaling_config=train.ScalingConfig(num_workers=count, use_gpu=kind == "cuda"),
            run_config=train.RunConfig(
                name="ray",
                storage_path=str(out.absolute() / "ranks"),
                failure_config=train.FailureConfig(max_failures=restarts),
                callbacks=[EndAtError()],
                logging_config=train.LoggingConfig(log_level="CRITICAL"),
            ),
        )
        try:
            trainer.fit()
        except SystemExit:  # Ray's answer to Ctrl-C
            raise KeyboardInterrupt from None
        except train.TrainingFailedError as error:
            cause = getattr(error, "controller_failure", None)
            if isinstance(cause, KinemaError):
                raise cause from None
            reason = excerpt(str(error).strip().split("\n")[-1], 200)
            raise EngineError(f"{reason}; go on from the last checkpoint with --resume", "engine_crashed") from None


def _kind(device: str, count: int, gpus: int) -> str:
    """Kind of device of the ranks on a cluster with so many GPUs."""
    if device == AUTO:
        return "cuda" if gpus >= count else "cpu"
    kind = device if device == "cuda" else resolve_device(device).type
    if kind not in ("cpu", "cuda"):
        raise InputError(f"{count} ranks on {kind}: expected cpu or cuda")
    return kind
