"""The command line: one file a verb, each a thin twin of the public function of the same name."""

import sys


def main() -> None:
    """Run the command line; the exit code says how it went (0 done, 1 error, 2 usage, 3 budget, 4 verification)."""
    from pocketvision.cli.app import run

    sys.exit(run(sys.argv[1:]))
