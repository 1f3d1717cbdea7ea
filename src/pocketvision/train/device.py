"""Where training runs: device, precision, processes and threads."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from statistics import median
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from pocketvision.errors import PocketvisionError, UnknownName, UsageError
from pocketvision.files import several_processes
from pocketvision.train.distributed import Shard, add_gradients, sum_over_processes, whole_batch

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
Precision = Literal["fp32", "bf16", "fp16"]
_TYPES: dict[Precision, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}
T = TypeVar("T")

WORTH = 1.25
"""Fewer threads than all are taken where a step is so many times faster: gradients differ in their last bits then."""
TURNS = 3
"""Steps that each number of threads takes, in turns, after one that warms up."""
AGAIN_S = 60.0
COST = 0.05
"""Share of the time that measuring may take."""


def device_for(asked: str = "auto") -> torch.device:
    """Return the device for `auto`, `cpu`, `cuda` or `mps`; raises UsageError where it is absent.

    Of several processes on one machine each has a card of its own, by its LOCAL_RANK.
    """
    if asked not in DEVICES:
        raise UnknownName("device", asked, DEVICES)
    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    name = next(name for name in here if here[name]) if asked == "auto" else asked
    if not here[name]:
        raise UsageError(f"--device {asked}: this machine, or this build of PyTorch, has none; use --device auto")
    return torch.device(name, int(os.environ.get("LOCAL_RANK", "0"))) if name == "cuda" else torch.device(name)


def precision_for(asked: str, device: torch.device) -> Precision:
    """Settle `auto`: fp32 but on CUDA, where it is bf16 if the card computes it, else fp16. Raises UsageError."""
    if asked not in PRECISIONS:
        raise UnknownName("precision", asked, PRECISIONS)
    half = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    if asked == "auto":
        return "fp32" if device.type != "cuda" else "bf16" if half else "fp16"
    if asked == "bf16" and device.type == "cuda" and not half:
        raise UsageError("--precision bf16: this card does not compute it; use fp16 or auto")
    return asked  # type: ignore[return-value]


class Engine:
    """Computes steps: on one device, at one precision, alone or as one of several processes that share each batch.

    Every process goes through the same whole batches and holds the same weights. Of each batch it computes its shard;
    the loss is that of the whole batch, and the gradients are added up. So the result is that of a single process,
    but for the order in which floats are added.
    """

    def __init__(
        self, device: torch.device | None = None, precision: Precision = "fp32", world_size: int = 1, rank: int = 0
    ) -> None:
        self.device, self.precision = device or torch.device("cpu"), precision
        self.world_size, self.rank = world_size, rank
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=precision == "fp16")
        self.micro_batch: int | None = None
        """Images that memory holds at once in a step; None as long as it held every batch whole."""
        self.say: Callable[[str], None] = lambda _: None
        """Told once when memory held less than was asked of it."""

    @property
    def alone(self) -> bool:
        """Tell whether this is the only process."""
        return self.world_size == 1

    @property
    def fused(self) -> bool:
        """Tell whether optimizers may be fused."""
        # A fused optimizer whose first step the scaler leaves out starts its momentum from memory never written.
        return self.precision != "fp16"

    def autocast(self) -> AbstractContextManager[Any]:
        """Compute the body at the engine's precision; goes around forward and loss."""
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=_TYPES[self.precision])

    def forward(self, module: nn.Module, inputs: Tensor) -> Tensor:
        """Return the logits of a whole training batch; gradients flow into this process's shard of them."""
        if self.alone:
            return _single(module(inputs))
        shard = Shard.of(len(inputs), self.world_size, self.rank)
        with whole_batch(module, shard):
            own = _single(module(inputs[shard.start : shard.stop]))
        every = own.new_zeros((shard.count, *own.shape[1:]))
        every[shard.start : shard.stop] = own.detach()
        sum_over_processes(every)
        return torch.cat([every[: shard.start], own, every[shard.stop :]])

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss, of a whole batch or of a part of one, to those there are."""
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    def take_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Take one step down the gradients of a whole batch."""
        if not self.alone:
            add_gradients(group["params"] for group in optimizer.param_groups)
        self.scaler.step(optimizer)
        self.scaler.update()

    def lower(self, count: int) -> None:
        """Halve what is taken at once, after memory did not hold it in a batch of `count`.

        Raises PocketvisionError where two images are too many, or where several processes share a batch.
        """
        tried = min(count, self.micro_batch or count)
        if not self.alone:
            raise PocketvisionError(
                f"memory cannot hold a batch of {count} over {self.world_size} processes; start again with "
                f"--batch-size {max(2, count // 2)}"
            )
        if tried < 4:
            raise PocketvisionError(
                f"memory cannot hold a step of {tried} images; take a lower --resolution, or another --model or --width"
            )
        self.micro_batch = tried // 2
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        self.say(
            f"memory cannot hold {tried} images in a step: {self.micro_batch} are taken at once and their gradients "
            "added up; the batch stays as large"
        )

    def trial(self) -> "Engine":
        """Return an engine like this one, for steps that leave no trace."""
        other = Engine(self.device, self.precision)
        other.micro_batch, other.say = self.micro_batch, self.say
        return other

    def first(self, make: Callable[[], T]) -> T:
        """Let the first process make a value, and give it to all; where that fails, all stop."""
        if self.alone:
            return make()
        box: list[Any] = [None, True]
        try:
            if self.rank == 0:
                box = [make(), False]
        finally:
            torch.distributed.broadcast_object_list(box, device=self.device)
        if box[1]:
            raise PocketvisionError("stopped, because the first process did; its message says why")
        return box[0]  # type: ignore[no-any-return]

    def all(self, value: bool) -> bool:
        """Tell whether a thing holds in every process."""
        if self.alone:
            return value
        fails = torch.tensor([float(not value)], device=self.device)
        sum_over_processes(fails)
        return fails.item() == 0

    def wait(self) -> None:
        """Wait until every process is here, so that one may read what another wrote."""
        if not self.alone:
            torch.distributed.barrier()

    @contextmanager
    def first_ahead(self) -> Iterator[None]:
        """Let the first process through the body before the others, which then find its files."""
        if self.rank > 0:
            self.wait()
        yield
        if self.rank == 0:
            self.wait()


def engine_for(device: str = "auto", precision: str = "auto") -> Engine:
    """Return the engine that a user asked for; joins the other processes of `torchrun` or `accelerate launch`."""
    if precision not in PRECISIONS:
        raise UnknownName("precision", precision, PRECISIONS)
    place = device_for(device)
    settled = precision_for(precision, place)
    if not several_processes():
        return Engine(place, settled)
    if place.type == "cuda":
        torch.cuda.set_device(place)
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("nccl" if place.type == "cuda" else "gloo")
    return Engine(place, settled, torch.distributed.get_world_size(), torch.distributed.get_rank())


_NO_MEMORY = ("DefaultCPUAllocator", "not enough memory", "out of memory")


def out_of_memory(error: Exception) -> bool:
    """Tell whether a device's allocator, or the processor's, has nothing left to give."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)


def _single(logits: Tensor) -> Tensor:
    """Return logits as float32: a softmax at half precision loses what training needs."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


class Threads:
    """Chooses by how many threads a step is computed: measured in turns, all and fewer; `most` of 1 never measures.

    A thread that waits for a core which another program has holds up all the others.
    """

    def __init__(
        self,
        most: int = 1,
        *,
        now: Callable[[], float] = time.perf_counter,
        use: Callable[[int], None] = torch.set_num_threads,
    ) -> None:
        self.most, self.taken = most, most
        self._now, self._use = now, use
        self._measured: float | None = None
        self._cost_s = 0.0

    @property
    def choices(self) -> tuple[int, ...]:
        """Return the numbers that are tried: all, one left to another program, half of them, one."""
        return tuple(sorted({self.most, max(1, self.most - 1), max(1, self.most // 2), 1}, reverse=True))

    def due(self, steps: int) -> bool:
        """Tell whether it is time to measure, with so many steps to come."""
        if self.most == 1:
            return False
        if self._measured is None:
            return steps * COST >= len(self.choices) * TURNS
        return self._now() - self._measured >= max(AGAIN_S, self._cost_s / COST)

    def measure(self, step: Callable[[], object]) -> int:
        """Time a step by each number of threads, in turns, and return the one to take."""
        began = self._now()
        times: dict[int, list[float]] = {count: [] for count in self.choices}
        for turn in range(TURNS + 1):
            for count, taken in times.items():
                self._use(count)
                started = self._now()
                step()
                if turn:
                    taken.append(self._now() - started)
        self._measured = self._now()
        self._cost_s = self._measured - began
        medians = {count: median(taken) for count, taken in times.items()}
        fastest = min(medians, key=lambda count: medians[count])
        return fastest if medians[self.most] >= WORTH * medians[fastest] else self.most

    def take(self, count: int) -> None:
        """Let steps be computed by so many threads from now on."""
        self.taken = min(count, self.most)
        if self.most > 1:
            self._use(self.taken)


@contextmanager
def all_threads_after(threads: Threads) -> Iterator[None]:
    """Give what follows the body all threads again."""
    try:
        yield
    finally:
        threads.take(threads.most)


def threads_for(device: torch.device, *, alone: bool) -> Threads:
    """Return what chooses the threads of a training: all that PyTorch has, a single choice where it is not ours."""
    fixed = "OMP_NUM_THREADS" in os.environ or device.type != "cpu" or not alone
    return Threads(1 if fixed else torch.get_num_threads())
