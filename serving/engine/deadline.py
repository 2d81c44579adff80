"""Whether somebody still waits for what this thread works on: a run that has not begun is then left out."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from serving.errors import DeadlineExceeded

_here = threading.local()


def _always() -> bool:
    return True


@contextmanager
def waiting(is_waiting: Callable[[], bool]) -> Iterator[None]:
    """Work for a caller: the function tells whether it still waits."""
    _here.is_waiting = is_waiting
    try:
        yield
    finally:
        _here.is_waiting = _always


def caller() -> Callable[[], bool]:
    """Return the function that tells whether the caller of this thread still waits."""
    return getattr(_here, "is_waiting", _always)


def passed() -> DeadlineExceeded:
    """Make the error of a request that nobody waits for any more."""
    return DeadlineExceeded("the deadline passed, or the caller hung up, before the model ran")
