"""Small vision models, from photos to phone: a folder of images and a budget in, a proven model file out.

The names below are the verbs of the command line, as functions: `pocketvision.fit("photos/", max_size="2MB")`.
Each is found on first use in the file of its name in `verbs`, so importing the package costs nothing. Packages of the
same name are reached by `from pocketvision.cost import ...`; on this one the name always means the verb.
"""

import sys

# `python -m pocketvision` reads this file while Python still looks for modules in the current folder, where a file
# `typing.py` or `types.py` may lie: nothing is imported here that Python has not loaded by itself.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pocketvision.models.catalogue import build
    from pocketvision.verbs.bench import bench
    from pocketvision.verbs.check import check
    from pocketvision.verbs.compress import compress
    from pocketvision.verbs.cost import cost
    from pocketvision.verbs.demo import demo
    from pocketvision.verbs.distill import distill
    from pocketvision.verbs.export import export
    from pocketvision.verbs.fit import fit
    from pocketvision.verbs.models import models
    from pocketvision.verbs.plan import plan
    from pocketvision.verbs.predict import predict
    from pocketvision.verbs.probe import probe
    from pocketvision.verbs.report import report
    from pocketvision.verbs.reproduce import reproduce
    from pocketvision.verbs.train import train
    from pocketvision.verbs.verify import verify

__version__ = "0.1.0"

__all__ = [
    "bench",
    "build",
    "check",
    "compress",
    "cost",
    "demo",
    "distill",
    "export",
    "fit",
    "models",
    "plan",
    "predict",
    "probe",
    "report",
    "reproduce",
    "train",
    "verify",
]


class _Package(type(sys)):  # type: ignore[misc]
    """Importing a package sets it on this one; a verb of the same name must not vanish behind it."""

    def __setattr__(self, name: str, value: "Any") -> None:
        if not (name in __all__ and isinstance(value, type(sys))):
            super().__setattr__(name, value)


def __getattr__(name: str) -> "Any":
    import importlib

    if name not in __all__:
        raise AttributeError(f"module 'pocketvision' has no attribute '{name}'")
    home = "models.catalogue" if name == "build" else f"verbs.{name}"
    return getattr(importlib.import_module(f"pocketvision.{home}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


sys.modules[__name__].__class__ = _Package
