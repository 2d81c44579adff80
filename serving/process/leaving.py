"""End a process without taking TensorFlow's objects apart one by one, which takes seconds."""

import atexit
import contextlib
import os
import sys


class QuickExit:
    """Leaves as soon as every other exit handler has run; make it before anything heavy is imported."""

    def __init__(self) -> None:
        self._code: int | None = None
        # Handlers run in the opposite order of their registration: the first one registered is the last.
        atexit.register(self._leave)

    def __call__(self, code: int) -> None:
        """Exit with a code."""
        self._code = code
        sys.exit(code)

    def _leave(self) -> None:
        if self._code is None:
            return
        with contextlib.suppress(OSError, ValueError):  # a reader that is gone
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(self._code)
