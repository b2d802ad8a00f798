"""Several processes that share a training, as `torchrun --nproc-per-node N -m textgen train ...` starts them.

Data parallel (Li et al. 2020): each has all of the model and its rows of every batch, and torch's
`DistributedDataParallel` makes their gradients one; gloo connects CPUs, NCCL GPUs. What is learnt is what one process would
learn (`textgen.rows`). The first process writes and speaks for all. Without torchrun every function here is of one
process, and costs nothing.
"""

from __future__ import annotations

import atexit
import contextlib
import datetime
import gc
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
import torch.distributed.nn.functional  # before there is a group, which its default arguments would hold for ever
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from textgen.errors import Interrupted, UserError
from textgen.rows import Share, current_rows, set_share, share

T = TypeVar("T")
# For the others, who may be judging; a process that ends is noticed at once.
_WAIT = datetime.timedelta(minutes=30)
_NEEDED = ("RANK", "MASTER_ADDR", "MASTER_PORT")  # in the environment, beside WORLD_SIZE
_torchrun: int | None = None  # the process that started this one
_ENDED = "another process of this training has ended; see its message, and continue with --resume"


@contextlib.contextmanager
def joined() -> Iterator[None]:
    """Within it this process is one of those that torchrun started, where it did; also a decorator."""
    if _announced() == 1 or dist.is_initialized():
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=_WAIT)
    except (ValueError, RuntimeError) as error:
        told = ", ".join(f"{name}={os.environ[name]}" for name in ("WORLD_SIZE", *_NEEDED))
        why = str(error).partition("\n")[0]
        raise UserError(
            f"the processes do not find one another by {told}: {why}; start them with torchrun"
        ) from error
    set_share(Share(dist.get_rank(), dist.get_world_size()))
    global _torchrun
    _torchrun = os.getppid() if "TORCHELASTIC_RUN_ID" in os.environ else None
    try:
        yield
    except Interrupted:
        if first():
            raise
        raise SystemExit(130) from None  # the first says it
    finally:
        set_share(Share())
        _torchrun = None
        dist.destroy_process_group()
        # Whatever holds the group then, an error's frames or a cycle, keeps gloo's threads, and a thread that lets go of a
        # tensor while the interpreter ends aborts the process.
        atexit.register(gc.collect)


def _announced() -> int:
    """How many processes there are, by what torchrun sets. Raises UserError where only a part of it is set."""
    told = os.environ.get("WORLD_SIZE") or "1"
    if not told.isdecimal() or int(told) < 1:
        raise UserError(
            f"WORLD_SIZE is {told!r}, not a number of processes; start them with torchrun, or unset it"
        )
    absent = [name for name in _NEEDED if not os.environ.get(name)]
    if int(told) > 1 and absent:
        raise UserError(
            f"WORLD_SIZE is {told}, but {', '.join(absent)} not set; start the processes with torchrun, or unset "
            "WORLD_SIZE to train in one"
        )
    return int(told)


def first() -> bool:
    """Whether this is the process that writes and speaks."""
    return share().rank == 0


@contextlib.contextmanager
def noticing() -> Iterator[None]:
    """Raises UserError where another process has ended, instead of what the network says of it."""
    try:
        yield
    except RuntimeError as error:
        if share().count > 1 and any(word in str(error) for word in ("gloo", "NCCL", "Connection", "peer")):
            raise UserError(_ENDED) from error
        raise


class _Told(UserError):
    """What all processes know of already."""


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Work that all processes do alike; none goes on before all have done it, and what one cannot do ends all.

    The first process raises the UserError for all of them. It may stand within another.
    """
    problem: UserError | None = None
    try:
        yield
    except _Told:
        raise
    except UserError as error:
        problem = error
    if share().count > 1:
        found: list[str | None] = [None] * share().count
        with noticing():
            dist.all_gather_object(found, None if problem is None else str(problem))
        told = [text for text in found if text is not None]
        if told and not first():
            raise SystemExit(2) from problem
        if told:
            raise _Told(told[0]) from problem
    if problem is not None:
        raise problem


def wait() -> None:
    """Until all processes are here."""
    if share().count > 1:
        with noticing():
            dist.barrier()


def mean(total: Tensor, count: Tensor | float) -> Tensor:
    """What each process takes for the batch's mean, of `total` and `count` of its own rows.

    The mean of what the processes have, and of its gradients, is that of the batch, however the rows are shared out.
    """
    if share().count == 1:
        return total / count
    rows = current_rows()
    counted = float(rows is None or rows.counted)
    everything = torch.as_tensor(count, dtype=torch.float64).detach().cpu() * counted
    with noticing():
        dist.all_reduce(everything)
    return total * counted * share().count / everything.to(total)


def agreed(stop: bool, figures: Sequence[float]) -> tuple[bool, float, list[float]]:
    """What all processes make of a step: whether any was asked to stop, the first one's clock, the means of `figures`.

    That torchrun was killed asks to stop: nothing else would end what it started.
    """
    clock = time.monotonic() if first() else 0.0
    alone = _torchrun is not None and os.getppid() != _torchrun
    asked, now, *sums = summed([float(stop or alone), clock, *figures])
    return asked > 0, now, [figure / share().count for figure in sums]


def clock() -> float:
    """Seconds on the first process's clock."""
    return summed([time.monotonic() if first() else 0.0])[0]


def any_of(mine: bool) -> bool:
    """Whether it is true in any of the processes."""
    return summed([float(mine)])[0] > 0


def summed(figures: Sequence[float]) -> list[float]:
    """The sum of each over the processes."""
    if share().count == 1:
        return list(figures)
    every = torch.tensor(figures, dtype=torch.float64)
    with noticing():
        dist.all_reduce(every)
    found: list[float] = every.tolist()
    return found


def collected(mine: T) -> list[T]:
    """What each process has, in their order."""
    if share().count == 1:
        return [mine]
    found: list[Any] = [None] * share().count
    with noticing():
        dist.all_gather_object(found, mine)
    return found


def shared_out(items: Sequence[T], work: Callable[[Sequence[T]], Sequence[Any]]) -> list[Any]:
    """`work(items)`, a result an item, of which each process does its part."""
    if share().count == 1 or not items:
        return list(work(items))
    rows = share().of(len(items))
    done = list(work(items[rows.slice])) if rows.counted else []
    return [result for part in collected(done) for result in part]


class _Lossy(nn.Module):
    """The modules that are trained, and the loss of which they are: what torch's data parallelism wraps."""

    def __init__(self, modules: Sequence[nn.Module], loss: Callable[..., Any]):
        super().__init__()
        self.parts = nn.ModuleList(modules)
        self._loss = loss

    def forward(self, *args: Any) -> Any:
        return self._loss(*args)


def parallel(modules: Sequence[nn.Module], loss: Callable[..., T]) -> Callable[..., T]:
    """`loss` of `modules`, whose gradients then become the mean of all processes'."""
    if share().count == 1:
        return loss
    return DistributedDataParallel(_Lossy(modules, loss))
