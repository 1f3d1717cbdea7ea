"""The page in a real browser answers as Python does: images, camera, without a network, without https."""

import hashlib
import io
import json
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pocketvision import demo, fit, predict
from pocketvision.data.digits import digits_folder
from pocketvision.data.splits import read_splits
from pocketvision.export import litert, onnx
from pocketvision.export.manifest import manifest_of_file
from pocketvision.export.onnx import write
from pocketvision.graph.sketch import Sketch
from pocketvision.latency.device_file import read_calibration, read_device
from pocketvision.latency.measurements import read_measurement
from pocketvision.packing import CODINGS, installed
from pocketvision.serve import server
from pocketvision.serve.folder import RUNTIMES
from pocketvision.serve.server import Sent, make_server, to_send
from pocketvision.values import ImageSpec, Manifest, ModelSpec, Precision, Score
from tests.images.orientations import JPEG, cases, marked, short, xmp
from tests.images.strange import STRANGE
from tests.serve.browser import Seen, browse, running

pytestmark = pytest.mark.slow

HOST = "127.0.0.1"
PHONE = {"phone": True}


@pytest.fixture(scope="module")
def file(net: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    written: Path = net.deliver(tmp_path_factory.mktemp("run"), ".onnx")
    return written


@pytest.fixture(scope="module")
def folder(file: Path, page: Path) -> Path:
    return Path(demo(file, serve=False).folder)


def use(folder: Path, *steps: dict[str, Any], **plan: Any) -> Seen:
    """Open the folder from our own server, then go through the steps."""
    with running(make_server(folder, HOST, 0)) as port:
        return browse(f"http://{HOST}:{port}/", [{"do": "load"}, *steps], **plan)


@pytest.mark.parametrize("suffix", sorted(RUNTIMES))
def test_every_image_is_answered_as_in_python(
    suffix: str, net: Any, page: Path, sample: list[Path], tmp_path: Path
) -> None:
    file = net.deliver(tmp_path, suffix)
    expected = predict(file, sample)
    seen = use(Path(demo(tmp_path, serve=False).folder), {"do": "choose", "images": [str(path) for path in sample]})
    shown = seen.results[1]
    assert seen.results[0]["runs-on"].startswith({".onnx": "onnxruntime-web", ".tflite": "LiteRT.js"}[suffix])
    assert seen.results[0]["check"].startswith("answers as it should")
    assert len(shown) == len(expected) == 500
    same = np.mean([answer["top"][0][0] == wanted.label for answer, wanted in zip(shown, expected, strict=True)])
    assert same >= 0.99
    sure = np.mean([answer["sure"] == wanted.sure for answer, wanted in zip(shown, expected, strict=True)])
    assert sure >= 0.99
    gaps = [abs(answer["top"][0][1] - wanted.probability) for answer, wanted in zip(shown, expected, strict=True)]
    assert np.median(gaps) < 0.005
    unsure = next(answer for answer in shown if not answer["sure"])
    assert unsure["label"] == "Not sure"
    assert unsure["spoken"].startswith("Not sure. Perhaps ")
    assert unsure["sub"].startswith("perhaps ")


def test_model_and_runtime_come_packed(
    folder: Path, file: Path, sample: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Sent] = []
    monkeypatch.setattr(server, "to_send", lambda *asked: sent.append(to_send(*asked)) or sent[-1])
    seen = use(folder, {"do": "choose", "images": [str(sample[0])]})
    assert seen.results[0]["check"].startswith("answers as it should")
    assert seen.results[1][0]["top"][0][0] == predict(file, [sample[0]])[0].label
    best = "br" if "brotli" in installed() else "gzip"
    packed = {one.path.name.removesuffix(CODINGS[best]) for one in sent if one.coding == best}
    assert {"model.onnx", "ort-wasm-simd-threaded.wasm", "demo.json"} <= packed
    assert seen.complaints == []


def test_nothing_leaves_the_device(folder: Path, sample: list[Path]) -> None:
    seen = use(folder, {"do": "choose", "images": [str(sample[0])]}, {"do": "measure", "device": "A phone"})
    loaded = seen.results[0]
    assert loaded["title"] == "imagenet"
    assert loaded["check"].startswith("answers as it should")
    assert {address.split("/")[2].split(":")[0] for address in seen.requests if address.startswith("http")} == {HOST}
    assert [address for address in seen.requests if not address.startswith(("http://", "blob:", "data:"))] == []
    assert seen.complaints == []


def test_what_fit_made_of_digits_answers_digits(page: Path, tmp_path: Path) -> None:
    run = Path(fit("digits", model="mobilenet_v1", width=0.25, resolution=32, epochs=4, output=tmp_path).run)
    tested = [row for row in read_splits(run / "splits.csv") if row.split == "test"][::8]
    images = [str(digits_folder() / row.file) for row in tested]
    wanted = predict(run / "export" / "model.onnx", images)
    seen = use(Path(demo(run, serve=False).folder), {"do": "choose", "images": images})
    assert "kinds of images: 0, 1, 2, 3, 4, 5 and 4 more." in seen.results[0]["lead"]
    assert [shown["label"] for shown in seen.results[1]] == [one.label if one.sure else "Not sure" for one in wanted]
    right = [one.label == row.label for one, row in zip(wanted, tested, strict=True)]
    assert np.mean(right) > 0.5, "chance is 0.1"


@pytest.mark.parametrize(("precision", "runtime"), [("float", "LiteRT.js"), ("float16", "onnxruntime-web")])
def test_the_page_takes_the_quicker_file(
    precision: Precision, runtime: str, net: Any, page: Path, sample: list[Path], tmp_path: Path
) -> None:
    for suffix in RUNTIMES:
        net.in_precision(precision).deliver(tmp_path, suffix)
    seen = use(Path(demo(tmp_path, serve=False).folder), {"do": "choose", "images": [str(sample[0])]})
    assert seen.results[0]["runs-on"].startswith(runtime)
    assert seen.results[0]["check"].startswith("answers as it should")
    assert "tench" in seen.results[1][0]["label"]


def save(path: Path, image: Image.Image, **options: Any) -> str:
    image.save(path, **options)
    return str(path)


def test_unusual_images_are_answered_as_in_python(folder: Path, file: Path, sample: list[Path], tmp_path: Path) -> None:
    upright = Image.open(sample[11]).convert("RGB")
    sideways = Image.Exif()
    sideways[0x0112] = 6
    clear = upright.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(upright.size))
    images = [
        save(tmp_path / "turned.jpg", upright.rotate(90, expand=True), exif=sideways, quality=95),
        save(tmp_path / "clear.png", clear),
        save(tmp_path / "grey.jpg", upright.convert("L"), quality=95),
        save(tmp_path / "palette.png", upright.convert("P")),
        save(tmp_path / "image.webp", upright, quality=95),
        save(tmp_path / "wide.png", upright.crop((0, 100, upright.width, 140)).resize((2400, 60))),
        save(tmp_path / "tall.png", upright.crop((100, 0, 140, upright.height)).resize((60, 2400))),
        save(tmp_path / "tiny.png", upright.resize((5, 7))),
        save(tmp_path / "large.jpg", upright.resize((4000, 3000)), quality=90),
    ]
    expected = predict(file, images)
    shown = use(folder, {"do": "choose", "images": images}).results[1]
    for answer, wanted in zip(shown, expected, strict=True):
        assert answer["top"][0][0] == wanted.label, wanted.file
        assert abs(answer["top"][0][1] - wanted.probability) < 0.03, wanted.file


def test_a_turned_image_is_answered_as_in_python_wherever_its_orientation_stands(
    folder: Path, file: Path, sample: list[Path], tmp_path: Path
) -> None:
    stream = io.BytesIO()
    Image.open(sample[11]).convert("RGB").rotate(90, expand=True).save(stream, "JPEG", quality=95)
    shown = [case for case in cases() if not case.name.startswith("TIFF")]  # only Safari shows TIFF
    images = [tmp_path / f"{number}.jpg" for number in range(len(shown))]
    for path, case in zip(images, shown, strict=True):
        path.write_bytes(case.content.replace(JPEG[2:], stream.getvalue()[2:]))
    expected = predict(file, images)
    answers = use(folder, {"do": "choose", "images": [str(path) for path in images]}).results[1]
    gaps = {
        case.name: abs(answer["top"][0][1] - wanted.probability) if answer["top"][0][0] == wanted.label else 1.0
        for case, answer, wanted in zip(shown, answers, expected, strict=True)
    }
    assert {name: gap for name, gap in gaps.items() if gap > 0.03} == {}
    assert len({wanted.probability for wanted in expected}) > 8, "an image that is turned has another answer"


def test_a_turned_image_is_shown_as_the_net_sees_it(folder: Path, tmp_path: Path) -> None:
    wide = Image.new("RGB", (60, 40), "red")
    images = {
        "plain.png": (save(tmp_path / "plain.png", wide), [60, 40]),
        "exif.jpg": (save(tmp_path / "exif.jpg", wide, exif=marked(short(6))), [40, 60]),
        "xmp.jpg": (save(tmp_path / "xmp.jpg", wide, xmp=xmp(8)), [40, 60]),
        "exif.webp": (save(tmp_path / "exif.webp", wide, exif=marked(short(6))), [40, 60]),
        "both.jpg": (save(tmp_path / "both.jpg", wide, exif=marked(short(1)), xmp=xmp(8)), [60, 40]),
        "large.jpg": (save(tmp_path / "large.jpg", wide.resize((2560, 1280)), exif=marked(short(6))), [640, 1280]),
    }
    wanted = {name: sides for name, (_, sides) in images.items()}
    steps = [({"do": "choose", "images": [path]}, {"do": "sides"}) for path, _ in images.values()]
    seen = use(folder, *(step for pair in steps for step in pair))
    assert dict(zip(images, seen.results[2::2], strict=True)) == wanted


def test_odd_images_are_answered_as_in_python(folder: Path, file: Path, tmp_path: Path) -> None:
    odd = {name: content for name, content in STRANGE.items() if "tiff" not in name}
    for name, content in odd.items():
        (tmp_path / name).write_bytes(content)
    images = [tmp_path / name for name in odd]
    answers = use(folder, {"do": "choose", "images": [str(path) for path in images]}).results[1]
    gaps = {}
    for answer, wanted in zip(answers, predict(file, images), strict=True):
        shares = dict(wanted.top)
        gaps[Path(wanted.file).name] = max(abs(share - shares.get(label, 0.0)) for label, share in answer["top"][:2])
    assert {name: gap for name, gap in gaps.items() if gap > 0.05} == {}


def test_what_is_no_image_is_told_and_the_page_goes_on(folder: Path, sample: list[Path], tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 40)
    names = [str(tmp_path / name) for name in ("empty.jpg", "text.jpg", "cut.png")]
    shown = use(folder, {"do": "choose", "images": [*names, str(sample[0])]}).results[1]
    assert shown[0]["problem"] == "The file is empty."
    for refused in shown[1:3]:
        assert "cannot read the file as an image" in refused["problem"]
        assert refused["label"] == "No image yet"
    assert shown[3]["problem"] == ""
    assert "tench" in shown[3]["label"]


def film(path: Path, image: Path) -> np.ndarray:
    """Write an image as a film for the stand-in camera; return its pixels as Python decodes them."""
    stream = io.BytesIO()
    Image.open(image).convert("RGB").resize((640, 480)).save(stream, "JPEG", quality=95)
    path.write_bytes(stream.getvalue() * 5)
    return np.asarray(Image.open(stream).convert("RGB"))


def test_the_camera_is_answered_by_keyboard_alone(folder: Path, file: Path, sample: list[Path], tmp_path: Path) -> None:
    frame = tmp_path / "frame.png"
    Image.fromarray(film(tmp_path / "film.mjpeg", sample[11])).save(frame)
    wanted = predict(file, frame)[0]
    seen = use(folder, {"do": "camera"}, {"do": "state"}, camera=str(tmp_path / "film.mjpeg"))
    held = seen.results[1]
    assert held["top"][0][0] == wanted.label
    assert abs(held["top"][0][1] - wanted.probability) < 0.2, "video keeps less color than the image"
    assert wanted.label in held["spoken"]
    assert {"hold", "stop", "choose"} <= set(seen.results[2]["visible"])
    assert "start" not in seen.results[2]["visible"]


def test_it_answers_without_a_network_once_loaded(folder: Path, sample: list[Path]) -> None:
    steps = [{"do": "offline", "offline": True}, {"do": "load"}, {"do": "choose", "images": [str(sample[0])]}]
    seen = use(folder, *steps)
    assert seen.results[0]["kept"].startswith("works")
    assert seen.results[2] == seen.results[0]
    assert "tench" in seen.results[3][0]["label"]


class Plain(SimpleHTTPRequestHandler):
    """A host that sends no header of its own, as most do."""

    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_any_static_host_will_do_and_gives_threads(folder: Path, sample: list[Path]) -> None:
    server = ThreadingHTTPServer((HOST, 0), partial(Plain, directory=str(folder)))
    with running(server) as port:
        steps = [{"do": "load"}, {"do": "load", "query": "?threads=2"}, {"do": "state"}]
        seen = browse(f"http://{HOST}:{port}/", [*steps, {"do": "choose", "images": [str(sample[0])]}])
    assert seen.results[1]["runs-on"].endswith("2 threads")
    assert seen.results[2]["isolated"]
    assert "tench" in seen.results[3][0]["label"]


def test_without_https_images_are_answered_and_the_camera_is_explained(folder: Path, sample: list[Path]) -> None:
    with running(make_server(folder, HOST, 0)) as port:
        steps = [{"do": "load"}, {"do": "state"}, {"do": "choose", "images": [str(sample[0])]}]
        elsewhere = ["--host-resolver-rules=MAP demo.test 127.0.0.1"]
        seen = browse(f"http://demo.test:{port}/", steps, flags=elsewhere, **PHONE)
    assert not seen.results[1]["secure"]
    assert seen.results[1]["visible"] == ["shoot", "choose", "measure"]
    assert "https" in seen.results[0]["kept"]
    assert "tench" in seen.results[2][0]["label"]


@pytest.mark.parametrize("plan", [PHONE, {}], ids=["phone", "desktop"])
def test_it_fits_the_screen_and_can_be_reached_by_keyboard(
    folder: Path, sample: list[Path], plan: dict[str, Any]
) -> None:
    steps = [{"do": "tab", "times": 3}, {"do": "choose", "images": [str(sample[1])]}, {"do": "state"}, {"do": "tree"}]
    seen = use(folder, *steps, **plan)
    assert seen.results[1] == ["start", "choose", "measure"]
    assert not seen.results[3]["wide"]
    tree = seen.results[4]
    for expected in ('button "Start camera"', 'list "The likeliest labels"', "status:", 'region "Answer"'):
        assert expected in tree


def test_the_measurement_is_of_this_file_and_can_be_read(folder: Path, file: Path, tmp_path: Path) -> None:
    saved = use(folder, {"do": "measure", "device": "A phone"}).results[1]
    assert saved["name"] == "measurement-a-phone.json"
    (tmp_path / saved["name"]).write_text(saved["text"], encoding="utf-8")
    found = read_measurement(tmp_path / saved["name"])
    assert found.file_sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (found.device, found.net, found.width, found.resolution) == ("A phone", "mobilenet_v1", 0.25, 128)
    assert found.probe_gap is not None
    assert found.probe_gap < 0.05


def test_labels_are_text_and_never_markup(page: Path, tmp_path: Path) -> None:
    labels = ("<img src=x onerror=alert(1)>", "</script><b>bold</b>", "\u202e\u00e9\u4e2d & \"'")
    words = Manifest(
        format_version=1,
        name="<u>name</u>",
        task="classification",
        labels=labels,
        image=ImageSpec(32),
        model=ModelSpec("toy", 1.0, 32, len(labels)),
        precision="float",
        data_digest="",
        splits={},
        figures={"test": Score(0.9, 0.8, 0.95, 100)},
        probes=(),
        versions={},
        created="2026-11-21T00:00:00+00:00",
    )
    sketch = Sketch(32)
    write(sketch.finish(sketch.linear(sketch.mean("image"), len(labels))), words, tmp_path / "model.onnx")
    image = save(tmp_path / "image.png", Image.linear_gradient("L"))
    wanted = predict(tmp_path / "model.onnx", image)[0]
    folder = Path(demo(tmp_path / "model.onnx", serve=False).folder)
    seen = use(folder, {"do": "choose", "images": [image]}, {"do": "tree"})
    assert seen.results[0]["title"] == "<u>name</u>"
    assert seen.results[0]["check"] == "the file holds no probes"
    [shown] = seen.results[1]
    assert [label for label, _ in shown["top"]] == [label for label, _ in wanted.top]
    np.testing.assert_allclose([share for _, share in shown["top"]], [share for _, share in wanted.top], atol=1e-4)
    assert shown["label"] == wanted.label
    assert "90.0% of 100 images, between 80.0% and 95.0%" in seen.results[2]
    assert seen.complaints == []


@pytest.mark.parametrize("suffix", sorted(RUNTIMES))
def test_calibration_nets_are_timed_by_one_button_and_give_a_file(suffix: str, page: Path, tmp_path: Path) -> None:
    nets = tmp_path / "nets"
    nets.mkdir()
    listed = []
    for name, channels in (("a narrow net", 4), ("a wide net", 64)):
        sketch = Sketch(64)
        tensor = sketch.conv("image", channels, kernel=3, stride=2, activation="relu6")
        for _ in range(6):
            tensor = sketch.conv(tensor, channels, kernel=3, activation="relu6")
        graph = sketch.finish(sketch.linear(sketch.mean(tensor), 10))
        file = nets / f"{channels}{suffix}"
        {".onnx": onnx, ".tflite": litert}[suffix].write(graph, manifest_of_toy(64), file)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        listed.append({"name": name, "file": file.name, "sha256": digest, "resolution": 64, "precision": "float"})
    found = {"format": "pocketvision-calibration", "version": 1, "nets": listed}
    (nets / "calibration.json").write_text(json.dumps(found), encoding="utf-8")
    folder = Path(demo(nets, output=tmp_path / "out", serve=False).folder)
    seen = use(folder, {"do": "calibrate", "device": "Pixel 7"}, {"do": "state"})
    loaded, measured, state = seen.results
    assert loaded["lead"].startswith("Measures 2 nets on this device.")
    assert loaded["runs-on"].endswith(", 1 thread")
    assert measured["name"] == "device-pixel-7.json"
    assert measured["result"].startswith("2 nets, from ")
    assert not state["wide"]
    path = tmp_path / "device.json"
    path.write_text(measured["text"], encoding="utf-8")
    device = read_device(path, read_calibration(nets))
    assert (device.device, device.threads) == ("Pixel 7", 1)
    assert device.runtime == loaded["runs-on"].removesuffix(", 1 thread")
    narrow, wide = (result.median_ms for result in device.results)
    assert wide > 3 * narrow, "256 times as many multiply-adds"
    assert seen.complaints == []
    assert {address.split("/")[2].split(":")[0] for address in seen.requests if address.startswith("http")} == {HOST}


def manifest_of_toy(side: int) -> Manifest:
    labels = tuple(str(number) for number in range(10))
    return replace(manifest_of_file(ModelSpec("toy", 1.0, side, 10), ImageSpec(side), labels), created="")
