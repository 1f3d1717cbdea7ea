"""The command line: one file a verb, each a thin twin of the public function of the same name."""

import os
import sys

from pocketvision.process import keep_memory, leave_folder


def main() -> None:
    """Run the command line; the exit code says how it went (0 done, 1 error, 2 usage, 3 budget, 4 verification)."""
    leave_folder()
    # Threads that wait for each other by spinning make training ten times slower as soon as another program wants
    # a core; those that sleep cost it its share (docs/measurements/training.md). Read once, when torch loads.
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    keep_memory()
    from pocketvision.cli.app import heed_stop, run
    from pocketvision.cli.streams import prepare
    from pocketvision.clock import command_begins

    command_begins()
    prepare()
    heed_stop()
    sys.exit(run(sys.argv[1:]))
