"""The process's stdout and stderr, as they are needed: any terminal, any encoding, a reader that goes away."""

import errno
import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_GONE = {errno.EPIPE, errno.EIO, errno.EBADF}
"""The reader, such as `head`, has ended; the terminal was closed."""


def prepare() -> None:
    """Let stdout and stderr take every text, and let work go on to its end and its exit code when nobody reads them.

    Letters that their encoding lacks are written as `\\u732b`. Where there is no such stream, what is said is lost.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # else the next file to be opened would get this number, and with it what libraries print
            os.open(os.devnull, os.O_RDWR)
    sys.stdout, sys.stderr = _lasting(sys.stdout, 1), _lasting(sys.stderr, 2)


def _lasting(stream: TextIO | None, number: int) -> TextIO:
    if isinstance(stream, io.TextIOWrapper) and stream.isatty():
        stream.reconfigure(errors="backslashreplace")
        return stream
    by_line, encoding = number == 2, "utf-8"
    if isinstance(stream, io.TextIOWrapper):
        by_line, encoding = by_line or stream.line_buffering or stream.write_through, stream.encoding
    buffer = io.BufferedWriter(_Lasting(number, "wb", closefd=False))
    return io.TextIOWrapper(buffer, encoding, errors="backslashreplace", line_buffering=by_line)


class _Lasting(io.FileIO):
    """Goes on into nothing when its reader is gone; results that a full disk does not take are an error, once."""

    def write(self, content: "ReadableBuffer", /) -> int:
        """Write bytes."""
        try:
            return super().write(content)
        except OSError as error:
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), self.fileno())
            if error.errno in _GONE or self.fileno() == 2:
                return memoryview(content).nbytes
            error.filename = "stdout"
            raise
