"""The word `digits`: scikit-learn's 1,797 handwritten digits, 8 x 8 pixels, as a folder of PNG files.

Real data for trying everything out in a minute, with nothing to download. Source: E. Alpaydin and C. Kaynak, Optical
Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998 (its test part, as scikit-learn ships it).
"""

import shutil
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from pocketvision.data.layouts.hub import PREFIX, fetch
from pocketvision.errors import DataError, UsageError
from pocketvision.files import cache_folder, has_record, is_unicode, make_folder, mark_own, printable, user_path
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

    The cache is the environment's POCKETVISION_CACHE, or ~/.cache/pocketvision. The folder is whole or absent, even
    where two processes make it at once.
    """
    folder = _place()
    if _complete(folder):
        return folder
    if folder.exists() and not has_record(folder):
        raise UsageError(
            f"the built-in digits would be put into {folder}, which holds something else; set POCKETVISION_CACHE to "
            f"another folder, or give ./{WORD} or {folder} where you mean that folder"
        )
    make_folder(folder.parent)
    draft = Path(tempfile.mkdtemp(prefix=".digits-", dir=folder.parent))
    try:
        _write(draft / "new")
        mark_own(draft / "new")
        if folder.exists() and not _complete(folder):
            folder.rename(draft / "damaged")
        if not folder.exists():
            _take(draft / "new", folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def mirror_safe(root: Path) -> bool:
    """Tell whether the images of `root` may be mirrored: digits may not."""
    return user_path(root).absolute() != _place().absolute()


def _place() -> Path:
    return cache_folder() / WORD


def _complete(folder: Path) -> bool:
    return sum(path.stat().st_size > 0 for path in folder.glob("[0-9]/*.png")) == COUNT


def _take(draft: Path, folder: Path) -> None:
    try:
        draft.rename(folder)
    except OSError:
        if not _complete(folder):  # else another process was faster
            raise


def _write(folder: Path) -> None:
    # Not by `files`, which would flush 1,797 times to the disk: the whole folder gets its name at the end.
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images * 255 / INK).astype(np.uint8)
    for index, (image, label) in enumerate(zip(images, digits.target, strict=True)):
        path = folder / str(label) / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
