"""What opening a file costs: time, and memory with the runtime's own, in a process of its own."""

import json
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from pocketvision.errors import WeightsError
from pocketvision.process import run_own

LIMIT_S = 300


@dataclass(frozen=True)
class Loading:
    """The cost of opening a file on this machine."""

    load_ms: float
    """Wall time to open it once more, the runtime being loaded."""
    peak_bytes: int
    """Most memory a process takes for the runtime, the file and the images' answers, beside Python and numpy."""


def loading(file: Path, *, threads: int = 1, batch: int = 1) -> Loading:
    """Open a file and answer images once in a fresh process; raises WeightsError where that fails."""
    done = run_own("pocketvision.verify.loading", str(file), str(threads), str(batch), timeout_s=LIMIT_S)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["it ended without a word"]
        raise WeightsError(f"{file.name} could not be opened in a process of its own: {last[0]}")
    return Loading(**json.loads(done.stdout.splitlines()[-1]))


def _measure(file: Path, threads: int, batch: int) -> Loading:
    from pocketvision.runtime import open as open_model
    from pocketvision.verify.timing import noise

    before = _peak_bytes()
    open_model(file, threads=threads)
    started = time.perf_counter()
    runner = open_model(file, threads=threads)
    load_ms = 1000 * (time.perf_counter() - started)
    runner.run(noise(runner.manifest.image.resolution, batch))
    return Loading(round(load_ms, 3), _peak_bytes() - before)


def _peak_bytes() -> int:
    status = Path("/proc/self/status")
    if status.is_file():
        # What getrusage tells begins with the parent's size here.
        line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    print(json.dumps(vars(_measure(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))))
