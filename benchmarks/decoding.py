"""Images a second and pixel differences: our decoding and preparing beside other decoders, on real photos.

    python benchmarks/decoding.py ../shared/data/face-mask ../shared/data/imagenet-sample --resolution 128

Prints CPU time, one thread, each file in memory, methods in turns and the best of several rounds. Peers (simplejpeg,
opencv-python-headless, pyvips) are left out with a word where they are not installed.
"""

import argparse
import io
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pocketvision.images.decode import decode
from pocketvision.images.prepare import prepare
from pocketvision.values import ImageSpec

Pixels = NDArray[np.uint8]
Method = Callable[[bytes], Pixels]


def pillow_draft(content: bytes, side: int) -> Pixels:
    """Let the JPEG decoder shrink by 2, 4 or 8, to no less than twice the size asked for."""
    with Image.open(io.BytesIO(content)) as image:
        image.draft("RGB", (2 * side, 2 * side))
        return np.array(image.convert("RGB"))


def peers(side: int) -> dict[str, Method]:
    """Return the other decoders that are installed."""
    found: dict[str, Method] = {"Pillow, draft": lambda content: pillow_draft(content, side)}
    try:
        import simplejpeg

        found["simplejpeg"] = simplejpeg.decode_jpeg
        found["simplejpeg, draft"] = lambda content: simplejpeg.decode_jpeg(
            content, min_height=2 * side, min_width=2 * side, min_factor=1
        )
    except ImportError:
        print("simplejpeg: not installed, left out")
    try:
        import cv2

        cv2.setNumThreads(1)
        found["OpenCV"] = lambda content: cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    except ImportError:
        print("opencv-python-headless: not installed, left out")
    try:
        import pyvips

        pyvips.cache_set_max(0)
        found["pyvips"] = lambda content: pyvips.Image.new_from_buffer(content, "").colourspace("srgb")[0:3].numpy()
    except (ImportError, OSError):
        print("pyvips: not installed, left out")
    return found


def jpegs(folder: Path, most: int) -> list[bytes]:
    """Return the contents of upright RGB JPEG files, evenly over the folder."""
    contents = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in (".jpg", ".jpeg"):
            continue
        content = path.read_bytes()
        with Image.open(io.BytesIO(content)) as image:
            if image.format == "JPEG" and image.mode == "RGB" and image.getexif().get(0x0112, 1) == 1:
                contents.append(content)
    return contents[:: max(1, len(contents) // most)]


def seconds(method: Method, contents: list[bytes]) -> float:
    started = time.process_time()
    for content in contents:
        method(content)
    return time.process_time() - started


def compare(folder: Path, spec: ImageSpec, *, most: int, rounds: int) -> None:
    """Print one line for each method."""
    contents = jpegs(folder, most)
    ours: dict[str, Method] = {"decode (Pillow)": decode, "decode + prepare": lambda c: prepare(decode(c), spec)}
    others = peers(spec.resolution)
    plain = [decode(content) for content in contents]
    sizes = np.median([min(pixels.shape[:2]) for pixels in plain])
    print(
        f"\n{folder.name}: {len(contents)} JPEG photos, median short side {sizes:.0f} px, prepared at {spec.resolution}"
    )
    times: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, method in (ours | others).items():
            times.setdefault(name, []).append(seconds(method, contents))
    prepared_plain = [prepare(pixels, spec) for pixels in plain]
    for name in ours | others:
        line = f"{name:20s} {len(contents) / min(times[name]):7.0f} images/s"
        if name in others:
            found = [others[name](content) for content in contents]
            line += f"   decoded: {difference(plain, found)}"
            line += f"   prepared: {difference(prepared_plain, [prepare(pixels, spec) for pixels in found])}"
        print(line)
    print(f"{'prepare alone':20s} {len(plain) / resizing(plain, spec):7.0f} images/s")


def resizing(images: list[Pixels], spec: ImageSpec) -> float:
    started = time.process_time()
    for pixels in images:
        prepare(pixels, spec)
    return time.process_time() - started


def difference(ours: list[Pixels], others: list[Pixels]) -> str:
    """Say by how many levels two decoders differ; where the sizes do, there is nothing to compare."""
    pairs = [(a.astype(int), b) for a, b in zip(ours, others, strict=True) if a.shape == b.shape]
    if not pairs:
        return "other sizes"
    gaps = [np.abs(a - b) for a, b in pairs]
    same = "" if len(pairs) == len(ours) else f" ({len(pairs)} of the same size)"
    return f"at most {max(gap.max() for gap in gaps)}, mean {np.mean([gap.mean() for gap in gaps]):.3f}{same}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--most", type=int, default=150, help="photos of each folder")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    for folder in given.folders:
        compare(folder, ImageSpec(given.resolution), most=given.most, rounds=given.rounds)


if __name__ == "__main__":
    main()
