"""Keep TensorFlow's start-up chatter out of terminals and logs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def native_stderr() -> Iterator[None]:
    """Send what native code writes to file descriptor 2 to nowhere while the body runs.

    TensorFlow announces its CPU features from C++ before any log level is read. Only imports
    belong in the body: their failures are Python exceptions and are not lost.
    """
    try:
        stderr_copy = os.dup(2)
    except OSError:
        # There is no stderr, as under some schedulers.
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(stderr_copy, 2)
        os.close(stderr_copy)
        os.close(nowhere)
