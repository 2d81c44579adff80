"""Standard output and error that outlive the process that reads them."""

import io
import os
import sys
from typing import Any, TextIO


class _Pipe(io.FileIO):
    """A file descriptor to write to; what is written once nobody reads it any more is dropped."""

    def write(self, data: Any) -> int:
        """Write bytes; return how many were written or dropped."""
        try:
            return super().write(data)
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())  # also for what processes started from now on write
            os.close(nowhere)
            return super().write(data)


def outlive_readers() -> None:
    """Let this process go on when the reader of its output dies, such as the worker that started it.

    Without it the first line printed from then on would raise BrokenPipeError, which rich's
    console turns into SystemExit.
    """
    sys.stdout, sys.stderr = _outliving(sys.stdout), _outliving(sys.stderr)


def _outliving(stream: TextIO) -> TextIO:
    stream.flush()
    pipe = _Pipe(stream.fileno(), "wb", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(pipe), encoding=stream.encoding, errors=stream.errors, line_buffering=True
    )
