"""Faces with and without a mask, from a published MobileNet V1 0.25, in at most 600 KB and 3 ms.

    python recipes/face_mask.py path/to/face-mask path/to/mobilenet_v1_0.25_128_quant.tflite

Images: 1,000 of all sizes from the web, github.com/balajisrinivas/Face-Mask-Detection. Weights:
google-coral/test_data, Apache-2.0.

Took 48 s on two cores (x86_64 AMD EPYC, PyTorch 2.13.0, onnxruntime 1.31.1). MobileNet V1 0.25 at 160 px,
delivered as int8, since float breaks the budget: 257,262 bytes; test accuracy 98.7% (95% interval 95.5% to 99.6%, 157
images); 0.50 ms an image on one thread. The 15 near duplicates in the set lie in one split with their originals.
"""

import sys

import pocketvision

if __name__ == "__main__":
    data, weights = sys.argv[1:]
    print(pocketvision.fit(data, max_size="600KB", max_latency="3ms", weights=weights))
