"""Nets of ours in timm's names, written as the hub and training scripts write them."""

import json

import torch
from safetensors.torch import save_file

from pocketvision.models import build
from pocketvision.weights.layouts import timm
from pocketvision.weights.layouts.layers import leaves
from tests.weights.test_layouts_keys import listed

INCEPTION = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}


def small_net(padding="same", *, classes=3, eps=1e-3):
    """Build a random MobileNet V3 small 0.5, whose twin from TensorFlow has the same names and shapes."""
    torch.manual_seed(0)
    net = build("mobilenet_v3_small", width=0.5, resolution=64, num_classes=classes, padding=padding).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = eps
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.05, 0.1)
    return net


def state_of(net):
    """Return the net's state dict in timm's names."""
    shapes = {key: tuple(value.shape) for key, value in listed("timm_mobilenetv3_small_050").items()}
    match = timm.match(shapes, "mobilenetv3_small_050.pth", "")
    ours, found = net.state_dict(), {}
    for layer, leaf in zip(match.layers, leaves("mobilenet_v3_small"), strict=True):
        for part in ("weight", "bias", "running_mean", "running_var"):
            if f"{leaf.name}.{part}" in ours:
                found[f"{layer}.{part}"] = ours[f"{leaf.name}.{part}"].detach().clone()
    return found


def write_hub(folder, net, architecture, *, file="model.safetensors", prepared=INCEPTION, **more):
    """Write a file of the hub and its config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"architecture": architecture, "num_classes": 3, "pretrained_cfg": {"num_classes": 1000, **prepared}}
    (folder / "config.json").write_text(json.dumps({**config, **more}))
    if file.endswith(".safetensors"):
        save_file(state_of(net), folder / file)
    else:
        torch.save(state_of(net), folder / file)
    return folder / file
