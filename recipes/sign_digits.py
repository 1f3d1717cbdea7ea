"""Photos of hands that sign the digits 0 to 9, from a published MobileNet V2, without a budget.

    python recipes/sign_digits.py path/to/sign-digits path/to/mobilenet_v2_1.0_224_quant.tflite

Pictures: 2,062 of 100x100 pixels, github.com/ardamavi/Sign-Language-Digits-Dataset. Weights: google-coral/test_data,
Apache-2.0.

@@SD@@
"""

import sys

import pocketvision

if __name__ == "__main__":
    data, weights = sys.argv[1:]
    print(pocketvision.fit(data, weights=weights))
