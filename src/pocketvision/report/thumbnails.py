"""Small images for the page, as data addresses that need no file."""

import base64
import hashlib
import io
from pathlib import Path, PurePosixPath

from pocketvision.errors import ImageError
from pocketvision.images.decode import content_of, read

SIDE = 176
"""Stored pixels of the long side: shown at about half of it, so sharp on a phone too."""


def thumbnail(root: Path, file: str, sha256: str | None = None, *, side: int = SIDE) -> str:
    """Return a data set's image as a data address; '' where it is missing, unreadable or not below `root`.

    With `sha256` of its content, also where another image has taken its name.
    """
    from PIL import Image

    below = PurePosixPath(file)
    if below.is_absolute() or ".." in below.parts:
        return ""
    try:
        content = content_of(root / below)
        if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
            return ""
        image = Image.fromarray(read(content, least=side).pixels)
    except (ImageError, OSError):
        return ""
    image.thumbnail((side, side))
    stream = io.BytesIO()
    image.save(stream, "WEBP", quality=80)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"
