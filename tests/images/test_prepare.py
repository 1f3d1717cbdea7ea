"""Resize and crop: sizes, the paper's conventions, and equality with the long way round."""

import io

import numpy as np
import pytest
from PIL import Image

from pocketvision.images.prepare import load, prepare
from pocketvision.values import ImageSpec


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("shape", [(1, 1), (10, 5000), (5000, 10), (64, 64), (33, 77), (1, 9)])
@pytest.mark.parametrize("spec", [ImageSpec(64), ImageSpec(64, "crop"), ImageSpec(64, "crop", 0.875)])
def test_any_shape_becomes_the_square(shape, spec):
    result = prepare(noise(*shape), spec)
    assert result.shape == (64, 64, 3)
    assert result.dtype == np.uint8
    assert result.flags.writeable


def test_squash_is_pillows_bilinear():
    pixels = noise(90, 50)
    expected = Image.fromarray(pixels).resize((32, 32), Image.Resampling.BILINEAR)
    assert np.array_equal(prepare(pixels, ImageSpec(32)), np.asarray(expected))


@pytest.mark.parametrize("shape", [(300, 400), (256, 256), (37, 300)])
def test_squash_can_take_the_center_too(shape):
    """Caffe's way: resize to 256 x 256, whatever the sides, and cut 227 x 227 out of the middle."""
    pixels = noise(*shape)
    resized = np.asarray(Image.fromarray(pixels).resize((256, 256), Image.Resampling.BILINEAR))
    result = prepare(pixels, ImageSpec(227, "squash", 227 / 256))
    assert np.abs(result.astype(int) - resized[14:241, 14:241].astype(int)).max() <= 1


def test_shrinking_averages_over_all_source_pixels():
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(prepare(stripes, ImageSpec(32)).astype(int) - 127).max() < 10


@pytest.mark.parametrize("shape", [(300, 400), (401, 299), (256, 256), (50, 61), (37, 300)])
@pytest.mark.parametrize("crop_pct", [1.0, 0.875, 0.9])
def test_crop_equals_resize_then_center_crop(shape, crop_pct):
    """As torchvision's Resize and CenterCrop round: int() for the long side, round() for the offsets."""
    pixels, resolution = noise(*shape), 96
    height, width = shape
    short = round(resolution / crop_pct)
    size = (int(short * width / min(shape)), int(short * height / min(shape)))
    left, top = (round((side - resolution) / 2) for side in size)
    resized = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
    expected = resized[top : top + resolution, left : left + resolution]
    result = prepare(pixels, ImageSpec(resolution, "crop", crop_pct))
    assert np.abs(result.astype(int) - expected.astype(int)).max() <= 1


def test_a_image_of_the_right_size_stays():
    pixels = noise(48, 48)
    for mode in ("squash", "crop"):
        assert np.array_equal(prepare(pixels, ImageSpec(48, mode)), pixels)


def test_load_takes_bytes_and_paths(tmp_path):
    stream = io.BytesIO()
    Image.fromarray(noise(20, 30)).save(stream, "PNG")
    (tmp_path / "a.png").write_bytes(stream.getvalue())
    spec = ImageSpec(16, "crop")
    assert np.array_equal(load(stream.getvalue(), spec), load(tmp_path / "a.png", spec))
    assert np.array_equal(load(stream.getvalue(), spec), prepare(noise(20, 30), spec))
