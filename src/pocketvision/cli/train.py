"""The verb `train`."""

from pathlib import Path

from pocketvision.cli import options as o


def train(  # noqa: PLR0913, PLR0917  a command's options
    data: o.Data,
    model: o.Model = None,
    width: o.Width = None,
    resolution: o.Resolution = None,
    weights: o.Weights = None,
    epochs: o.Epochs = None,
    batch_size: o.BatchSize = "auto",
    lr: o.Rate = None,
    optimizer: o.Optimizer = "auto",
    patience: o.Patience = None,
    flip: o.Flip = None,
    balance: o.Balance = "auto",
    time_limit: o.TimeLimit = None,
    crop_mode: o.CropMode = "squash",
    val: o.Val = 0.15,
    test: o.Test = 0.15,
    seed: o.Seed = 42,
    device: o.Device = "auto",
    precision: o.Precision = "auto",
    log: o.Log = "csv",
    output: o.Output = Path("runs"),
    name: o.Name = None,
    resume: o.Resume = False,
    exist_ok: o.ExistOk = False,
    json: o.Json = False,
) -> None:
    """Train one net of your choice; `export` makes a file of it."""
    import pocketvision
    from pocketvision.cli.terminal import Terminal, emit, macro_words
    from pocketvision.files import first_process

    arguments = {key: value for key, value in locals().items() if key in (pocketvision.train.__kwdefaults__ or {})}
    result = pocketvision.train(data, **arguments, progress=Terminal())
    if not first_process():
        return
    if json:
        emit(result)
        return
    print(f"\n{result.weights}")
    print(f"  net         {result.trained.spec}, started {result.trained.start}, {result.trained.epochs} epochs")
    print(f"  validation  {result.trained.validation}{macro_words(result.trained.validation.macro)}")
    print(f"  next        pocketvision export {result.run}")
