"""Others' resizers: each by its definition, and against OpenCV itself where it is installed."""

import numpy as np
import pytest

from pocketvision.errors import UnknownName
from pocketvision.images.prepare import prepare
from pocketvision.images.resizers import NAMES, prepare_as
from pocketvision.values import ImageSpec

SHAPES = [(64, 64), (33, 77), (300, 400), (20, 30), (10, 500), (1, 9), (1, 1)]


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("spec", [ImageSpec(32), ImageSpec(32, "crop", 0.875)])
def test_any_shape_becomes_the_square(name, shape, spec):
    result = prepare_as(name, noise(*shape), spec)
    assert result.shape == (32, 32, 3)
    assert result.dtype == np.uint8


@pytest.mark.parametrize("name", NAMES)
def test_a_image_of_one_color_keeps_it_and_one_of_the_right_size_stays(name):
    plain = np.full((70, 90, 3), (3, 128, 254), np.uint8)
    assert np.array_equal(prepare_as(name, plain, ImageSpec(32)), plain[:32, :32])
    pixels = noise(32, 32)
    assert np.array_equal(prepare_as(name, pixels, ImageSpec(32)), pixels)


def test_pillow_is_the_one_way_of_preparing():
    pixels = noise(50, 61)
    spec = ImageSpec(32, "crop", 0.875)
    assert np.array_equal(prepare_as("pillow", pixels, spec), prepare(pixels, spec))


def test_nearest_takes_single_pixels():
    pixels = noise(96, 160)
    assert np.array_equal(prepare_as("nearest", pixels, ImageSpec(32)), pixels[::3, ::5])


def test_linear_mixes_four_pixels_however_large_the_image():
    pixels = noise(128, 128)
    four = pixels[1::4, 1::4].astype(int) + pixels[2::4, 1::4] + pixels[1::4, 2::4] + pixels[2::4, 2::4]
    assert np.abs(prepare_as("opencv-linear", pixels, ImageSpec(32)) - four / 4).max() <= 1


def test_area_is_the_mean_of_what_it_covers():
    pixels = noise(96, 160)
    means = pixels.reshape(32, 3, 32, 5, 3).mean((1, 3))
    assert np.abs(prepare_as("opencv-area", pixels, ImageSpec(32)) - means).max() <= 0.5 + 1e-6
    # 3 source rows on 2 target rows: the middle one counts half for each
    slope = np.repeat(np.array([0, 100, 200], np.uint8)[:, None, None], 3, 1).repeat(3, 2)
    assert prepare_as("opencv-area", slope, ImageSpec(2))[:, 0, 0].tolist() == [33, 167]


def test_a_browser_halves_first():
    pixels = noise(128, 128)
    means = pixels.reshape(32, 4, 32, 4, 3).mean((1, 3))
    assert np.abs(prepare_as("browser", pixels, ImageSpec(32)) - means).max() <= 1
    small = noise(60, 60)
    assert np.array_equal(
        prepare_as("browser", small, ImageSpec(32)), prepare_as("opencv-linear", small, ImageSpec(32))
    )


def test_the_crop_is_the_center():
    pixels = np.zeros((64, 128, 3), np.uint8)
    pixels[:, 32:96] = 200
    for name in NAMES:
        shown = prepare_as(name, pixels, ImageSpec(32, "crop"))
        assert (shown[:, 1:-1] == 200).all(), name  # Pillow's filter reaches beyond the crop


def test_an_unknown_name_lists_the_known():
    with pytest.raises(UnknownName, match="opencv-linear"):
        prepare_as("opencv", noise(8, 8), ImageSpec(4))


@pytest.mark.parametrize("shape", [(64, 64), (33, 77), (300, 400), (20, 30), (129, 128), (10, 500), (700, 1000)])
@pytest.mark.parametrize(
    ("name", "flag"), [("opencv-linear", "INTER_LINEAR"), ("opencv-area", "INTER_AREA"), ("nearest", "INTER_NEAREST")]
)
def test_opencv_gives_the_same(name, flag, shape):
    cv2 = pytest.importorskip("cv2")
    pixels = noise(*shape)
    expected = cv2.resize(pixels, (32, 32), interpolation=getattr(cv2, flag)).astype(int)
    assert np.abs(prepare_as(name, pixels, ImageSpec(32)) - expected).max() <= 1
