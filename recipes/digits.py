"""Handwritten digits, the embedded default, in at most 200 KB.

    python recipes/digits.py

is `pocketvision fit digits --max-size 200KB`.

Took 3 min 3 s on two cores (x86_64 AMD EPYC, PyTorch 2.13.0, onnxruntime 1.31.1) with the weights of the extra
`weights`: EfficientNet-lite0 0.6875 cut after 9 layers at 48 px, delivered as int8: 186,547 bytes; test accuracy 99.0%
(95% interval 97.0% to 99.6%, 291 images); 0.12 ms an image on one thread. From scratch (`--weights none`) MobileNet V1
0.1875 reached the same in a third of the time.
"""

import pocketvision

if __name__ == "__main__":
    print(pocketvision.fit("digits", max_size="200KB"))
