"""Times that come back from another device: the page's file, and what LiteRT's benchmark program prints."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from pocketvision.errors import DataError
from pocketvision.latency.device_file import read_calibration, read_device
from pocketvision.latency.emitted import read_emitted

NAMES = ("a.tflite", "b.tflite")
DIGESTS = tuple(hashlib.sha256(name.encode()).hexdigest() for name in NAMES)
OUTPUT = """device: Pixel 7
INFO: STARTING!
INFO: Log parameter values verbosely: [0]
INFO: Num threads: [1]
INFO: Graph: [/data/local/tmp/nets/a.tflite]
INFO: #threads used for CPU inference: [1]
INFO: Loaded model /data/local/tmp/nets/a.tflite
INFO: The input model file size (MB): 16.9008
INFO: Initialized session in 17.187ms.
INFO: Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
INFO: count=9 first=63546 curr=55903 min=55719 max=63546 avg=57179.6 std=2400 p5=55719 median=55903 p95=63546

INFO: Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
INFO: count=50 first=4212 curr=4100 min=4001 max=5400 avg=4.21812e+03 std=290 p5=4010 median=4150 p95=5200

INFO: Inference timings in us: Init: 1230, First inference: 63546, Warmup (avg): 57179.6, Inference (avg): 4218.12
"""


@pytest.fixture
def nets(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / name).write_text(name, encoding="utf-8")
    return listed(tmp_path)


def listed(folder: Path, **changes: Any) -> Path:
    nets = [
        {"name": name, "file": name, "sha256": digest, "resolution": 96, "precision": "float"}
        for name, digest in zip(NAMES, DIGESTS, strict=True)
    ]
    found = {"format": "pocketvision-calibration", "version": 1, "nets": nets} | changes
    (folder / "calibration.json").write_text(json.dumps(found), encoding="utf-8")
    return folder


def saved(folder: Path, **changes: Any) -> Path:
    """Write what the page saves."""
    results = [{"sha256": digest, "median_ms": 2.0, "p90_ms": 3.0, "runs": 40} for digest in DIGESTS]
    found: dict[str, Any] = {"format": "pocketvision-device", "version": 1, "device": "Pixel 7", "runtime": "ort-web"}
    found |= {"threads": 1, "results": results} | changes
    path = folder / "device.json"
    path.write_text(json.dumps(found), encoding="utf-8")
    return path


def test_the_pages_file_is_read(nets: Path) -> None:
    found = read_device(saved(nets), read_calibration(nets))
    assert (found.device, found.runtime, found.threads) == ("Pixel 7", "ort-web", 1)
    assert [result.sha256 for result in found.results] == list(DIGESTS)
    assert found.results[0].median_ms == 2.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": "pocketvision measurement"}, "says 'pocketvision measurement', version 1"),
        ({"version": 2}, "version 2"),
        ({"results": []}, "it holds no times"),
        ({"device": " "}, "names no device"),
        ({"threads": 0}, "no threads"),
        ({"threads": "many"}, "threads is 'many'"),
        ({"results": [{"sha256": "0" * 64, "median_ms": 2.0, "p90_ms": 3.0, "runs": 4}]}, "1 of 1 nets are not among"),
        ({"results": [{"sha256": DIGESTS[0], "median_ms": 2.0, "p90_ms": 3.0, "runs": 4}] * 2}, "a net twice"),
        ({"results": [{"sha256": DIGESTS[0], "median_ms": -2.0, "p90_ms": 3.0, "runs": 4}]}, "make no sense"),
        ({"results": [{"sha256": DIGESTS[0], "median_ms": 4.0, "p90_ms": 3.0, "runs": 4}]}, "make no sense"),
        ({"results": [{"sha256": DIGESTS[0], "median_ms": float("nan"), "p90_ms": None, "runs": 4}]}, "make no sense"),
        ({"surplus": 1}, "is no file of a device"),
    ],
)
def test_what_makes_no_sense_is_told(changes: dict[str, Any], words: str, nets: Path) -> None:
    with pytest.raises(DataError, match=words):
        read_device(saved(nets, **changes), read_calibration(nets))


def test_what_benchmark_model_prints_is_read(nets: Path) -> None:
    path = nets / "pixel.txt"
    path.write_text(OUTPUT + OUTPUT.replace("a.tflite", "b.tflite").replace("4150", "8300"), encoding="utf-8")
    found = read_device(path, read_calibration(nets))
    assert (found.device, found.runtime, found.threads) == ("Pixel 7", "LiteRT (benchmark_model)", 1)
    assert [(result.sha256, result.median_ms, result.p90_ms, result.runs) for result in found.results] == [
        (DIGESTS[0], 4.15, None, 50),
        (DIGESTS[1], 8.3, None, 50),
    ]


def test_older_ones_that_print_the_mean_alone_are_read_and_said_so(nets: Path) -> None:
    path = nets / "pixel 7.txt"
    lines = [line.split(" p5=")[0] for line in OUTPUT.replace("INFO: ", "").splitlines()[1:]]
    path.write_text("\n".join(line for line in lines if not line.startswith("#")), encoding="utf-8")
    found = read_device(path, read_calibration(nets))
    assert (found.device, found.runtime) == ("pixel 7", "LiteRT (benchmark_model, mean times)")
    assert found.results[0].median_ms == pytest.approx(4.21812)


def test_times_of_other_nets_or_on_several_threads_are_told(nets: Path) -> None:
    path = nets / "pixel.txt"
    path.write_text(OUTPUT.replace("a.tflite", "c.tflite"), encoding="utf-8")
    with pytest.raises(DataError, match=r"times of c\.tflite, which is not among"):
        read_device(path, read_calibration(nets))
    path.write_text(OUTPUT + OUTPUT.replace("[1]", "[4]"), encoding="utf-8")
    with pytest.raises(DataError, match="on 1 and 4 threads"):
        read_device(path, read_calibration(nets))


@pytest.mark.parametrize("file", ["../a.tflite", "/etc/passwd", ".hidden", "sub/a.tflite"])
def test_a_list_leads_to_no_other_folder(file: str, nets: Path) -> None:
    net = {"name": "a", "file": file, "sha256": DIGESTS[0], "resolution": 96, "precision": "float"}
    with pytest.raises(DataError, match="from beside the list only"):
        read_calibration(listed(nets, nets=[net]))


def test_a_list_of_nothing_or_of_what_is_gone_is_told(nets: Path) -> None:
    with pytest.raises(DataError, match="names no nets"):
        read_calibration(listed(nets, nets=[]))
    (listed(nets) / "b.tflite").unlink()
    with pytest.raises(DataError, match=r"b\.tflite, and it is not there"):
        read_calibration(nets)
    with pytest.raises(DataError, match="there is no file"):
        read_calibration(nets / "elsewhere")


def test_times_of_a_device_are_filled_into_the_list_of_emitted_nets(nets: Path) -> None:
    spec = {"name": "mobilenet_v1", "width": 0.25, "resolution": 96, "num_classes": 10}
    entries = [{"file": name, "spec": spec} for name in NAMES]
    listing = {"what_to_do": "", "device": "", "runtime": "litert", "precision": "float", "threads": 1}
    (nets / "nets.json").write_text(json.dumps(listing | {"nets": entries}), encoding="utf-8")
    with pytest.raises(DataError, match="holds no times yet"):
        read_emitted(nets / "nets.json")
    results = [{"sha256": DIGESTS[1], "median_ms": 7.0, "p90_ms": 8.0, "runs": 40}]
    found = read_emitted(nets / "nets.json", saved(nets, results=results, threads=2))
    assert (found.device, found.threads) == ("Pixel 7", 2)
    assert [net.median_ms for net in found.nets] == [None, 7.0]
