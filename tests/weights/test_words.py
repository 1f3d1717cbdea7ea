"""What a file's own words, or the config.json beside it, say of the net in it: read, told or asked for, not guessed."""

import argparse
import json
import warnings
from contextlib import nullcontext

import pytest
import torch
from safetensors.torch import save_file

from pocketvision.errors import WeightsError
from pocketvision.models.catalogue import build_spec
from pocketvision.weights import add, load_into, read
from pocketvision.weights.verbs import where
from tests.weights.timms import small_net, state_of, write_hub

TF, OWN = "tf_mobilenetv3_small_050", "mobilenetv3_small_050"


def answers_alike(net, weights):
    again = build_spec(weights.spec).eval()
    load_into(again, weights, keep_head=True)
    batch = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        found, wanted = again(batch), net(batch)
    return float((found - wanted).abs().max()) < 1e-4 * float(wanted.abs().max())


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin", "renamed.safetensors"])
def test_a_file_of_the_hub_is_read_as_its_config_says(tmp_path, file):
    net = small_net("same")
    prepared = {
        "mean": [0.4, 0.5, 0.6],
        "std": [0.2, 0.3, 0.4],
        "input_size": [3, 160, 160],
        "crop_pct": 0.9,
        "crop_mode": "squash",
        "interpolation": "bicubic",
    }
    path = write_hub(tmp_path, net, TF, file=file, prepared=prepared, label_names=["ant", "bee", "cow"])
    weights = read(path)
    assert (weights.spec.padding, weights.norm_eps, weights.spec.resolution) == ("same", 1e-3, 160)
    assert (weights.image.mean, weights.image.std) == ((0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    assert (weights.image.crop_mode, weights.image.crop_pct, weights.image.resolution) == ("squash", 0.9, 160)
    assert (weights.labels, weights.remarks) == (("ant", "bee", "cow"), ())
    assert answers_alike(net, weights)


def test_the_other_twin_and_the_older_flat_config(tmp_path):
    net = small_net("symmetric", eps=1e-5)
    path = write_hub(tmp_path, net, f"timm/{OWN}.lamb_in1k")
    assert read(path).spec.padding == "symmetric"
    assert answers_alike(net, read(path))
    flat = {"architecture": OWN, "mean": [0.1, 0.2, 0.3], "std": [1, 1, 1], "input_size": [3, 64, 64]}
    (tmp_path / "config.json").write_text(json.dumps(flat))
    assert (read(path).image.mean, read(path).image.resolution) == ((0.1, 0.2, 0.3), 64)


@pytest.mark.parametrize("file", ["model.safetensors", "model_best.safetensors", "my-net.safetensors"])
def test_twins_are_asked_for_where_nothing_tells_them(tmp_path, file):
    save_file(state_of(small_net()), tmp_path / file)
    with pytest.raises(WeightsError, match=r"or its tf_ twin.*config\.json.*'tf_mobilenetv3_small_100'"):
        read(tmp_path / file)


@pytest.mark.parametrize(("start", "padding"), [(TF, "same"), (OWN, "symmetric"), (f"run-of-{TF}", "same")])
def test_a_files_name_tells_twins_and_the_image_rule_is_told(tmp_path, start, padding):
    save_file(state_of(small_net()), tmp_path / f"{start}-1.safetensors")
    weights = read(tmp_path / f"{start}-1.safetensors")
    assert weights.spec.padding == padding
    (remark,) = weights.remarks
    assert "does not say how its images are prepared" in remark


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"architecture": "resnet18"}, "says 'resnet18', and the names and shapes .* are those of mobilenet_v3_small"),
        ({"architecture": "mobilenetv3_blur_small"}, "says 'mobilenetv3_blur_small'"),
        ({"architecture": TF, "model_args": {"act_layer": "gelu"}}, "changes the net by act_layer"),
        ({"architecture": TF, "mean": [0.5, 0.5]}, "in a way that is not understood"),
        ({"architecture": TF, "std": [0, 1, 1]}, "in a way that is not understood"),
        ({"architecture": TF, "mean": [float("nan")] * 3}, "in a way that is not understood"),
        ({"architecture": TF, "input_size": [3, 224, 192]}, "in a way that is not understood"),
        ({"architecture": TF, "crop_mode": "border"}, "in a way that is not understood"),
        ({"architecture": TF, "model_args": ["x"]}, "changes the net by x"),
    ],
)
def test_configs_that_do_not_belong_or_are_not_understood(tmp_path, config, message):
    path = write_hub(tmp_path, small_net(), TF)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=message):
        read(path)


def test_configs_of_others_are_passed_over_and_damaged_ones_told(tmp_path):
    path = write_hub(tmp_path, small_net(), TF, file=f"{TF}.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["BertModel"]}))
    assert read(path).spec.padding == "same"
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(WeightsError, match=r"config\.json beside tf_.* cannot be read"):
        read(path)


def test_the_cache_keeps_the_config_of_each_file(tmp_path, monkeypatch):
    monkeypatch.setenv("POCKETVISION_CACHE", str(tmp_path / "cache"))
    for padding, architecture in (("same", TF), ("symmetric", OWN)):
        add(write_hub(tmp_path / padding, small_net(padding), architecture), name=f"{padding}.safetensors")
    for padding in ("same", "symmetric"):
        kept = read(tmp_path / "cache" / "weights" / f"{padding}.safetensors")
        assert (kept.spec.padding, kept.image.mean) == (padding, (0.5, 0.5, 0.5))
    assert where().cache == (tmp_path / "cache" / "weights").as_posix()


# ---------------------------------------------------------------- training checkpoints


class Settings:
    """A class of a training script's own."""

    def __init__(self):
        self.batch = 8


def training_checkpoint(net, architecture=TF, **more):
    state = state_of(net)
    averaged = {key: value * 0.5 if value.is_floating_point() else value for key, value in state.items()}
    arguments = argparse.Namespace(model=architecture, mean=None, lr=0.1, output="/tmp")
    content = {"epoch": 9, "arch": architecture, "state_dict": state, "state_dict_ema": averaged, "args": arguments}
    return {**content, **more}


@pytest.mark.parametrize("zipped", [True, False])
def test_a_training_checkpoint_is_read_as_data_and_its_average_taken(tmp_path, zipped):
    net = small_net("same")
    path = tmp_path / "checkpoint-9.pth.tar"
    torch.save(training_checkpoint(net, own=Settings()), path, _use_new_zipfile_serialization=zipped)
    weights = read(path)
    assert (weights.spec.padding, weights.norm_eps, weights.image.mean) == ("same", 1e-3, (0.5, 0.5, 0.5))
    key = "features.0.0.weight"
    assert torch.equal(torch.from_numpy(weights.tensors[key]), net.state_dict()[key] * 0.5)
    assert "average over the last steps is taken ('state_dict_ema'), not 'state_dict'" in weights.remarks[0]


def test_without_an_average_the_last_step_is_taken_without_a_word(tmp_path):
    net = small_net("same")
    arguments = argparse.Namespace(model=TF, mean=[0.1, 0.2, 0.3], std=[0.5, 0.5, 0.5])
    torch.save(training_checkpoint(net, state_dict_ema=None, args=arguments), tmp_path / "last.pth")
    weights = read(tmp_path / "last.pth")
    assert answers_alike(net, weights)
    assert (weights.image.mean, weights.remarks) == ((0.1, 0.2, 0.3), ())


def test_torchs_own_average_counts_its_steps(tmp_path):
    net = small_net("symmetric", eps=1e-5)
    averaged = {"n_averaged": torch.tensor(5)} | {f"module.{key}": value for key, value in state_of(net).items()}
    torch.save({"model": {}, "model_ema": averaged, "args": argparse.Namespace(model=OWN)}, tmp_path / "model_9.pth")
    assert answers_alike(net, read(tmp_path / "model_9.pth"))


def test_wrappers_prefixes_come_off_safetensors_too(tmp_path):
    net = small_net("symmetric", eps=1e-5)
    save_file({f"module.{key}": value for key, value in state_of(net).items()}, tmp_path / f"{OWN}.safetensors")
    assert answers_alike(net, read(tmp_path / f"{OWN}.safetensors"))


@pytest.mark.parametrize("more", [{}, {"__metadata__": {"format": "pt"}}])
def test_a_file_without_a_tensor_is_refused_at_once(tmp_path, more):
    header = json.dumps(more).encode()
    (tmp_path / "a.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(WeightsError, match=r"a\.safetensors holds no tensor"):
        read(tmp_path / "a.safetensors")


@pytest.mark.parametrize("file", [f"{OWN}.safetensors", f"{OWN}.a.pth"])
def test_counts_of_operations_are_no_weights(tmp_path, file):
    net = small_net("symmetric", eps=1e-5)
    counts = {f"{place}total_{what}": torch.zeros(1) for place in ("", "conv_stem.") for what in ("ops", "params")}
    state = {f"module.{key}": value for key, value in (counts | state_of(net)).items()}
    (save_file if file.endswith("s") else torch.save)(state, tmp_path / file)
    assert answers_alike(net, read(tmp_path / file))


def test_a_name_that_is_not_known_is_told(tmp_path):
    torch.save(training_checkpoint(small_net(), "mobilenetv3_mine"), tmp_path / "a.pth")
    assert any(
        "calls its net 'mobilenetv3_mine', which is not known" in remark for remark in read(tmp_path / "a.pth").remarks
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            torch.nn.Linear(2, 2),
            r"holds Python objects of class torch\.nn\.modules\.linear\.Linear, which are not read",
        ),
        (
            {"model": Settings(), "epoch": 3},
            r"holds Python objects of class \S*test_words\.Settings, which are not read",
        ),
        (
            {"state_dict": {"a": Settings()}},
            r"Settings, which are not read, and no state dict of tensors; save the net's",
        ),
    ],
)
def test_whole_objects_are_called_what_they_are(tmp_path, content, message):
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=message):
        read(tmp_path / "a.pth")


def test_a_scripted_net_is_called_a_program(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(torch.nn.ReLU(), torch.zeros(1)).save(tmp_path / "a.pt")
    with pytest.raises(WeightsError, match="a TorchScript archive, a program rather than weights"):
        read(tmp_path / "a.pt")


class Trap:
    """Names a function of Python's to be called when it is read."""

    def __init__(self, called, *given):
        self.called, self.given = called, given

    def __reduce__(self):
        return self.called, self.given


def test_nothing_is_ever_called(tmp_path):
    import os
    import subprocess

    state = state_of(small_net())
    for number, called in enumerate((eval, os.system, subprocess.check_call, exec)):
        text = f"touch {tmp_path}/run" if number in (1, 2) else f"open({str(tmp_path / 'run')!r}, 'w')"
        torch.save({"arch": TF, "state_dict": state, "x": Trap(called, text)}, tmp_path / "a.pth")
        with pytest.raises(WeightsError, match="nothing in a weights file is run") if number != 2 else nullcontext():
            read(tmp_path / "a.pth")
        assert not (tmp_path / "run").exists()
