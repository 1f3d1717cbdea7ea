"""What the stages after training take, so that training leaves them time where the whole chain has a limit."""

import time
from collections.abc import Sequence
from pathlib import Path

from pocketvision.clock import Clock
from pocketvision.data.parallel import in_order
from pocketvision.errors import ImageError
from pocketvision.images.decode import decode
from pocketvision.images.prepare import prepare
from pocketvision.train.inputs import Loaded
from pocketvision.values import Example, ImageSpec

DELIVERY_S = 4.5
"""On idle cores: compressing, exporting, loading a fresh process, timing the file, the report. Beside the images."""
REPORT_S = 1.5
"""Of that what follows the proof, on idle cores."""
RESIZED_SHARE = 0.1
"""Share of the limit that is kept for asking the file again under other resizers, at most."""
RESIZING = 8.0
"""How many times longer an image takes under all other resizers than read and prepared once."""
_SAMPLE = 12


def delivery_s(loaded: Loaded, image: ImageSpec, clock: Clock) -> float:
    """Estimate the seconds from the end of training to the end of the chain, beside the net's answers."""
    if not clock.limited:
        return 0.0
    tested = loaded.dataset.of("test")
    each = reading_s([Path(loaded.dataset.path(example)) for example in spread(tested)], image)
    again = min(RESIZED_SHARE * clock.limit_s, RESIZING * each * min(len(tested), 300))
    return DELIVERY_S * clock.slowness() + 2 * each * len(tested) + again


def proof_s(clock: Clock) -> float | None:
    """Return the seconds left for the proof; None without a limit."""
    return max(1.0, clock.limit_s - clock.spent() - REPORT_S * clock.slowness()) if clock.limited else None


def spread(examples: Sequence[Example]) -> list[Example]:
    """Pick some examples evenly."""
    step = max(1, len(examples) // _SAMPLE)
    return list(examples[::step][:_SAMPLE])


def reading_s(files: Sequence[Path], image: ImageSpec) -> float:
    """Time how long an image takes to be read and prepared, on all cores; 0 where there is none."""

    def read(file: Path) -> None:
        try:
            prepare(decode(file), image)
        except ImageError:  # the check has named it
            return

    started = time.perf_counter()
    count = sum(1 for _ in in_order(read, files))
    return (time.perf_counter() - started) / count if count else 0.0
