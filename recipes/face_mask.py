"""Faces with and without a mask, in at most 2 MB and 10 ms.

    python recipes/face_mask.py path/to/face-mask

Images: 1,000 of all sizes from the web, github.com/balajisrinivas/Face-Mask-Detection. Weights: EfficientNet-lite0's of
the extra `weights`, Apache-2.0.

Took 5 min 35 s on two cores (x86_64 AMD EPYC, PyTorch 2.13.0, onnxruntime 1.31.1). EfficientNet-lite0 cut after 12
layers at 96 px, delivered as int8, since float breaks the budget: 806,323 bytes; test accuracy 99.4% (95% interval
96.5% to 99.9%, 157 images); 0.57 ms an image on one thread. The 15 near duplicates in the set lie in one split with
their originals.
"""

import sys

import pocketvision

if __name__ == "__main__":
    print(pocketvision.fit(sys.argv[1], max_size="2MB", max_latency="10ms"))
