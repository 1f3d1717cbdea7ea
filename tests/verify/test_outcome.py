"""The sentences of a proof, digit by digit."""

from typing import Any

import pytest

from pocketvision.metrics.accuracy import wilson
from pocketvision.values import Latency, Proof, Verdict
from pocketvision.verify.outcome import raise_for, verdict_lines
from pocketvision.verify.verdicts import NOT_MEASURED


def proof(*verdicts: Verdict) -> Proof:
    return Proof(
        file="model.onnx",
        sha256="0",
        size_bytes=1,
        accuracy=wilson(81, 263),
        agreement=None,
        probe_gap=0.0,
        latency=Latency(1.0, 1.0, 1, 1, "fake", "fake", 1.0),
        verdicts=verdicts,
        labels=("a", "b"),
        confusion=((1, 0), (0, 1)),
        answers=(),
    )


@pytest.mark.parametrize(
    ("verdict", "line"),
    [
        (
            Verdict("max_size", 500_000, 1_234_567, "bytes", passed=False),
            "FAIL max_size: 1.23 MB (1,234,567 bytes), at most 500 KB (500,000 bytes)",
        ),
        (Verdict("max_latency", 1000, 2.34567, "ms", passed=True), "PASS max_latency: 2.346 ms, at most 1000 ms"),
        (
            Verdict("max_macs", 5e7, 49_029_120, "MACs", passed=True),
            "PASS max_macs: 49,029,120 MACs, at most 50,000,000 MACs",
        ),
        (
            Verdict("max_params", 1e6, NOT_MEASURED, "params", passed=False),
            "FAIL max_params: not measured, at most 1,000,000 params",
        ),
        (
            Verdict("min_accuracy", 0.9, 81 / 263, "share", passed=False),
            "FAIL min_accuracy: 30.8% (95% interval 25.5% to 36.6%, 263 images), at least 90.0%",
        ),
    ],
)
def test_a_line_says_what_was_measured_and_what_is_allowed(verdict: Verdict, line: str) -> None:
    assert verdict_lines(proof(verdict)) == [line]


def test_a_proof_without_limits_raises_nothing() -> None:
    raise_for(proof())
    assert verdict_lines(proof()) == []


def test_the_message_names_the_file_and_a_way_out() -> None:
    broken: Any = Verdict("max_size", 1, 2, "bytes", passed=False)
    with pytest.raises(Exception, match=r"model\.onnx breaks the budget") as caught:
        raise_for(proof(broken))
    assert "run fit again" in str(caught.value)
