"""How well times are predicted of nets that were never timed: prints errors, intervals and the truth's own scatter.

    python benchmarks/latency_prediction.py --seed 2 --runtime litert --precision int8 --profile profile.json

Nets are drawn by the seed, under 1 GMAC; take another one than that of the calibration (42). Each is timed in at least
12 visits spread over minutes; the profile is not fitted to any of them. Run it on a quiet machine.
"""

import argparse
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from pocketvision.fit.profiles import default_profile, opener, setting_of, trace
from pocketvision.latency.calibrate import labels, time_nets
from pocketvision.latency.nets import draw
from pocketvision.latency.profile import LatencyPrediction, read_profile
from pocketvision.values import ModelSpec

VISITS = 12
RESOLUTIONS = range(64, 257, 16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--nets", type=int, default=90)
    parser.add_argument("--runtime", default="onnx")
    parser.add_argument("--precision", default="float")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--profile", type=Path, help="by default this machine's own, or the shipped one with anchors")
    given = parser.parse_args()
    setting = setting_of(given.runtime, precision=given.precision, threads=given.threads)
    if given.profile:
        profile = read_profile(given.profile)
    else:
        profile = default_profile(given.precision, runtime=given.runtime, threads=given.threads)
    drawn = list(draw(given.seed, given.nets, trace))
    opened = opener(setting)
    calls = [opened(graph) for _, graph in drawn]
    timed = time_nets(calls, rounds=VISITS, seed=given.seed)
    truth = labels(timed).median_ms
    halves = [labels([found[part::2] for found in timed]).median_ms for part in (0, 1)]
    print(f"{setting.runtime_name}, {setting.precision}, {setting.threads} thread(s); profile of {profile.nets} nets")
    print(f"scale of the day {profile.scale:.3f}, spread of the anchors {profile.spread:.1%}")
    scatter = np.abs(np.log(halves[0] / halves[1]))
    print(f"truth: {given.nets} nets, halves differ by {np.median(scatter):.1%} / {np.quantile(scatter, 0.95):.1%}")
    report(profile.predict([graph for _, graph in drawn]), truth, [spec for spec, _ in drawn])
    print(pace())


def report(found: LatencyPrediction, truth: NDArray[np.float64], specs: list[ModelSpec]) -> None:
    off = np.abs(found.median_ms / truth - 1)
    first, second = (np.argsort(np.argsort(values)).astype(np.float64) for values in (found.median_ms, truth))
    inside = (found.low_ms <= truth) & (truth <= found.high_ms)
    print(f"error: median {np.median(off):.1%}, 95th percentile {np.quantile(off, 0.95):.1%}")
    print(", ".join(f"within {share:.0%}: {np.mean(off < share):.1%}" for share in (0.05, 0.1, 0.2)))
    print(
        f"rank correlation {np.corrcoef(first, second)[0, 1]:.4f}; in the interval for nine of ten: {inside.mean():.0%}"
    )
    print(f"not covered by the calibration: {np.mean(~found.covered):.0%}")
    for place in np.argsort(-off)[:5]:
        print(f"  {specs[place]}: {truth[place]:.3f} ms, predicted {found.median_ms[place]:.3f}")


def pace() -> str:
    """Time 10,000 configurations of nets whose graphs are there."""
    profile = default_profile()
    names = ("mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2", "squeezenet1_1")
    graphs = [trace(ModelSpec(name, width)) for name in names for width in (0.25, 0.5, 0.75, 1.0)]
    many = graphs * (1 + 10_000 // (len(graphs) * len(RESOLUTIONS)))
    start = perf_counter()
    nets = [(profile.kernels(graph), list(RESOLUTIONS)) for graph in many]
    counted = sum(len(net.macs(resolutions)) for net, resolutions in nets)
    found = profile.predict_at(nets)
    assert counted == len(found.median_ms)
    return f"{counted} configurations counted and predicted in {perf_counter() - start:.2f} s"


if __name__ == "__main__":
    main()
