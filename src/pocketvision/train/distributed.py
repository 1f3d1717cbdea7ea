"""One batch in several processes: each computes its shard, and what depends on the whole batch is computed over all."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@dataclass(frozen=True)
class Shard:
    """Examples `start` to `stop` of a batch of `count`."""

    start: int
    stop: int
    count: int

    @classmethod
    def of(cls, count: int, processes: int, place: int) -> "Shard":
        """Cut a batch as evenly as can be; one may be empty."""
        return cls(count * place // processes, count * (place + 1) // processes, count)


def sum_over_processes(values: Tensor) -> None:
    """Add a tensor up over all processes, in place."""
    torch.distributed.all_reduce(values)


def add_gradients(groups: Iterable[Sequence[Tensor]]) -> None:
    """Give every process the sum of all processes' gradients, by one exchange."""
    gradients = [value.grad for group in groups for value in group if value.grad is not None]
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    sum_over_processes(flat)
    start = 0
    for gradient in gradients:
        gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
        start += gradient.numel()


@contextmanager
def whole_batch(module: nn.Module, shard: Shard) -> Iterator[None]:
    """Make batch norms and dropouts inside act as if the module were given the whole batch."""
    changed: list[nn.Module] = []
    for inner in module.modules():
        if isinstance(inner, _BatchNorm):
            _act(inner, partial(_norm, inner, count=shard.count))
        elif isinstance(inner, nn.Dropout | nn.Dropout2d):
            _act(inner, partial(_dropout, inner, shard=shard))
        else:
            continue
        changed.append(inner)
    try:
        yield
    finally:
        for inner in changed:
            del inner.forward


def _act(module: nn.Module, forward: Callable[..., Tensor]) -> None:
    module.forward = forward


class _Total(torch.autograd.Function):
    """The sum over all processes; so is its gradient, because every process's loss depends on every shard."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        total = values.clone()
        sum_over_processes(total)
        return total

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        sum_over_processes(total)
        return total


def _total(values: Tensor) -> Tensor:
    return _Total.apply(values)  # type: ignore[no-any-return, no-untyped-call]


def _norm(norm: _BatchNorm, inputs: Tensor, *, count: int) -> Tensor:
    """Normalize a shard by the moments of the whole batch of `count` examples."""
    if not norm.training or norm.running_mean is None or norm.running_var is None:
        return type(norm).forward(norm, inputs)
    values = inputs.to(torch.promote_types(inputs.dtype, torch.float32))
    axes = [axis for axis in range(values.ndim) if axis != 1]
    shape = [1, -1] + [1] * (values.ndim - 2)
    number = count * int(values.shape[2:].numel())
    mean = _total(values.sum(axes)) / number
    centered = values - mean.view(shape)
    variance = _total((centered * centered).sum(axes)) / number
    _follow(norm, mean.detach(), variance.detach() * (number / max(1, number - 1)))
    scaled = centered * (variance + norm.eps).rsqrt().view(shape)
    if norm.affine:
        scaled = scaled * norm.weight.view(shape) + norm.bias.view(shape)
    return scaled.to(inputs.dtype)


@torch.no_grad()
def _follow(norm: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked += 1
    momentum = norm.momentum if norm.momentum is not None else 1 / float(norm.num_batches_tracked)
    norm.running_mean.lerp_(mean, momentum)
    norm.running_var.lerp_(variance, momentum)


def _dropout(dropout: nn.Dropout | nn.Dropout2d, inputs: Tensor, *, shard: Shard) -> Tensor:
    """Draw the whole batch's mask, as a single process would, and apply the shard's part of it."""
    if not dropout.training or dropout.p == 0:
        return inputs
    ones = inputs.new_ones((shard.count, *inputs.shape[1:]))
    if inputs.ndim == 4:
        ones = ones.contiguous(memory_format=torch.channels_last)
    drop = nn.functional.dropout2d if isinstance(dropout, nn.Dropout2d) else nn.functional.dropout
    return inputs * drop(ones, dropout.p)[shard.start : shard.stop]
