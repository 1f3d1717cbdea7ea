"""What the published ImageNet figures suggest for any width and resolution: an order among nets, not a promise."""

import math
from functools import cache

import numpy as np

from pocketvision.models.catalogue import families
from pocketvision.models.published import Published, main_figures
from pocketvision.values import ModelSpec, Precision

INT8_DROP = 1.0
"""Points of top-1 that int8 costs in the mean over TensorFlow's sixteen float and quantized MobileNet V1 releases."""


def suggested_top1(spec: ModelSpec, precision: Precision = "float") -> float:
    """Return an ImageNet top-1 in percent: printed figures, smoothed and continued to other widths and resolutions.

    In each family the log-odds of top-1 are a quadratic in log width plus a quadratic in log resolution. A family
    with fewer than six figures keeps its own level and takes the mean slopes of the others; a net without any takes
    their mean level too.
    """
    known = _coefficients()
    coefficients = known.get(spec.name)
    if coefficients is None:
        coefficients = np.mean(list(known.values()), axis=0)
    log_odds = float(_terms(spec.width, spec.resolution) @ coefficients)
    return 100 / (1 + math.exp(-log_odds)) - (INT8_DROP if precision == "int8" else 0.0)


def _terms(width: float, resolution: int) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    w, r = math.log(width), math.log(resolution / 224)
    return np.array([1.0, w, w * w, r, r * r])


def _comparable(line: Published) -> bool:
    """Tell whether a line is on ImageNet and, in a family with groups, has the paper's own number of them."""
    return line.data == "ImageNet" and line.groups in (None, *families()[line.name].groups[:1])


@cache
def _coefficients() -> "dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]":
    lines = [line for line in main_figures() if _comparable(line)]
    fitted = {}
    scarce = {}
    for name in sorted({line.name for line in lines}):
        own = [line for line in lines if line.name == name]
        terms = np.stack([_terms(line.width, line.resolution) for line in own])
        top1 = np.array([line.top1 for line in own], float)
        log_odds = np.log(top1 / (100 - top1))
        if len(own) >= 6:
            fitted[name] = np.linalg.lstsq(terms, log_odds, rcond=None)[0]
        else:
            scarce[name] = (terms, log_odds)
    slopes = np.mean([found[1:] for found in fitted.values()], axis=0)
    for name, (terms, log_odds) in scarce.items():
        level = float(np.mean(log_odds - terms[:, 1:] @ slopes))
        fitted[name] = np.concatenate([[level], slopes])
    return fitted
