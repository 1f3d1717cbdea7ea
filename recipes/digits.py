"""Handwritten digits, the embedded default, in at most 200 KB.

    python recipes/digits.py

is `pocketvision fit digits --max-size 200KB`.

Took 64 s on two cores (x86_64 Intel Xeon, PyTorch 2.13.0, onnxruntime 1.31.1). MobileNet V1 0.1875 at 48 px from
scratch, 40 epochs, delivered as int8: 161,163 bytes; test accuracy 98.6% (95% interval 96.5% to 99.5%, 291 images);
0.11 ms an image on one thread.
"""

import pocketvision

if __name__ == "__main__":
    print(pocketvision.fit("digits", max_size="200KB"))
