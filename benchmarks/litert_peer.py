"""Converts a net with litert-torch to an int8 LiteRT file; `benchmarks/litert_export.py` starts it in its own venv.

    python benchmarks/litert_peer.py FOLDER

FOLDER holds net.json (a `ModelSpec`), weights.pt (its state) and images.npy (float [N, 3, R, R], to calibrate with),
and gets made.tflite. The file takes [1, R, R, 3], as the converter's own documents advise: with channels first it would
turn every tensor around. Weights have a scale a channel. Needs torch, numpy and litert-torch only.
"""

import json
import sys
import warnings
from pathlib import Path

import litert_torch
import numpy as np
import torch
from litert_torch.quantize.pt2e_quantizer import PT2EQuantizer, get_symmetric_quantization_config
from litert_torch.quantize.quant_config import QuantConfig
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from pocketvision.models import build_spec
from pocketvision.values import ModelSpec, from_json


def main() -> None:
    warnings.simplefilter("ignore")
    folder = Path(sys.argv[1])
    net = build_spec(from_json(ModelSpec, json.loads((folder / "net.json").read_text(encoding="utf-8"))))
    net.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
    calibration = torch.from_numpy(np.load(folder / "images.npy").transpose(0, 2, 3, 1).copy())
    sample = (calibration[:1],)
    quantizer = PT2EQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    with torch.no_grad():
        whole = litert_torch.to_channel_last_io(net.eval(), args=[0]).eval()
        watched = prepare_pt2e(torch.export.export(whole, sample).module(), quantizer)
        for image in calibration:
            watched(image[None])
        small = convert_pt2e(watched, fold_quantize=False)
        made = litert_torch.convert(small, sample, quant_config=QuantConfig(pt2e_quantizer=quantizer))
    made.export(str(folder / "made.tflite"))


if __name__ == "__main__":
    main()
