"""Several processes, "ranks", that train one network: who takes which rows of a batch, and how weights and gradients are shared.

Every rank takes its share of the same batch and the gradients are averaged, so that a run's losses do not depend on how many ranks
there are. Models know nothing of this. Ranks are started by torchrun, by `kinema train ... --nproc` on one machine, or by Ray.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # it is public, and its stub does not say so
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from kinema.errors import EngineError, InputError

V = TypeVar("V")
WAYS = ("replicate", "shard", "hybrid")
"""How ranks hold the weights: each all of them; each a share; each a share of its machine's copy."""
PATIENCE = timedelta(days=1)
"""How long ranks wait for the first one to encode the data. A rank that ends is noticed at once all the same."""


class LostPeerError(EngineError):
    """Another rank has ended while this one waited for it."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """Part `number` of `of` equal parts of a batch's rows."""

    number: int = 0
    of: int = 1

    def rows(self, batch: int) -> slice:
        """Which of the batch's rows; InputError where it has no equal parts."""
        if batch % self.of:
            raise InputError(
                f"a batch of {batch} for {self.of} ranks and accumulated parts: expected a multiple of {self.of}"
            )
        size = batch // self.of
        return slice(self.number * size, (self.number + 1) * size)


WHOLE = Share()


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """This process among those that train together. Without arguments: alone."""

    rank: int = 0
    size: int = 1
    per_machine: int = 1
    control: dist.ProcessGroup | None = None
    """Over which numbers of the processor are exchanged, with `PATIENCE`."""
    saving: dist.ProcessGroup | None = None
    """Over which checkpoints are arranged, while training goes on."""

    @property
    def first(self) -> bool:
        """Whether this rank writes files and messages."""
        return self.rank == 0

    def share(self, accumulate: int = 1, part: int = 0) -> Share:
        """This rank's share of a batch, or of its rows one of so many parts."""
        return Share(number=self.rank * accumulate + part, of=self.size * accumulate)

    def mean(self, values: Tensor) -> Tensor:
        """The mean over ranks of numbers that each has, on the processor."""
        values = values.detach().cpu()
        if self.size > 1:
            with together():
                dist.all_reduce(values, group=self.control)
        return values / self.size

    def mean_figures(self, figures: Mapping[str, float]) -> dict[str, float]:
        """The mean over ranks of figures of the same names."""
        every = self.mean(torch.tensor(list(figures.values()), dtype=torch.float64)).tolist()
        return dict(zip(figures, every, strict=True))

    def agree(self, elapsed_s: float, stopping: bool) -> tuple[float, bool]:
        """The first rank's clock, and whether any rank is asked to stop."""
        if self.size == 1:
            return elapsed_s, stopping
        word = torch.tensor([elapsed_s if self.first else 0.0, float(stopping)], dtype=torch.float64)
        with together():
            dist.all_reduce(word, group=self.control)
        return float(word[0]), bool(word[1] > 0)

    def wait(self) -> None:
        """Until every rank has come this far."""
        if self.size > 1:
            with together():
                dist.barrier(group=self.control)

    def prepare(self, make: Callable[[], V], take: Callable[[], V]) -> V:
        """What `make` returns on the first rank; on the others, once that is done, what `take` does."""
        made = make() if self.first else None
        self.wait()
        return made if made is not None else take()

    def mesh(self, device: str, parallel: str) -> DeviceMesh:
        """The ranks in one row, or, for "hybrid", one row for each machine."""
        if parallel != "hybrid":
            return init_device_mesh(device, (self.size,))
        shape = (self.size // self.per_machine, self.per_machine)
        return init_device_mesh(device, shape, mesh_dim_names=("replicate", "shard"))

    def shard(self, model: nn.Module, parallel: str, *, narrow: bool = False) -> None:
        """Make a model's weights those of this rank, block by block. narrow: they are gathered in bfloat16; gradients are summed
        in float32, and what is stored stays float32."""
        warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view")  # nothing changes outputs in place
        mesh = self.mesh(next(model.parameters()).device.type, parallel)
        policy = (
            MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
            if narrow
            else MixedPrecisionPolicy()
        )
        for block in model.get_submodule("blocks").children():
            fully_shard(block, mesh=mesh, mp_policy=policy)
        for part in (*model.get_submodule("rules").children(), getattr(model, "prior", None)):
            if part is not None:
                fully_shard(part, mesh=mesh)  # it stays exact
        fully_shard(model, mesh=mesh, mp_policy=policy)


ALONE = Ranks()


@contextmanager
def together() -> Iterator[None]:
    """LostPeerError where another rank has ended while this one exchanged something with it."""
    try:
        yield
    except RuntimeError as error:
        words = str(error).lower()
        if isinstance(error, dist.DistError) or any(word in words for word in ("connection", "gloo", "nccl")):
            raise LostPeerError(
                "another rank has ended, so this one does too; go on with --resume", "engine_crashed"
            ) from error
        raise


@contextmanager
def join_ranks(device: str | torch.device) -> Iterator[tuple[Ranks, str]]:
    """Meet the other ranks that a launcher has started, if any: this process among them, and its device.

    Gradients go over gloo on processors and over NCCL on CUDA. Where the launcher has made the process group and chosen the GPU, as
    Ray does, these are used and stay. InputError: a device that several ranks cannot share.
    """
    kind, size = torch.device(device).type, int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Ranks(), str(device)
        return
    if kind not in ("cpu", "cuda"):
        raise InputError(f"{size} ranks on {kind}: expected cpu or cuda")
    local, local_size = int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("LOCAL_WORLD_SIZE", str(size)))
    joined = dist.is_initialized()
    if kind == "cuda" and local_size > torch.cuda.device_count():
        raise InputError(
            f"{local_size} ranks on {torch.cuda.device_count()} GPUs: expected one GPU for each, or --device cpu"
        )
    if kind == "cuda" and not joined:
        torch.cuda.set_device(local)
    mine = torch.device("cuda", torch.cuda.current_device()) if kind == "cuda" else torch.device("cpu")
    with together():
        if not joined:
            backend, rank = "cpu:gloo,cuda:nccl" if kind == "cuda" else "gloo", int(os.environ["RANK"])
            dist.init_process_group(backend, store=_meeting_place(rank, size), rank=rank, world_size=size)
        control, saving = (dist.new_group(backend="gloo", timeout=PATIENCE) for _ in range(2))
    try:
        yield Ranks(rank=dist.get_rank(), size=size, per_machine=local_size, control=control, saving=saving), str(mine)
    finally:
        for group in (control, saving) if joined else (None,):
            dist.destroy_process_group(group)


MEETING, MEETING_S = "kinema/meeting-port", 1800.0
"""Where torchrun's ranks find the port of the first one's store, and for how long they look."""


def _meeting_place(rank: int, size: int) -> TCPStore | None:
    """The store by which torchrun's ranks of one start find each other, which the first one opens; None where there is no torchrun,
    and torch opens one.

    torchrun's own store outlives ranks, so those that start anew would read there what the ones before them wrote, and wait for
    each other without end (pytorch/pytorch issue 135712). There they look for the first rank's port alone. One of an earlier
    start does not answer, since its rank has ended, and is read again."""
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return None
    host, patience = os.environ["MASTER_ADDR"], timedelta(seconds=MEETING_S)
    shared = TCPStore(host, int(os.environ["MASTER_PORT"]), size, False, patience)
    if rank == 0:
        own = TCPStore(host, 0, size, True, patience, wait_for_workers=False)
        shared.set(MEETING, str(own.port))
        return own
    until = time.monotonic() + MEETING_S
    while True:
        try:
            store = TCPStore(host, int(shared.get(MEETING)), size, False, timedelta(seconds=3), wait_for_workers=False)
        except RuntimeError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
        else:
            store.set_timeout(patience)
            return store


def recompute_blocks(model: nn.Module) -> None:
    """Activation checkpointing: what blocks compute is not stored for the backward pass but computed once more in it."""
    for block in model.get_submodule("blocks").children():
        block.forward = partial(checkpoint, block.forward, use_reentrant=False, preserve_rng_state=False)


def collecting(module: nn.Module, last: bool) -> AbstractContextManager[None]:
    """Around the passes of one part of a batch: gradients are averaged over ranks in the last one only."""
    if isinstance(module, DistributedDataParallel) and not last:
        return module.no_sync()
    if isinstance(module, FSDPModule):
        module.set_requires_gradient_sync(last)
    return nullcontext()


def whole_state(module: nn.Module) -> dict[str, Tensor]:
    """The state of a module with every sharded tensor whole; all ranks call it."""
    return {name: x.full_tensor() if isinstance(x, DTensor) else x for name, x in module.state_dict().items()}


def like(whole: Tensor, mine: Tensor) -> Tensor:
    """A whole tensor, sharded as `mine` is."""
    if not isinstance(mine, DTensor):
        return whole
    return distribute_tensor(whole.to(mine.device, mine.dtype), mine.device_mesh, mine.placements, src_data_rank=None)
