"""Silence while packages are loaded that talk of themselves."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Keep packages from telling of the processor, of threads and of parts of torch; errors are raised all the same.

    Some write to the process's own stderr, so that this is turned away meanwhile.
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with _without_stderr(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextmanager
def _without_stderr() -> Iterator[None]:
    try:
        kept = os.dup(2)
    except OSError:  # the process has no stderr
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
