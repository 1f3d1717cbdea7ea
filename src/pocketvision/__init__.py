"""Small vision models, from photos to phone: a folder of images and a budget in, a proven model file out.

The names below are the verbs of the command line, as functions: `pocketvision.fit("photos/", max_size="2MB")`.
They are found on first use, so importing the package costs nothing. Rooms of the same name are reached by
`from pocketvision.cost import ...`; on the package itself the name always means the verb.
"""

import sys

# `python -m pocketvision` reads this file while Python still looks for modules in the current folder, where a file
# `typing.py` or `types.py` may lie: nothing is imported here that Python has not loaded by itself.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pocketvision.cost.reproduce import reproduce
    from pocketvision.cost.verb import cost
    from pocketvision.export.compressing import compress
    from pocketvision.export.verb import export
    from pocketvision.fit.choose import choose
    from pocketvision.fit.verb import fit
    from pocketvision.models.catalogue import build
    from pocketvision.report.check import check
    from pocketvision.report.models import models
    from pocketvision.report.report import report
    from pocketvision.serve.verb import demo
    from pocketvision.train.distill import distill
    from pocketvision.train.verb import train
    from pocketvision.verify.bench import bench
    from pocketvision.verify.predict import predict
    from pocketvision.verify.verify import verify

__version__ = "0.1.0"

__all__ = [
    "bench",
    "build",
    "check",
    "choose",
    "compress",
    "cost",
    "demo",
    "distill",
    "export",
    "fit",
    "models",
    "predict",
    "report",
    "reproduce",
    "train",
    "verify",
]

_HOMES = {
    "bench": "pocketvision.verify.bench",
    "build": "pocketvision.models.catalogue",
    "check": "pocketvision.report.check",
    "choose": "pocketvision.fit.choose",
    "compress": "pocketvision.export.compressing",
    "cost": "pocketvision.cost.verb",
    "demo": "pocketvision.serve.verb",
    "distill": "pocketvision.train.distill",
    "export": "pocketvision.export.verb",
    "fit": "pocketvision.fit.verb",
    "models": "pocketvision.report.models",
    "predict": "pocketvision.verify.predict",
    "report": "pocketvision.report.report",
    "reproduce": "pocketvision.cost.reproduce",
    "train": "pocketvision.train.verb",
    "verify": "pocketvision.verify.verify",
}


class _Package(type(sys)):  # type: ignore[misc]
    """Importing a room sets it on its package; a verb of the same name must not vanish behind it."""

    def __setattr__(self, name: str, value: "Any") -> None:
        if not (name in _HOMES and isinstance(value, type(sys))):
            super().__setattr__(name, value)


def __getattr__(name: str) -> "Any":
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module 'pocketvision' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


sys.modules[__name__].__class__ = _Package
