"""Whether somebody still waits for what this thread works on, and until when.

A run that nobody waits for does not begin; one whose last deadline passes is stopped where the runtime can.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from serving.errors import DeadlineExceeded

#: Seconds that nobody waits.
_FOR_EVER = 1e9

_here = threading.local()


def _always() -> bool:
    return True


class Caller:
    """Who waits for a run.

    Args:
        is_waiting: returns whether it still does.
        until: when its deadline passes, by `time.monotonic`; None for never.
    """

    __slots__ = ("_is_waiting", "until")

    def __init__(self, is_waiting: Callable[[], bool] = _always, until: float | None = None) -> None:
        self._is_waiting, self.until = is_waiting, until

    def waits(self) -> bool:
        """Return whether the caller is there and its deadline has not passed."""
        return self._is_waiting() and (self.until is None or time.monotonic() < self.until)


_ANYBODY = Caller()


@contextmanager
def waiting(caller: Caller) -> Iterator[None]:
    """Work for a caller."""
    before = current()
    _here.caller = caller
    try:
        yield
    finally:
        _here.caller = before


def current() -> Caller:
    """Return the caller that this thread works for; without one, somebody who waits for ever."""
    return getattr(_here, "caller", _ANYBODY)


def joined(callers: Iterable[Caller]) -> Caller:
    """Return the caller for whom a batch is run: it waits as long as the most patient one."""
    ends = [caller.until for caller in callers]
    return Caller(until=None if None in ends else max(end for end in ends if end is not None))


def ends_in(seconds: float | None) -> float | None:
    """Return when a deadline passes that is so many seconds away; None for never."""
    # gRPC gives a call without a deadline some hundred billion years.
    return None if seconds is None or seconds > _FOR_EVER else time.monotonic() + seconds


def passed() -> DeadlineExceeded:
    """Make the error of a request that nobody waits for any more."""
    return DeadlineExceeded("the deadline passed, or the caller hung up, before the model ran")
