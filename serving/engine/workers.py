"""Threads that work on requests."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

#: Seconds without a call taken up after which those at work are no longer waited for.
PATIENCE = 0.005

_log = logging.getLogger(__name__)


class Work:
    """A call handed to Workers: of a Future, what a gRPC server asks of it."""

    __slots__ = ("_arguments", "_call", "_callbacks", "_done", "_keywords")

    def __init__(
        self, call: Callable[..., object], arguments: tuple[Any, ...], keywords: dict[str, Any]
    ) -> None:
        self._call, self._arguments, self._keywords = call, arguments, keywords
        self._callbacks: list[Callable[[Work], object]] = []
        self._done = False

    def add_done_callback(self, callback: Callable[["Work"], object]) -> None:
        """Call back when the work is done, which may be now."""
        self._callbacks.append(callback)
        if self._done:
            self._call_back()

    def run(self) -> None:
        """Make the call, and then the calls back."""
        try:
            self._call(*self._arguments, **self._keywords)
        except Exception:
            _log.exception("processing a request failed")
        self._done = True
        self._call_back()

    def _call_back(self) -> None:
        # Both threads may be here at once; a list gives each of its items to one of them.
        while self._callbacks:
            try:
                callback = self._callbacks.pop(0)
            except IndexError:
                return
            callback(self)


_here = threading.local()


def aside(call: Callable[..., Any], *arguments: Any) -> Any:
    """Make a call that leaves the interpreter for a while, and let Workers take up another meanwhile.

    In a thread that belongs to no Workers it is just made.
    """
    place = getattr(_here, "place", None)
    if place is None:
        return call(*arguments)
    workers, turn = place
    workers.leave(turn)
    try:
        return call(*arguments)
    finally:
        workers.come_back(turn)


class Workers(Executor):
    """A fixed number of threads that take up calls in the order in which they come.

    One of them is at work at a time, for Python lets no more: sixteen that are ready contend for the
    interpreter's lock at each of the dozen times that a request gives it up, which costs more than the
    request. A call that leaves the interpreter says so by ``aside``, and the next is taken up meanwhile; one
    that does not move on within ``PATIENCE`` is no longer counted. The thread that rested last goes first:
    what it needs is still in the processor's caches.

    Args:
        threads: how many calls are under way at a time.
        name: what the threads are called, before their number.
    """

    def __init__(self, threads: int, name: str) -> None:
        # Guards all that follows; the condition tells that a call has to wait.
        self._lock = threading.Lock()
        self._waits = threading.Condition(self._lock)
        self._waiting: deque[Work] = deque()
        # A thread stands here as the lock that it rests on.
        self._idle: list[threading.Lock] = []
        self._at_work: set[threading.Lock] = set()
        self._taken = 0
        self._closed = False
        names = [f"{name}-{number}" for number in range(threads)]
        self._threads = [threading.Thread(target=self._work, name=name, daemon=True) for name in names]
        self._threads.append(threading.Thread(target=self._watch, name=f"{name}-watch", daemon=True))
        for thread in self._threads:
            thread.start()

    def submit(self, call: Callable[..., object], /, *args: Any, **kwargs: Any) -> Work:  # type: ignore[override]
        """Have a call made by the next free thread."""
        work = Work(call, args, kwargs)
        with self._lock:
            self._waiting.append(work)
            if not self._wake():
                self._waits.notify()
        return work

    def _wake(self) -> bool:
        """Have a thread that rests take up the next call, unless another is at work and will."""
        if self._at_work or not self._idle or not self._waiting:
            return False
        turn = self._idle.pop()
        self._at_work.add(turn)
        turn.release()
        return True

    def leave(self, turn: threading.Lock) -> None:
        """Count a thread out: another may be at work."""
        with self._lock:
            self._at_work.discard(turn)
            self._wake()

    def come_back(self, turn: threading.Lock) -> None:
        """Count a thread in again, which continues at once: no new call is taken up beside it."""
        with self._lock:
            self._at_work.add(turn)

    def _work(self) -> None:
        turn = threading.Lock()
        turn.acquire()
        _here.place = self, turn
        while True:
            while (work := self._next(turn)) is not None:
                work.run()
            if self._closed:
                return
            turn.acquire()

    def _next(self, turn: threading.Lock) -> Work | None:
        """End a thread's turn and give it the next call, or None if it rests."""
        with self._lock:
            self._at_work.discard(turn)
            if self._waiting and not self._at_work:
                self._at_work.add(turn)
                self._taken += 1
                return self._waiting.popleft()
            if not self._closed:
                self._idle.append(turn)
            return None

    def _watch(self) -> None:
        while True:
            with self._lock:
                while not self._waiting and not self._closed:
                    self._waits.wait()
                if not self._waiting:
                    return
                taken = self._taken
            time.sleep(PATIENCE)
            with self._lock:
                if self._taken == taken:
                    self._at_work.clear()
                    self._wake()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the threads end when the calls handed over so far are done."""
        with self._lock:
            self._closed = True
            self._waits.notify()
            for turn in self._idle:
                turn.release()
            self._idle.clear()
        if wait:
            for thread in self._threads:
                thread.join()
