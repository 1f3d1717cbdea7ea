"""What is settled before a file is written: int8's own temperature, and the threshold asked for."""

import numpy as np
import pytest

from pocketvision.compress.quantize import calibrate, quantize
from pocketvision.errors import UsageError
from pocketvision.export.confidence import abstain_of, reason_of, settle, threshold_for
from pocketvision.graph.run import run
from pocketvision.graph.sketch import Sketch
from pocketvision.metrics.calibration import TEMPERATURES, softened
from pocketvision.values import TaskSpec

SPEC = TaskSpec("classify", ("a", "b", "c"))


@pytest.fixture(scope="module")
def graphs():
    sketch = Sketch(32)
    plain = sketch.finish(sketch.linear(sketch.mean(sketch.conv("image", 8, kernel=3, stride=2)), 4))
    images = np.random.default_rng(0).integers(0, 256, (200, 32, 32, 3), dtype=np.uint8)
    images = (images * np.linspace(0.1, 1, 200)[:, None, None, None]).astype(np.uint8)
    return plain, quantize(plain, calibrate(plain, images[::10])), images


def truth_of(probabilities, sharpness):
    """Draw labels from the answers made sharper, so that `1 / sharpness` is the right temperature."""
    rng = np.random.default_rng(1)
    shares = softened(probabilities, 1 / sharpness).astype(np.float64)
    shares /= shares.sum(axis=1, keepdims=True)
    return np.array([rng.choice(len(row), p=row) for row in shares])


def test_int8_gets_a_temperature_of_its_own(graphs):
    _, small, images = graphs
    found = run(small, images)
    settled = settle(small, found, truth_of(found, 3.0), SPEC, folded=1.0)
    assert settled.temperature == pytest.approx(1 / 3, rel=0.3)
    assert settled.before is not None
    assert settled.confidence.nll < settled.before.nll
    assert np.abs(run(settled.graph, images) - settled.probabilities).max() < 1e-5


def test_rounding_that_moved_nothing_is_left_alone(graphs):
    _, small, images = graphs
    found = run(small, images)
    labels = np.repeat(found.argmax(axis=1), 1)
    # Labels that are always right ask for endless sharpness; what training folded in is at its limit already.
    settled = settle(small, found, labels, SPEC, folded=TEMPERATURES[0])
    assert settled.graph is small
    assert settled.temperature == 1.0
    assert settled.before is None


def test_both_temperatures_together_stay_within_the_limits(graphs):
    _, small, images = graphs
    found = run(small, images)
    settled = settle(small, found, found.argmax(axis=1), SPEC, folded=0.5)
    assert settled.temperature == pytest.approx(0.5)


def test_a_float_graph_is_only_measured(graphs):
    plain, _, images = graphs
    found = run(plain, images)
    settled = settle(plain, found, truth_of(found, 3.0), SPEC, folded=1.0)
    assert settled.graph is plain
    assert settled.probabilities is found


@pytest.mark.parametrize(
    ("text", "value"),
    [("auto", "auto"), ("OFF", "off"), ("0.6", 0.6), ("60%", 0.6), (0.25, 0.25), ("1", 1.0), (0, 0.0)],
)
def test_what_may_be_asked(text, value):
    assert abstain_of(text) == value


@pytest.mark.parametrize("text", ["", "sometimes", "1.2", "-0.1", "nan", "inf", "150%", float("nan"), "0,6"])
def test_what_may_not_be_asked(text):
    with pytest.raises(UsageError, match="off, auto, or a probability"):
        abstain_of(text)


def test_thresholds_as_asked():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet((1, 1, 1), 200).astype(np.float32)
    labels = np.array([rng.choice(3, p=row / row.sum()) for row in probabilities.astype(np.float64)])
    assert threshold_for("off", probabilities, labels, SPEC) is None
    given = threshold_for(0.6, probabilities, labels, SPEC)
    assert given.below == 0.6
    assert given.refusal.coverage.value == (probabilities.max(axis=1) >= 0.6).mean()
    chosen = threshold_for("auto", probabilities, labels, SPEC)
    assert 0 < chosen.below < 1
    assert threshold_for("auto", probabilities[:3], labels[:3], SPEC) is None
    for asked, threshold in (("off", None), ("auto", None), ("auto", chosen), (0.6, given)):
        assert ("never refuses" in reason_of(asked, threshold, SPEC)) == (threshold is None)
