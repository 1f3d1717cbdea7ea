"""The word `digits`: scikit-learn's 1,797 handwritten digits, 8 x 8 pixels, as a folder of PNG files.

Real data for trying everything out in a minute, with nothing to download. Source: E. Alpaydin and C. Kaynak, Optical
Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998 (its test part, as scikit-learn ships it).
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from pocketvision.cache import root, whole_folder
from pocketvision.data.layouts.hub import PREFIX, fetch
from pocketvision.errors import DataError, UsageError
from pocketvision.files import has_record, is_unicode, mark_own, printable, user_path
from pocketvision.progress import Progress, Silent

WORD = "digits"
COUNT = 1797
INK = 16
"""The data set's darkest value; 0 is paper."""


def resolve(data: str | Path, progress: Progress = Silent()) -> Path:
    """Return the folder or file meant by `data`: the word `digits`, `hf://name`, or a path (such as `./digits`).

    A folder that lies there under such a name is what is meant, which is said.
    """
    if not str(data):
        raise UsageError("the images are named by an empty word; write . for the current folder")
    path = user_path(data)
    if isinstance(data, str) and (data == WORD or data.startswith(PREFIX)):
        if not path.is_dir():
            return digits_folder() if data == WORD else fetch(data)
        meant = "the digits that come with this package" if data == WORD else "the data set of the hub"
        progress.say(f"'{data}' is taken for the folder {path.absolute()}; for {meant}, run this in another folder")
    if not is_unicode(str(path.absolute())):  # it is written into every record of a run
        raise DataError(f"the name of '{printable(str(path.absolute()))}' is not valid Unicode; rename it.")
    return path


def digits_folder() -> Path:
    """Return the folder `<cache>/digits/<label>/<index>.png`, made on first use.

    The folder is whole or absent, even where two processes make it at once.
    """
    folder = _place()
    if _complete(folder):
        return folder
    if folder.exists() and not has_record(folder):
        raise UsageError(
            f"the built-in digits would be put into {folder}, which holds something else; set POCKETVISION_CACHE to "
            f"another folder, or give ./{WORD} or {folder} where you mean that folder"
        )
    with whole_folder(folder, _complete) as new:
        _write(new)
        mark_own(new)
    return folder


def mirror_safe(folder: Path, attributes: Sequence[str] = ()) -> bool:
    """Tell whether the images of `folder` may be mirrored: digits may not, nor what has attributes on one side."""
    sides = {word for name in attributes for word in re.split(r"[\W_]+", name.casefold())} & {"left", "right"}
    return not sides and user_path(folder).absolute() != _place().absolute()


def _place() -> Path:
    return root() / WORD


def _complete(folder: Path) -> bool:
    return sum(path.stat().st_size > 0 for path in folder.glob("[0-9]/*.png")) == COUNT


def _write(folder: Path) -> None:
    # Not by `files`, which would flush 1,797 times to the disk: the whole folder gets its name at the end.
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images * 255 / INK).astype(np.uint8)
    for index, (image, label) in enumerate(zip(images, digits.target, strict=True)):
        path = folder / str(label) / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
