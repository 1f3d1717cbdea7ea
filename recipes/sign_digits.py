"""Photos of hands that sign the digits 0 to 9, from a published MobileNet V2, without a budget.

    python recipes/sign_digits.py path/to/sign-digits path/to/mobilenet_v2_1.0_224_quant.tflite

Images: 2,062 of 100x100 pixels, github.com/ardamavi/Sign-Language-Digits-Dataset. Weights: google-coral/test_data,
Apache-2.0.

Took 2 min 47 s on two cores (x86_64 Intel Xeon, PyTorch 2.13.0, onnxruntime 1.31.1). MobileNet V2 1.0 at 128 px, head
first and then the whole net for 6 epochs, delivered as int8: 2,447,751 bytes; test accuracy 100.0% (95% interval 98.8%
to 100.0%, 314 images); 1.12 ms an image on one thread. The head alone, on frozen features, gets 92.4% on validation.
"""

import sys

import pocketvision

if __name__ == "__main__":
    data, weights = sys.argv[1:]
    print(pocketvision.fit(data, weights=weights))
