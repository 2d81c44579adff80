"""The background thread that sends spooled events to MLflow, run by run, in order.

Each run is sent in two lanes: the log (start, metrics, params, tags, end) and the files (artifacts,
model versions, aliases), so that an upload that fails or takes minutes holds up no metric. When
MLflow is away the thread tries again after 1, 2, 4 ... at most 60 seconds, give or take a half, so
that many processes do not come back at once.
"""

import glob
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from features.errors import TemporaryError
from flows.tracking.spool.outbox import IDS, REJECTED, Event, Journal, Spool, now
from flows.tracking.spool.rejects import AGAIN
from flows.tracking.store.mlflow_store import BATCHED, OF_MODELS, AwayError, Ledger, RefusedError

LOG = frozenset({"start", "resume", "metrics", "params", "tags", "dataset", "finish", "damaged"})
FILES = frozenset({"artifact", "register", "describe", *OF_MODELS})

FIRST_DELAY, LONGEST_DELAY = 1.0, 60.0
BUSY_DELAY = 0.3  #: another process is sending the run
MOST_TOGETHER = 200  #: events per request
MOST_BYTES = 400_000  #: of spool per request; MLflow takes a million

#: Runs that ended badly can be resumed for so long; then what is left of their spool is deleted.
KEPT_SECONDS = 30 * 24 * 3600


class Sender:
    """Send what is in a spool folder; the thread starts when there is something to send.

    Args:
        ledger: where to send.
        folder: the spool folder.
        notify: called with one line when MLflow is away, is back or refuses an event.
    """

    def __init__(self, ledger: Ledger, folder: Path, notify: Callable[[str], None]) -> None:
        self._ledger, self._folder, self._notify = ledger, folder, notify
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._dirty = self._urgent = self._stopping = False
        self._started = self._finished = self._failures = 0
        self._outcome = "idle"
        self.trouble = ""  #: why the last pass ended early; empty if it did not
        self._due = 0.0
        self._mine: set[Path] = set()
        self._known: dict[Path, dict[str, Any]] = {}
        self._reaped: set[str] = set()
        self._refusals: set[tuple[Path, str]] = set()
        self._adopted = False

    def own(self, directory: Path) -> None:
        """Treat a run as written by this process."""
        self._mine.add(directory)

    def known(self, directory: Path) -> dict[str, Any]:
        """Return the cursor of a run, also after its folder is gone."""
        return self._known.get(directory) or Spool(directory).cursor()

    def pending(self) -> int:
        """Count the runs that are not wholly sent."""
        return sum(not _is_sent(spool, spool.cursor()) for spool in spools(self._folder))

    def wake(self) -> None:
        """Signal that there is something to send."""
        with self._condition:
            self._dirty = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)
                self._thread.start()
            self._condition.notify_all()

    def drain(self, timeout: float) -> bool:
        """Try at once, and wait until all is sent (True), or MLflow is away or time is up (False)."""
        if self._thread is None and not self.pending():
            return True
        self.wake()
        deadline = time.monotonic() + timeout
        with self._condition:
            self._urgent, goal = True, self._started + 1
            self._condition.notify_all()
            while True:
                while self._finished < goal:
                    if not self._condition.wait(deadline - time.monotonic()):
                        return False
                if self._outcome != "busy":
                    return self._outcome == "idle"
                goal = self._started + 1

    def stop(self) -> None:
        """End the thread after what it is doing; waits a second for it, no more."""
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
        if self._thread:
            self._thread.join(1.0)

    def _work(self) -> None:
        while self._next():
            try:
                outcome = self._pass()
            except AwayError as error:
                outcome = self._away(str(error))
            except Exception as error:
                # Whatever goes wrong here must neither end the training nor the sending.
                outcome = self._away(f"{type(error).__name__}: {error}")
            with self._condition:
                self._outcome = outcome
                self._finished = self._started
                self._condition.notify_all()

    def _next(self) -> bool:
        """Wait for the next pass to be due; returns False when it is time to end."""
        with self._condition:
            while not self._stopping:
                left = self._due - time.monotonic()
                if self._urgent or (left <= 0 and (self._dirty or self._outcome != "idle")):
                    self._dirty = self._urgent = False
                    self._started += 1
                    return True
                self._condition.wait(left if left > 0 else None)
            return False

    def _away(self, reason: str) -> str:
        self._failures, self.trouble = self._failures + 1, reason
        delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** (self._failures - 1))
        self._due = time.monotonic() + delay * random.uniform(0.5, 1.5)  # noqa: S311
        # A database that is locked for a moment is no news.
        if self._failures == (1 if self._ledger.is_server else 3):
            where = f"kept in {self._folder} and sent later"
            self._notify(
                f"tracking: MLflow at {self._ledger.name} is unreachable: {reason}; events are {where}"
            )
        return "away"

    def _pass(self) -> str:
        """Send all there is; returns "idle", or "busy" where another process sends some of it."""
        if not self._adopted:
            self._adopt()
        todo = [spool for spool in spools(self._folder) if not _is_sent(spool, spool.cursor())]
        if todo and (self._failures or not self._reaped):
            self._ledger.probe()
        outcomes, failure = {"idle"}, None
        for spool in todo:
            if spool.directory in self._mine or _is_free(spool):
                try:
                    outcomes.add(self._send(spool, late=failure is not None))
                except _FilesError as error:
                    failure = failure or error
        if failure:
            raise AwayError(str(failure))
        if self._failures >= (1 if self._ledger.is_server else 3):
            self._notify("tracking: MLflow is reachable again, all events are sent")
        self.trouble = ""
        self._failures, self._due = 0, time.monotonic() + (BUSY_DELAY if "busy" in outcomes else 0)
        return "busy" if "busy" in outcomes else "idle"

    def _send(self, spool: Spool, *, late: bool) -> str:
        if not spool.sender.acquire():
            return "busy" if spool.directory.exists() else "idle"
        try:
            cursor = self._known[spool.directory] = self._cursor(spool)
            self._send_log(spool, cursor)
            self._reap(cursor)
            self._send_files(spool, cursor, late=late)
            if _is_sent(spool, cursor) and _is_over(spool) and _is_free(spool):
                spool.remove()
        finally:
            spool.sender.release()
        return "idle"

    def _cursor(self, spool: Spool) -> dict[str, Any]:
        """Return the position of sending; the beginning, for a run that is not in this store."""
        cursor = spool.cursor()
        if "run_id" not in cursor or self._ledger.knows(cursor["run_id"]):
            return cursor
        self._notify(
            f"tracking: run {cursor['run_id']} of {spool.directory.name} is not in MLflow at "
            f"{self._ledger.name}, the current store: it is sent there from its beginning"
        )
        return {key: cursor[key] for key in ("files", "of") if key in cursor}

    def _send_log(self, spool: Spool, cursor: dict[str, Any]) -> None:
        for group in _groups(spool.read(cursor.get("log", 0))):
            events = [event for event in group if event.kind in LOG]
            if events:
                self._apply(events, spool, cursor)
            cursor["log"] = group[-1].end
            spool.save_cursor(cursor)

    def _send_files(self, spool: Spool, cursor: dict[str, Any], *, late: bool) -> None:
        for event in spool.read(cursor.get("files", 0)):
            if event.kind in FILES:
                if late and event.kind in OF_MODELS:
                    raise _FilesError("an earlier run has not been sent yet")
                try:
                    self._apply([event], spool, cursor)
                except AwayError as error:
                    raise _FilesError(str(error)) from error
                self._send_log(spool, cursor)
            cursor["files"] = event.end
            spool.save_cursor(cursor)
            if "file" in event.body:
                spool.unstage(event.body["file"])

    def _apply(self, events: list[Event], spool: Spool, cursor: dict[str, Any]) -> None:
        """Apply events that go together; one that is refused is set aside, the others are applied."""
        try:
            self._ledger.apply(events, cursor, spool.directory)
        except RefusedError as error:
            if len(events) > 1:
                for event in events:
                    self._apply([event], spool, cursor)
                return
            self._reject(events[0], str(error), spool, cursor)

    def _reject(self, event: Event, reason: str, spool: Spool, cursor: dict[str, Any]) -> None:
        """Set an event aside; tell the first of those that one run has for one reason."""
        spool.reject(event, reason, {key: cursor[key] for key in IDS if key in cursor})
        if (spool.directory, reason) not in self._refusals:
            self._refusals.add((spool.directory, reason))
            self._notify(
                f"tracking: MLflow rejected an event ({event.kind}) of {spool.directory.name}: {reason}; "
                f"it is kept in {self._folder / REJECTED}; send it again with: servable sync --rejected"
            )

    def _reap(self, cursor: dict[str, Any]) -> None:
        experiment = cursor.get("experiment_id")
        if experiment and experiment not in self._reaped:
            self._ledger.reap(experiment)
            self._reaped.add(experiment)

    def _adopt(self) -> None:
        """Close the runs that dead processes of this host left open, at the time of their last event."""
        for spool in spools(self._folder):
            if spool.directory in self._mine or spool.owner.holder().get("host") != socket.gethostname():
                continue
            state, at = spool.last_state()
            if state == "RUNNING":
                with suppress(TemporaryError):
                    journal = Journal(spool.directory, patience=0)
                    note = "killed: its process ended without closing the run"
                    journal.append("finish", {"status": "KILLED", "note": note}, at=at)
                    journal.close()
            elif _is_sent(spool, spool.cursor()) and at < now() - KEPT_SECONDS * 1000 and _is_free(spool):
                spool.remove()
        self._adopted = True


class Keeper(Sender):
    """Keep what is in a spool folder: for trainings that are no business of MLflow's."""

    def wake(self) -> None:
        """Do nothing."""

    def drain(self, timeout: float) -> bool:
        """Return that nothing waits to be sent."""
        return True


class _FilesError(Exception):
    """Files of one run cannot be sent now; other runs go on."""


def spools(folder: Path) -> list[Spool]:
    """List the runs in a spool folder, the oldest first."""
    folders = [child for child in folder.iterdir() if _is_run(child)] if folder.is_dir() else []
    return [Spool(child) for child in sorted(folders, key=lambda child: (_born(child), child.name))]


def generations(folder: Path, name: str) -> list[tuple[int, Path]]:
    """List the folders of the runs of one key by their number, the newest last."""
    folders = []
    for child in folder.glob(f"{glob.escape(name)}~*"):
        tail = child.name.rpartition("~")[2]
        if tail.isdecimal() and child.name == f"{name}~{tail}":
            folders.append((int(tail), child))
    return sorted(folders)


def _is_run(child: Path) -> bool:
    return child.is_dir() and not child.name.startswith(".")


def _born(directory: Path) -> int:
    first = next(Spool(directory).read(), None)
    return first.at if first else 0


def _is_sent(spool: Spool, cursor: dict[str, Any]) -> bool:
    size = spool.size()
    return cursor.get("log", 0) >= size and cursor.get("files", 0) >= size


def _is_over(spool: Spool) -> bool:
    """Return whether nothing more will follow: a run that FINISHED, or rejected events sent again."""
    return AGAIN in spool.directory.name or spool.last_state()[0] == "FINISHED"


def _is_free(spool: Spool) -> bool:
    """Return whether no living process writes this run."""
    free = spool.owner.acquire()
    spool.owner.release()
    return free


def _groups(events: Iterator[Event]) -> Iterator[list[Event]]:
    """Gather events that may go into one request; events of the other lane ride along."""
    group: list[Event] = []
    begin = 0
    for event in events:
        together = event.kind in BATCHED or event.kind in FILES
        if group and (not together or len(group) >= MOST_TOGETHER or event.end - begin > MOST_BYTES):
            yield group
            group = []
        begin = begin if group else event.end
        group.append(event)
        if not together:
            yield group
            group = []
    if group:
        yield group
