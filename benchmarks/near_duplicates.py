"""How many edited copies of photographs `check` finds again, and what it takes for near duplicates in real sets.

    python benchmarks/near_duplicates.py ../shared/data/face-mask ../shared/data/smiles

Of each folder it takes up to 80 images (seed 0), edits each in every way below, and says how many of the copies are
joined with their original and with no other image of the folder.
"""

import argparse
import io
import random
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageEnhance

from pocketvision.data.layouts.tree import IMAGE_SUFFIXES
from pocketvision.data.near_duplicates import near_groups
from pocketvision.data.perceptual_hash import ENOUGH, SIDE, signatures_of, stacked
from pocketvision.images.decode import read

COUNT = 80


def saved(image: Image.Image, quality: int = 85) -> bytes:
    """Return JPEG bytes."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def resized(factor: float, quality: int) -> Callable[[Image.Image], bytes]:
    """Return an edit to a share of the size."""
    return lambda p: saved(p.resize((max(16, int(p.width * factor)), max(16, int(p.height * factor)))), quality)


EDITS: dict[str, Callable[[Image.Image], bytes]] = {
    "quality 90": lambda image: saved(image, 90),
    "quality 30": lambda image: saved(image, 30),
    "half size": resized(0.5, 85),
    "third size": resized(1 / 3, 80),
    "1.5 x size": resized(1.5, 85),
    "squashed": lambda image: saved(image.resize((96, 96))),
    "brightness +15%": lambda image: saved(ImageEnhance.Brightness(image).enhance(1.15)),
    "contrast +20%": lambda image: saved(ImageEnhance.Contrast(image).enhance(1.2)),
    "cropped by 3%": lambda p: saved(p.crop((p.width // 66, p.height // 66, p.width * 65 // 66, p.height * 65 // 66))),
    "mirrored": lambda image: saved(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
}


def signature_of(source: bytes | Path) -> bytes:
    """Return an image's signature, as `check` makes it."""
    found, _ = signatures_of([read(source, least=ENOUGH, small=SIDE).small])
    return bytes(found[0].tobytes())


def main() -> None:
    """Print a line for each folder and edit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    for folder in parser.parse_args().folders:
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
        originals = [signature_of(path) for path in files]
        own = near_groups(stacked(originals))
        print(f"{folder.name}: {len(files)} images, {sum(own != range(len(own)))} repeat another")
        places = random.Random(0).sample(range(len(files)), min(COUNT, len(files)))
        for name, edit in EDITS.items():
            copies = [signature_of(edit(Image.open(files[place]).convert("RGB"))) for place in places]
            groups = near_groups(stacked([*originals, *copies]))
            found = sum(groups[len(files) + index] == own[place] for index, place in enumerate(places))
            wrong = sum(groups[: len(files)] != own)
            print(f"  {name:16} {found:3} of {len(places)} found, {wrong} others joined")


if __name__ == "__main__":
    main()
