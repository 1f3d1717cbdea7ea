"""Memory that does not hold a batch: parts of it give the same step, and an interrupted run remembers them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pocketvision.data.tensors import eval_batch_size, eval_batches
from pocketvision.errors import PocketvisionError, UsageError
from pocketvision.models.catalogue import build
from pocketvision.settings.groups import TrainConfig
from pocketvision.tasks.classify.learning import CrossEntropy
from pocketvision.train.batches import TrainImages
from pocketvision.train.checkpoint import Checkpoint
from pocketvision.train.device import Engine, out_of_memory
from pocketvision.train.loop import step
from pocketvision.train.objective import Batch
from pocketvision.train.recipe import Recipe, recipe_for
from pocketvision.train.schedule import find_most
from pocketvision.train.trainer import Trainer
from pocketvision.values import ImageSpec

CPU = torch.device("cpu")
NO_MEMORY = "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"


class Narrow(nn.Module):
    """Takes so many images at most, as if memory held no more."""

    def __init__(self, inner: nn.Module, most: int) -> None:
        super().__init__()
        self.inner, self.most, self.seen = inner, most, list[int]()

    def forward(self, inputs: Tensor) -> Tensor:
        if self.training:
            self.seen.append(len(inputs))
            if len(inputs) > self.most:
                raise RuntimeError(NO_MEMORY)
        found: Tensor = self.inner(inputs)
        return found


def taken(module: nn.Module, engine: Engine, weights: Tensor | None = None) -> tuple[float, Tensor]:
    batch = Batch(
        torch.randn(23, 6, generator=torch.Generator().manual_seed(1)), torch.arange(23) % 3, torch.arange(23)
    )
    optimizer = torch.optim.SGD([{"params": list(module.parameters()), "rate": 1.0}], lr=1.0)
    loss, _, count = step(module, optimizer, batch, objective=CrossEntropy(0.1, weights), rate=0.1, engine=engine)
    assert count == 23
    return loss.item(), torch.cat([weight.detach().flatten() for weight in module.parameters()])


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(6, 3)


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 5.0, 0.2])])
@pytest.mark.parametrize("most", [3, 5, 12])
def test_a_step_in_parts_is_the_step_of_the_whole_batch(most: int, weights: Tensor | None) -> None:
    loss, expected = taken(linear(), Engine(), weights)
    said: list[str] = []
    engine = Engine()
    engine.say = said.append
    net = Narrow(linear(), most)
    found_loss, found = taken(net, engine, weights)
    assert found_loss == pytest.approx(loss, rel=1e-5)
    assert torch.allclose(found, expected, atol=1e-6)
    assert engine.micro_batch is not None
    assert engine.micro_batch <= most
    assert said[-1].startswith("memory cannot hold")
    before = len(net.seen)
    taken(net, engine, weights)
    assert max(net.seen[before:]) <= most, "what memory does not hold is asked of it once only"


def test_parts_cover_a_batch_and_none_is_a_single_image() -> None:
    for count in range(2, 40):
        batch = Batch(torch.zeros(count, 1), torch.zeros(count), torch.arange(count))
        for most in (2, 3, 8, 64):
            parts = list(batch.parts(most))
            assert torch.equal(torch.cat([part.indices for part in parts]), batch.indices)
            assert min(len(part.indices) for part in parts) >= 2
            assert max(len(part.indices) for part in parts) <= most + (most == 2)


def test_where_two_images_are_too_many_it_says_what_to_do() -> None:
    with pytest.raises(PocketvisionError, match="lower --resolution"):
        taken(Narrow(linear(), 1), Engine())
    with pytest.raises(PocketvisionError, match="--batch-size 11"):
        Engine(world_size=2).lower(23)


def test_other_errors_come_through() -> None:
    class Broken(Narrow):
        def forward(self, inputs: Tensor) -> Tensor:
            raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        taken(Broken(linear(), 1), Engine())
    assert out_of_memory(torch.OutOfMemoryError("CUDA"))
    assert not out_of_memory(ValueError("not enough memory"))


def trainer(folder: Path, recipe: Recipe, engine: Engine, most: int) -> tuple[Trainer, list[int]]:
    rng = np.random.default_rng(0)
    train, val = (rng.integers(0, 256, (count, 32, 32, 3), np.uint8) for count in (48, 20))
    torch.manual_seed(3)
    net = build("mobilenet_v1", width=0.125, resolution=32, num_classes=2)
    seen: list[int] = []

    def gate(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append(len(inputs[0]))
        if module.training and len(inputs[0]) > most:
            raise RuntimeError(NO_MEMORY)

    net.register_forward_pre_hook(gate)
    images = TrainImages(train, train, np.arange(48) % 2, val, np.arange(20) % 2)
    return Trainer(net, images, ImageSpec(32), recipe, folder, engine=engine), seen


def test_a_run_goes_on_with_the_parts_it_found(tmp_path: Path) -> None:
    recipe = recipe_for(
        TrainConfig(epochs=2, batch_size=16, patience=99, flip=False, seed=5), transfer=False, examples=48
    )
    engine = Engine()
    trainer(tmp_path, replace(recipe, epochs=1), engine, 5)[0].train()
    assert engine.micro_batch == 4
    again = Engine()
    job, seen = trainer(tmp_path, recipe, again, 5)
    epochs = job.train()
    assert len(epochs) == 2
    assert again.micro_batch == 4
    assert 16 not in seen
    assert Checkpoint(tmp_path / "weights").phase() == "all"


def test_a_trial_finds_what_memory_holds_and_leaves_the_net_alone(tmp_path: Path) -> None:
    recipe = recipe_for(
        TrainConfig(epochs=2, batch_size=16, patience=99, flip=False, seed=5), transfer=False, examples=48
    )
    engine = Engine()
    job, _ = trainer(tmp_path, recipe, engine, 16)
    before = {name: value.clone() for name, value in job.net.state_dict().items()}
    state = torch.random.get_rng_state()
    find_most(job.net, job.views, engine)
    assert engine.micro_batch is None
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in job.net.state_dict().items())


@pytest.mark.parametrize("size", ["many", "0", "1", "-4", "2.5", ""])
def test_a_batch_size_that_is_none_is_said(size: str) -> None:
    with pytest.raises(UsageError, match="takes auto or a whole number of images from 2"):
        recipe_for(TrainConfig(batch_size=size), transfer=True, examples=100)
    assert recipe_for(TrainConfig(batch_size="24"), transfer=True, examples=100).batch_size == 24
    assert recipe_for(TrainConfig(batch_size="auto"), transfer=True, examples=10_000).batch_size == 32


def test_eval_batches_keep_to_a_number_of_pixels_on_a_cpu() -> None:
    assert [eval_batch_size(side, CPU) for side in (2000, 224, 160, 96, 32)] == [1, 4, 7, 21, 64]
    assert eval_batch_size(224, torch.device("cuda")) == 64
    covered = [place for part in eval_batches(10, 224, CPU) for place in range(part.start, part.stop)]
    assert covered == list(range(10))
