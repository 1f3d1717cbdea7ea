"""Faces with and without a mask, from a published MobileNet V1 0.25, in at most 600 KB and 3 ms.

    python recipes/face_mask.py path/to/face-mask path/to/mobilenet_v1_0.25_128_quant.tflite

Pictures: 1,000 of all sizes from the web, github.com/balajisrinivas/Face-Mask-Detection. Weights:
google-coral/test_data, Apache-2.0.

@@FM@@
"""

import sys

import pocketvision

if __name__ == "__main__":
    data, weights = sys.argv[1:]
    print(pocketvision.fit(data, max_size="600KB", max_latency="3ms", weights=weights))
