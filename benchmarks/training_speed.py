"""Images a second of our training beside a plain PyTorch loop on tensors in memory, and beside the pipeline alone.

    python benchmarks/training_speed.py [MODEL] [WIDTH] [RESOLUTION] [BATCH] [STEPS]

All three see the same number of random images of the same size, on the device that `--device auto` would take, at
the precision that it would take there. The plain loop has its views in memory as normalized float tensors on the
device, the same net, fused AdamW and cross-entropy, and nothing else; the pipeline makes views and batches that nobody
learns from. Beside them, training on maps: making them for one view, and an epoch of the layers above. The limit by
arithmetic is what a product of two large matrices reaches. Rounds take turns, and the best of each counts. Says the
device, and the ratio of ours to the lower limit.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from pocketvision.cost.count import count
from pocketvision.graph.trace import trace_spec
from pocketvision.latency.measure import machine
from pocketvision.models.blocks import Net
from pocketvision.models.catalogue import build
from pocketvision.process import keep_memory
from pocketvision.progress import Silent
from pocketvision.settings.groups import TrainConfig
from pocketvision.train.batches import TrainImages, prefetch
from pocketvision.train.device import Engine, engine_for
from pocketvision.train.loop import Phase, step
from pocketvision.train.lower import map_layers_of
from pocketvision.train.maps import MapMaker
from pocketvision.train.optimizer import moving_average
from pocketvision.train.recipe import recipe_for
from pocketvision.train.trainer import Trainer
from pocketvision.values import ImageSpec, ModelSpec

CLASSES, ROUNDS = 10, 3


def wait(device: torch.device) -> None:
    """Let an accelerator finish what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def ours(trainer: Trainer, phase: Phase) -> Callable[[], None]:
    """Return one epoch of our loop, without validation and checkpoints."""
    net = phase.module
    average = moving_average(net, phase.source.steps)
    parameters = [{"params": list(net.parameters()), "rate": 1.0}]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, fused=True)

    def epoch() -> None:
        net.train()
        for batch in prefetch(phase.source.batches(0, trainer.image.resolution)):
            step(net, optimizer, batch, objective=phase.objective, rate=1e-3, engine=trainer.engine)
            average.update_parameters(net)

    return epoch


def plain(net: Net, engine: Engine, *, batch: int, steps: int, resolution: int) -> Callable[[], None]:
    """Return the same number of steps of the loop that anybody would write, on one batch that lies in memory."""
    net.to(engine.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, fused=True)
    inputs = torch.randn(batch, 3, resolution, resolution, device=engine.device)
    inputs = inputs.contiguous(memory_format=torch.channels_last)
    labels = torch.arange(batch, device=engine.device) % CLASSES

    def epoch() -> None:
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            with engine.autocast():
                loss = nn.functional.cross_entropy(net(inputs), labels, label_smoothing=0.1)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    return epoch


def main() -> None:
    """Time them in turns and print images a second."""
    keep_memory()  # as the command line does
    given = [*sys.argv[1:], *["mobilenet_v2", "1.0", "224", "32", "8"][len(sys.argv) - 1 :]]
    name, width, (resolution, batch, steps) = given[0], float(given[1]), map(int, given[2:5])
    engine, images_count = engine_for("auto"), batch * steps
    rng = np.random.default_rng(0)
    source = rng.integers(0, 256, (images_count, resolution, resolution, 3), np.uint8)
    images = TrainImages(source, source, np.arange(images_count) % CLASSES, source[:2], np.arange(2))
    recipe = recipe_for(TrainConfig(batch_size=batch, epochs=1), transfer=True, examples=images_count)
    recipe = replace(recipe, head_epochs=0, progressive_epochs=0.0, fine_tune="all")
    nets = [build(name, width=width, resolution=resolution, num_classes=CLASSES) for _ in range(3)]
    for net in nets:
        net.to(engine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    with tempfile.TemporaryDirectory() as folder:
        image = ImageSpec(resolution)
        trainer = Trainer(nets[0], images, image, recipe, Path(folder), engine=engine)
        layers = map_layers_of(nets[0], resolution)
        on_maps = replace(recipe, fine_tune="upper", map_views=1, map_layers=layers)
        learner = Trainer(nets[2], images, image, on_maps, Path(folder) / "maps", engine=engine)
        maker = MapMaker(nets[0], layers, trainer.views, Silent())

        def pipeline() -> None:
            for _ in trainer.views.batches(0, resolution):
                pass

        def made() -> None:
            for _ in maker.made(0):
                pass

        works = {
            "our loop, all of the net": ours(trainer, trainer.whole()),
            "plain loop, tensors in memory": plain(nets[1], engine, batch=batch, steps=steps, resolution=resolution),
            "pipeline alone": pipeline,
            f"maps of {layers} layers, one view": made,
            "our loop, on maps": ours(learner, learner.upper()),
        }
        speed = rounds(works, engine.device, images_count)
    where = torch.cuda.get_device_name() if engine.device.type == "cuda" else machine()
    print(f"{name} {width:g} @ {resolution} px, batch {batch}, {engine.precision}, {torch.get_num_threads()} threads")
    print(f"device: {engine.device.type}, {where}")
    for title, found in speed.items():
        print(f"  {title:30}  {found:8.1f} images/s")
    own, *limits = list(speed.values())[:3]
    print(f"  all of the net: ours is {own / min(limits):.0%} of the lower of the two limits")
    # Forward, and backward twice as many; a multiply-add is two operations.
    flops = 3 * 2 * count(trace_spec(ModelSpec(name, width, resolution))).macs
    print(f"  {'limit by arithmetic':30}  {peak_flops(engine.device) / flops:8.1f} images/s, all of the net")


def peak_flops(device: torch.device) -> float:
    """Return the operations a second of a product of two large matrices in fp32."""
    one, two = torch.rand(2, 2048, 2048, device=device)
    best = 0.0
    for _ in range(5):
        wait(device)
        started = time.perf_counter()
        one @ two
        wait(device)
        best = max(best, 2 * 2048**3 / (time.perf_counter() - started))
    return best


def rounds(works: dict[str, Callable[[], None]], device: torch.device, count: int) -> dict[str, float]:
    """Let each work once unseen, then in turns; return the images a second of each one's best round."""
    best = dict.fromkeys(works, 0.0)
    for number in range(ROUNDS + 1):
        for title, work in works.items():
            wait(device)
            started = time.perf_counter()
            work()
            wait(device)
            if number:
                best[title] = max(best[title], count / (time.perf_counter() - started))
    return best


if __name__ == "__main__":
    main()
