"""Ray: work on the machines of a cluster (extra `cluster`). Curation maps films over it, and training starts its ranks on it."""

from __future__ import annotations

import logging
import os
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from kinema.errors import EngineError, InputError, KinemaError, excerpt

_Item = TypeVar("_Item")


@contextmanager
def ray_cluster(cores: int | None = None) -> Iterator[Any]:
    """Ray, connected to the cluster that RAY_ADDRESS names, or to one of this machine, which ends with the block.

    cores: how many a cluster of this machine shall offer at least. InputError: Ray is not installed, or there is no such cluster.
    """
    address = os.environ.get("RAY_ADDRESS")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read by what Ray starts; nothing is sent anywhere
    if address is None and "ray" not in sys.modules:  # it listens on all interfaces: who connects has to know a token
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    try:
        import ray.data
        import ray.train
    except ImportError:
        raise InputError("--ray needs Ray; install it with: pip install 'kinema[cluster]'") from None
    if ray.is_initialized():
        yield ray
        return
    quiet = {"worker_process_setup_hook": lambda: logging.getLogger("ray.train").setLevel("ERROR")}
    local = {"num_cpus": max(cores or 1, os.cpu_count() or 1), "_node_ip_address": "127.0.0.1", "include_dashboard": False}
    try:
        ray.init(address or "local", logging_level="ERROR", runtime_env=quiet, **({} if address else local))
    except (ConnectionError, RuntimeError, ValueError) as error:
        place = f"RAY_ADDRESS {address} leads to no cluster" if address else "Ray does not start"
        raise InputError(f"{place}: {excerpt(' '.join(str(error).split()), 200)}") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def work_in(place: Path) -> None:
    """Take the directory of the command, so that its relative paths are right; absolute ones are everywhere."""
    if place.is_dir():
        os.chdir(place)


def map_on_cluster(work: Callable[[_Item], object], items: Sequence[_Item], show: Callable[[int], None]) -> None:
    """Call `work` with each item on some machine of the cluster, as many at once as there are cores.

    What `work` returns is dropped: it writes files to storage that all machines share, each whole or not at all. A KinemaError of
    it is dropped too, so that the caller, who looks for those files, meets it. show: called with how many are done.

    EngineError: Ray failed, after it had tried again elsewhere.
    """
    if not items:
        return
    place = Path.cwd()
    with ray_cluster() as ray:

        def call(row: dict[str, bytes]) -> dict[str, bool]:
            work_in(place)
            try:
                work(ray.cloudpickle.loads(row["item"]))
            except KinemaError:
                return {"done": False}
            return {"done": True}

        ray.data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel("ERROR")
        pickled = [{"item": ray.cloudpickle.dumps(item)} for item in items]
        try:
            for done, _ in enumerate(ray.data.from_items(pickled, override_num_blocks=len(items)).map(call).iter_rows(), 1):
                show(done)
        except ray.exceptions.RayError as error:
            reason = excerpt(str(error).strip().split("\n")[-1], 200)
            raise EngineError(
                f"work on the cluster failed: {reason}; run the command again to go on", "engine_crashed"
            ) from error
