"""The states a version of a model goes through, and the last one each version reached."""

import enum
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import grpc


class State(enum.IntEnum):
    """A version's state; numbers as in ``ModelVersionStatus.State``."""

    UNKNOWN = 0
    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True)
class VersionState:
    """State of one version and, where it failed, why."""

    state: State
    code: grpc.StatusCode = grpc.StatusCode.OK
    message: str = ""


class StateMonitor:
    """Remembers the last state of every version that was ever seen."""

    def __init__(self) -> None:
        self._states: dict[str, dict[int, VersionState]] = {}
        self._changes = 0
        self._changed = threading.Condition()

    def publish(self, model: str, version: int, state: VersionState) -> None:
        """Record a state."""
        with self._changed:
            self._states.setdefault(model, {})[version] = state
            self._changes += 1
            self._changed.notify_all()

    def versions(self, model: str) -> dict[int, VersionState]:
        """Return every version of a model with its state, highest version first."""
        with self._changed:
            return dict(sorted(self._states.get(model, {}).items(), reverse=True))

    def models(self) -> list[str]:
        """Name every model ever seen."""
        with self._changed:
            return sorted(self._states)

    def wait_for(self, condition: Callable[[], bool], timeout: float | None) -> bool:
        """Wait until a condition on the states holds; say whether it came to hold."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            with self._changed:
                seen = self._changes
            # The condition may take locks whose holders publish states: it is asked outside of ours.
            if condition():
                return True
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            with self._changed:
                if self._changes == seen:
                    self._changed.wait(left)
