"""PyTorch checkpoints of every age, and what is wrapped around the state dict in them."""

import contextlib
import io
import pickle
import struct
import tarfile
from collections import OrderedDict

import numpy as np
import pytest
import torch

from pocketvision.errors import WeightsError
from pocketvision.weights import read
from pocketvision.weights.checkpoint import read_checkpoint, unwrapped

STATE = OrderedDict(
    {"a.weight": torch.arange(12.0).reshape(3, 4), "a.bias": torch.tensor([1.0, 2.0]).half(), "n": torch.tensor(7)}
)


def same(found):
    assert list(found) == list(STATE)
    for key, value in STATE.items():
        assert np.array_equal(found[key], value.float().numpy())
    return True


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".ckpt", ".pth.tar"])
@pytest.mark.parametrize("zipped", [True, False])
def test_zip_files_and_the_streams_before_them(tmp_path, suffix, zipped):
    path = tmp_path / f"net{suffix}"
    torch.save(STATE, path, _use_new_zipfile_serialization=zipped)
    assert same(read_checkpoint(path).state)
    with pytest.raises(WeightsError, match="no known layout"):
        read(path)


@pytest.mark.parametrize("nest", ["state_dict", "model", "model_state_dict", "ema", "net"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_what_training_scripts_wrap_around_it(nest, prefix):
    state = {prefix + key: value for key, value in STATE.items()}
    assert same(unwrapped({"epoch": 90, nest: state, "optimizer": {"lr": 0.1}}, "x").state)
    wrapped = {"checkpoint": 1, "model": {nest: state}} if nest != "model" else {nest: state}
    assert same(unwrapped(wrapped, "x").state)


def test_a_module_of_that_name_is_no_prefix():
    state = {"model.a": torch.zeros(1), "head.b": torch.zeros(1)}
    assert list(unwrapped(state, "x").state) == list(state)


@pytest.mark.parametrize("content", [{}, {"epoch": 1, "best": 0.5}, [torch.zeros(1)], {"state_dict": {"a": "text"}}])
def test_what_holds_no_state_dict_is_described(content):
    with pytest.raises(
        WeightsError, match="x is not a state dict of tensors, nor a dict with one under state_dict, mod"
    ):
        unwrapped(content, "x")


# ---------------------------------------------------------------- tar archives of pickles


class Tensors(pickle.Pickler):
    def persistent_id(self, obj):
        return obj.key if isinstance(obj, Marker) else None


class Marker:
    """Stands in a pickle for the tensor of this key."""

    def __init__(self, key):
        self.key = key


def dumped(value):
    stream = io.BytesIO()
    Tensors(stream, 2).dump(value)
    return stream.getvalue()


def write_old(path, *, content=None, shape=(2, 3), stride=(3, 1), storages=1, kind=torch.FloatStorage):
    """Write the oldest format: one storage of ten floats, a tensor and a view of it."""
    values = np.arange(10, dtype="<f4")
    stored = dumped(storages) + dumped((7, "cpu", kind)) + struct.pack("<q", 10) + values.tobytes()
    stored += dumped([(8, 7, 4, 6)])
    tensors = dumped(2)
    for key, storage in ((1, 7), (2, 8)):
        tensors += dumped((key, storage, torch.FloatTensor)) + struct.pack("<ii", len(shape), 0)
        tensors += struct.pack(f"<{len(shape)}q", *shape) + struct.pack(f"<{len(stride)}q", *stride)
        tensors += struct.pack("<q", 0)
    whole = dumped({"state_dict": OrderedDict(a=Marker(1), b=Marker(2)), "name": "x"} if content is None else content)
    with tarfile.open(path, "w:") as archive:
        for name, part in (("storages", stored), ("tensors", tensors), ("pickle", whole)):
            entry = tarfile.TarInfo(name)
            entry.size = len(part)
            archive.addfile(entry, io.BytesIO(part))
    return path


def test_the_oldest_files_are_read_without_torch(tmp_path):
    found = read_checkpoint(write_old(tmp_path / "a.pth.tar")).state
    assert found["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["b"].tolist() == [[4, 5, 6], [7, 8, 9]]
    turned = read_checkpoint(write_old(tmp_path / "b.pth", shape=(3, 2), stride=(1, 3))).state
    assert turned["a"].tolist() == [[0, 3], [1, 4], [2, 5]]


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (self.path.touch, ())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": (2, 6)}, "beyond its storage"),
        ({"stride": (-3, 1)}, "beyond its storage"),
        ({"shape": (1,) * 9, "stride": (1,) * 9}, "9 axes"),
        ({"storages": 10**9}, "without its count"),
        ({"storages": "many"}, "without its count"),
        ({"kind": torch.nn.Linear}, "asks for torch.nn.modules.linear.Linear"),
        ({"kind": torch.load}, "asks for torch.serialization.load"),
    ],
)
def test_old_files_that_are_damaged_or_hostile(tmp_path, change, message):
    with pytest.raises(WeightsError, match=f"a.pth is damaged, or holds more than plain tensors: .*{message}"):
        read_checkpoint(write_old(tmp_path / "a.pth", **change))


def test_an_old_file_that_would_run_code_is_not_run(tmp_path):
    path = write_old(tmp_path / "a.pth", content={"state_dict": Trap(tmp_path / "run")})
    with pytest.raises(WeightsError, match="asks for"):
        read_checkpoint(path)
    assert not (tmp_path / "run").exists()


def test_every_cut_of_an_old_file_is_refused_or_whole(tmp_path):
    content = write_old(tmp_path / "a.pth").read_bytes()
    refused = 0
    for length in range(0, len(content), 97):
        (tmp_path / "b.pth").write_bytes(content[:length])
        try:
            assert list(read_checkpoint(tmp_path / "b.pth").state) == ["a", "b"]
        except WeightsError:
            refused += 1
    assert refused > 20


def test_random_damage_of_an_old_file_never_raises_anything_else(tmp_path):
    content = write_old(tmp_path / "a.pth").read_bytes()
    rng = np.random.default_rng(0)
    for row in rng.integers(0, len(content), (300, 3)):
        damaged = bytearray(content)
        for place in row:
            damaged[place] = int(rng.integers(256))
        (tmp_path / "b.pth").write_bytes(damaged)
        with contextlib.suppress(WeightsError):
            read_checkpoint(tmp_path / "b.pth")


# ---------------------------------------------------------------- real files


@pytest.mark.parametrize(
    ("file", "width"), [("0.5x-FDMobileNet-224.pth.tar", 0.5), ("0.25x-FDMobileNet-224.pth.tar", 0.25)]
)
def test_the_authors_fd_mobilenets_use_every_key(shared_weights, file, width):
    from pocketvision.models import build_spec
    from pocketvision.weights import load_into

    weights = read(shared_weights / file)
    assert (weights.spec.name, weights.spec.width, weights.spec.num_classes) == ("fd_mobilenet", width, 1000)
    report = load_into(build_spec(weights.spec), weights, keep_head=True)
    assert report.loaded == len(read_checkpoint(shared_weights / file).state) == 117
    assert report.fresh == ()
