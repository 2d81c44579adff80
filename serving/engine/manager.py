"""Loads the versions a source aspires to and unloads the others, never leaving a model unavailable.

The transition policy is TensorFlow Serving's availability-preserving one: an old version goes only when a
requested one is available (or none is requested any more), and only after its last request.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from features.storage.locks import FileLock
from serving.engine.servable import Served
from serving.engine.states import State, StateMonitor, VersionState
from serving.errors import Cancelled, NotFound, code_of, words_of
from serving.repository import leases

Loader = Callable[[str, int, Path], Served]
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadPolicy:
    """How often and how patiently loads are tried.

    Attributes:
        threads: loads that may go on at the same time; 0 counts as 1.
        retries: further tries after the first failure.
        retry_interval: seconds between tries; negative means at once.
    """

    threads: int = 0
    retries: int = 5
    retry_interval: float = 60.0


@dataclass(eq=False)
class _Version:
    """One version on its way through the states; all fields are guarded by the manager's lock."""

    model: str
    number: int
    path: Path
    aspired: bool = True
    state: State = State.START
    failed: bool = False
    tried: bool = False
    servable: Served | None = None
    users: int = 0
    lease: FileLock | None = None
    content: object = None
    # Set when a waiting load should go on at once: its files changed, or it is no longer requested.
    wake: threading.Event = field(default_factory=threading.Event)


class _Use:
    """A version held for a request: a context manager, in a form that costs little to enter."""

    __slots__ = ("_entry", "_manager")

    def __init__(self, manager: "Manager", entry: _Version) -> None:
        self._manager, self._entry = manager, entry

    def __enter__(self) -> Served:
        assert self._entry.servable is not None
        return self._entry.servable

    def __exit__(self, *_: object) -> None:
        self._manager.release(self._entry)


class Manager:
    """Keeps the versions in memory that are requested.

    Args:
        load: makes a Servable of a model name, version and path.
        monitor: told of every state.
        policy: about loading.
    """

    def __init__(self, load: Loader, monitor: StateMonitor, policy: LoadPolicy | None = None) -> None:
        self._load = load
        self._policy = policy or LoadPolicy()
        self.monitor = monitor
        self._lock = threading.RLock()
        self._idle = threading.Condition(self._lock)
        self._versions: dict[str, dict[int, _Version]] = {}
        # The highest available version of each model, which most requests ask for.
        self._latest: dict[str, _Version] = {}
        self._pending: dict[str, dict[int, Path]] = {}
        self._slots = threading.Semaphore(max(1, self._policy.threads))
        self._threads: set[threading.Thread] = set()
        self._closed = False

    # Requests

    def use(self, model: str, version: int | None = None) -> "_Use":
        """Hold a version for the length of a request; the highest available one when version is None.

        Raises:
            NotFound: no such version is available.
        """
        with self._lock:
            entry = self._available(model, version)
            entry.users += 1
        return _Use(self, entry)

    def release(self, entry: _Version) -> None:
        """End one use of a version."""
        with self._lock:
            entry.users -= 1
            if not entry.users and entry.state is State.UNLOADING:
                self._idle.notify_all()

    def _available(self, model: str, version: int | None) -> _Version:
        if version is None:
            latest = self._latest.get(model)
            if latest is None:
                raise NotFound(f"Servable not found for request: Latest({model})", model=model)
            return latest
        entry = self._versions.get(model, {}).get(version)
        if entry is None or entry.state is not State.AVAILABLE:
            raise NotFound(
                f"Servable not found for request: Specific({model}, {version})", model=model, version=version
            )
        return entry

    def available(self, model: str) -> list[int]:
        """Return the available versions of a model, ascending."""
        with self._lock:
            versions = self._versions.get(model, {}).values()
            return sorted(entry.number for entry in versions if entry.state is State.AVAILABLE)

    # Transitions

    def aspire(self, model: str, versions: dict[int, Path]) -> None:
        """Set the versions of a model to load, by number; all others are unloaded."""
        with self._lock:
            if not self._closed:
                self._pending[model] = versions
                self._settle(model)

    def models(self) -> list[str]:
        """Name every model with a version in hand."""
        with self._lock:
            return sorted(model for model, versions in self._versions.items() if versions)

    def is_settling(self, model: str) -> bool:
        """Return whether a version to load has not been tried yet."""
        with self._lock:
            versions = self._versions.get(model, {}).values()
            waiting = any(entry.aspired and not entry.tried for entry in versions)
            return waiting or model in self._pending

    def close(self, timeout: float | None = None) -> None:
        """Unload everything, each version after its last request, and wait until that is done."""
        with self._lock:
            for model in list(self._versions):
                self._pending[model] = {}
                self._settle(model)
            self._closed = True
            threads = list(self._threads)
        for thread in threads:
            thread.join(timeout)

    def _settle(self, model: str) -> None:
        # Taking what is requested may wait for a version to be forgotten first, hence the second look.
        for _ in range(2):
            self._take_pending(model)
            while self._act(model):
                pass
            self._forget(model)

    def _take_pending(self, model: str) -> None:
        paths = self._pending.get(model)
        if paths is None:
            return
        present = self._versions.setdefault(model, {})
        for number, entry in present.items():
            if number not in paths and entry.aspired:
                entry.aspired = False
                entry.wake.set()
            elif number in paths and not entry.aspired and entry.state is State.AVAILABLE:
                # It only stayed until a newer one came: unloading it now would leave nothing to answer.
                entry.aspired = True
        # A version that is on its way out and requested again waits until it is gone.
        if any(number in present and not present[number].aspired for number in paths):
            return
        del self._pending[model]
        for number, path in paths.items():
            self._want(present, model, number, path)

    def _want(self, present: dict[int, _Version], model: str, number: int, path: Path) -> None:
        entry = present.get(number)
        troubled = entry is not None and entry.tried and entry.state in (State.LOADING, State.END)
        if entry is not None and not (troubled and entry.content != fingerprint(path)):
            return
        if entry is not None and entry.state is State.LOADING:
            entry.wake.set()
            return
        present[number] = _Version(model, number, path)
        self._publish(present[number], State.START)

    def _act(self, model: str) -> bool:
        present = self._versions.get(model, {}).values()
        leaving = next_unload(present, awaited=bool(self._pending.get(model)))
        if leaving is not None:
            self._publish(leaving, State.UNLOADING)
            self._start(self._unload, leaving)
            return True
        coming = next_load(present)
        if coming is not None:
            self._publish(coming, State.LOADING)
            self._start(self._bring_up, coming)
            return True
        return False

    def _forget(self, model: str) -> None:
        present = self._versions.get(model, {})
        for number, entry in list(present.items()):
            if not entry.aspired and entry.state in (State.START, State.END):
                del present[number]

    def _publish(self, entry: _Version, state: State, error: Exception | None = None) -> None:
        entry.state = state
        versions = self._versions.get(entry.model, {}).values()
        ready = {version.number: version for version in versions if version.state is State.AVAILABLE}
        if ready:
            self._latest[entry.model] = ready[max(ready)]
        else:
            self._latest.pop(entry.model, None)
        health = () if error is None else (code_of(error), words_of(error))
        self.monitor.publish(entry.model, entry.number, VersionState(state, *health))

    def _start(self, work: Callable[[_Version], None], entry: _Version) -> None:
        name = f"{work.__name__.strip('_')}-{entry.model}-{entry.number}"
        thread = threading.Thread(target=self._work, args=(work, entry), name=name, daemon=True)
        self._threads.add(thread)
        thread.start()

    def _work(self, work: Callable[[_Version], None], entry: _Version) -> None:
        try:
            work(entry)
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())
                self._settle(entry.model)

    # Loading and unloading, each in a thread of its own

    def _bring_up(self, entry: _Version) -> None:
        tries = self._policy.retries + 1
        for attempt in range(1, tries + 1):
            error = self._attempt(entry)
            if error is None:
                return
            with self._lock:
                last = attempt == tries or not entry.aspired
                entry.failed = last
                self._publish(entry, State.END if last else State.LOADING, error)
                entry.tried = True
            _log.error("cannot load model %s version %d: %s", entry.model, entry.number, words_of(error))
            if last:
                return
            entry.wake.wait(max(0.0, self._policy.retry_interval))
            entry.wake.clear()

    def _attempt(self, entry: _Version) -> Exception | None:
        with self._slots:
            if not entry.aspired:
                return Cancelled("the load was cancelled: the version is no longer requested")
            entry.content = fingerprint(entry.path)
            entry.lease = leases.lease(entry.path.parent, entry.number)
            try:
                servable = self._load(entry.model, entry.number, entry.path)
            except Exception as error:  # every kind TensorFlow's loaders raise becomes the version's status
                leases.end(entry.lease)
                return error
        with self._lock:
            entry.servable = servable
            self._publish(entry, State.AVAILABLE)
            entry.tried = True
        _log.info("model %s version %d is available", entry.model, entry.number)
        return None

    def _unload(self, entry: _Version) -> None:
        with self._idle:
            while entry.users:
                self._idle.wait()
            servable, entry.servable = entry.servable, None
        if servable is not None:
            servable.close()
        leases.end(entry.lease)
        with self._lock:
            self._publish(entry, State.END)
        _log.info("model %s version %d is unloaded", entry.model, entry.number)


def next_unload(versions: Iterable[_Version], *, awaited: bool = False) -> _Version | None:
    """Choose the version to unload now, or None: the availability-preserving policy.

    Args:
        versions: of one model.
        awaited: whether a version is requested that cannot be loaded yet, because it is still being unloaded.
    """
    versions = list(versions)
    aspired = [entry for entry in versions if entry.aspired]
    serving = any(entry.state is State.AVAILABLE for entry in aspired)
    leaving = [entry for entry in versions if not entry.aspired and entry.state is State.AVAILABLE]
    none_wanted = not aspired and not awaited
    if leaving and (none_wanted or serving or len(leaving) > 1):
        return min(leaving, key=lambda entry: entry.number)
    return None


def next_load(versions: Iterable[_Version]) -> _Version | None:
    """Choose the version to load now, or None: the highest new one that is requested."""
    fresh = [entry for entry in versions if entry.aspired and entry.state is State.START]
    return max(fresh, key=lambda entry: entry.number, default=None)


def fingerprint(path: Path) -> object:
    """Return a value that changes when a directory's files do: names, sizes and times of change."""
    entries = []
    for folder, _, files in os.walk(path):
        for name in files:
            try:
                status = Path(folder, name).stat()
            except OSError:
                continue
            entries.append((folder, name, status.st_size, status.st_mtime_ns, status.st_ino))
    return tuple(sorted(entries))
