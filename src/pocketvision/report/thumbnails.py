"""Small pictures for the page, as data addresses that need no file."""

import base64
import io
from pathlib import Path, PurePosixPath

from pocketvision.errors import ImageError
from pocketvision.images.decode import read

SIDE = 176
"""Stored pixels of the long side: shown at about half of it, so sharp on a phone too."""


def thumbnail(root: Path, file: str) -> str:
    """Return a data set's picture as a data address; '' where it is missing, unreadable or not below `root`."""
    from PIL import Image

    below = PurePosixPath(file)
    if below.is_absolute() or ".." in below.parts:
        return ""
    try:
        picture = Image.fromarray(read(root / below, least=SIDE).pixels)
    except (ImageError, OSError):
        return ""
    picture.thumbnail((SIDE, SIDE))
    stream = io.BytesIO()
    picture.save(stream, "WEBP", quality=80)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"
