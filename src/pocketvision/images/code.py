"""`prepare(path)` as lines of Python, for people who use a delivered file without this package."""

from importlib.resources import files

from pocketvision.values import ImageSpec

_PREPARE = '''

def prepare(path):
    """Return an image file as the net takes it: uint8 RGB [{side}, {side}, 3]."""
    with Image.open(path) as image:
        image, turn = rgb_of(image), turn_of(image)
    if turn is not None:
        image = image.transpose(turn)
    {crop}
    return np.array(image.resize(({side}, {side}), Image.Resampling.BILINEAR, box=box))
'''


def prepare_code(spec: ImageSpec) -> str:
    """Return Python that defines `prepare`, which does as `prepare.load`; the lines of `upright.py` are part of it."""
    _, description, lines = files("pocketvision.images").joinpath("upright.py").read_text("utf-8").split('"""', 2)
    assert description.startswith("An opened image"), description
    crop = "\n    ".join(_crop_code(spec))
    return lines.lstrip() + _PREPARE.format(side=spec.resolution, crop=crop)


def _crop_code(spec: ImageSpec) -> tuple[str, ...]:
    """Return lines that set `box`, the part of `image` that is kept, as `center_box` does."""
    if spec.crop_mode == "squash" and spec.crop_pct == 1:
        return ("box = (0, 0, *image.size)",)
    side, larger = spec.resolution, round(spec.resolution / spec.crop_pct)
    sides = f"({larger} * side // min(image.size) for side in image.size)"
    return (
        f"wide, high = {sides if spec.crop_mode == 'crop' else (larger, larger)}",
        f"left, top = round((wide - {side}) / 2), round((high - {side}) / 2)",
        f"right, bottom = (left + {side}) * image.width / wide, (top + {side}) * image.height / high",
        "right, bottom = min(right, image.width), min(bottom, image.height)",
        "box = (left * image.width / wide, top * image.height / high, right, bottom)",
    )
