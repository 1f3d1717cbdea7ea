"""Numbers in weights files: short ones are read, and what is no finite real number is refused, in every format."""

import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pocketvision.errors import WeightsError
from pocketvision.models import build
from pocketvision.values import ImageSpec, ModelSpec
from pocketvision.weights import read, save
from tests.weights.timms import small_net, state_of

NAME = "tf_mobilenetv3_small_050"
KEY = "blocks.1.0.conv_pw.weight"


def own_file(tmp_path):
    spec = ModelSpec("mobilenet_v1", 0.125, 32, 2)
    net = build("mobilenet_v1", width=0.125, resolution=32, num_classes=2)
    save(net, spec, image=ImageSpec(32), labels=("a", "b"), path=tmp_path / "own.safetensors")
    return tmp_path / "own.safetensors"


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_real_numbers_of_any_length_are_read(tmp_path, kind, suffix):
    state = {key: value.to(kind) for key, value in state_of(small_net()).items()}
    path = tmp_path / f"{NAME}{suffix}"
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    found = read(path)
    assert {value.dtype for value in found.tensors.values()} == {np.dtype(np.float32)}
    assert np.array_equal(found.tensors["features.0.0.weight"], state["conv_stem.weight"].float().numpy())


def test_our_own_files_in_bfloat16_are_read(tmp_path):
    from safetensors import safe_open

    path = own_file(tmp_path)
    with safe_open(path, framework="pt") as opened:
        metadata = opened.metadata()
    state = load_file(path)
    short = {key: value.bfloat16() if value.is_floating_point() else value for key, value in state.items()}
    save_file(short, path, metadata=metadata)
    found = read(path)
    assert found.labels == ("a", "b")
    assert np.array_equal(found.tensors["features.0.0.weight"], short["features.0.0.weight"].float().numpy())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".bin"])
def test_files_of_others_with_odd_numbers(tmp_path, value, suffix):
    state = state_of(small_net())
    state[KEY].view(-1)[5] = value
    path = tmp_path / f"{NAME}{suffix}"
    if suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({"state_dict": state}, path)
    with pytest.raises(
        WeightsError, match=r"'features\.2\.layers\.0\.0\.weight' holds values that are not finite numbers"
    ) as told:
        read(path)
    assert path.name in str(told.value)


def test_numbers_beyond_float32_are_no_numbers_here(tmp_path):
    state = {key: value.double() for key, value in state_of(small_net()).items()}
    state[KEY].view(-1)[0] = 1e300
    save_file(state, tmp_path / f"{NAME}.safetensors")
    with pytest.raises(WeightsError, match="not finite numbers"):
        read(tmp_path / f"{NAME}.safetensors")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("features.0.0.weight", np.nan, "not finite numbers"),
        ("classifier.1.bias", np.inf, "not finite numbers"),
        ("features.0.1.running_var", -1.0, "negative variance"),
    ],
)
def test_our_own_files_with_odd_numbers(tmp_path, key, value, message):
    from safetensors import safe_open

    path = own_file(tmp_path)
    with safe_open(path, framework="pt") as opened:
        metadata = opened.metadata()
    state = load_file(path)
    state[key].view(-1)[0] = value
    save_file(state, path, metadata=metadata)
    with pytest.raises(WeightsError, match=f"own.safetensors: '{key}' holds .*{message}"):
        read(path)


@pytest.mark.parametrize("whole", [torch.int8, torch.uint8, torch.int64])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_whole_numbers_without_scales_are_no_weights(tmp_path, whole, suffix):
    state = state_of(small_net())
    state[KEY] = state[KEY].to(whole)
    path = tmp_path / f"{NAME}{suffix}"
    if suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    with pytest.raises(WeightsError, match="a quantized state dict is not read"):
        read(path)


def test_quantized_and_sparse_tensors_are_refused_in_words(tmp_path):
    state = state_of(small_net())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantized = torch.quantize_per_tensor(state[KEY], 0.1, 0, torch.qint8)
        for odd in (quantized, state[KEY].flatten(1).to_sparse(), torch.empty(3, device="meta")):
            torch.save({**state, KEY: odd}, tmp_path / "a.pth")
            with pytest.raises(WeightsError, match=f"no plain numbers at '{KEY}', but a quantized, sparse or empty"):
                read(tmp_path / "a.pth")
