"""Track trainings in MLflow without ever waiting for it.

A training writes its events to an outbox on disk first (flows/tracking/spool/outbox.py); one background
thread sends them on (flows/tracking/delivery.py). A tracking server that is away, slow or failing costs the
training nothing and loses nothing: the next Tracking on the same outbox, in whichever process, sends what
is left.
"""

import itertools
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

from features.errors import UnavailableError
from flows.console.redaction import mask, slug
from flows.orchestration import addresses
from flows.tracking.delivery import Keeper, Sender, generations
from flows.tracking.spool import rejects
from flows.tracking.spool.outbox import GONE, Journal, Spool, now, number
from flows.tracking.store.mlflow_store import AwayError, Ledger, this_process
from flows.tracking.store.tags import NOTE_TAG, RUN_TAG
from flows.tracking.tracked_run import TrackedRun, as_tags
from flows.workspace import Workspace

#: How long to wait at the end for a server, and for a database, which is never away.
SERVER_SECONDS, DATABASE_SECONDS = 10.0, 120.0


def default_uri(workspace: Workspace) -> str:
    """Return the URI of the SQLite database beside the workspace."""
    return f"sqlite:///{(workspace.mlruns / 'mlflow.db').absolute()}"


def tracking_uri(workspace: Workspace) -> str:
    """Return MLFLOW_TRACKING_URI, or the SQLite database if it is not set.

    Raises:
        ConfigError: MLFLOW_TRACKING_URI is malformed, or names a kind of store that cannot be used.
    """
    uri = os.environ.get(addresses.TRACKING)
    return addresses.tracking_uri(uri) if uri else default_uri(workspace)


def open_tracking(workspace: Workspace, notify: Callable[[str], None] | None = None) -> "Tracking":
    """Open the tracking of a workspace; notices go to the terminal's stderr by default."""
    from flows.console import terminal

    return Tracking(
        tracking_uri(workspace),
        workspace.spool,
        artifacts=workspace.mlruns / "artifacts",
        notify=notify or terminal.warn,
    )


def untracked(workspace: Workspace) -> "Tracking":
    """Open a tracking that keeps everything in the spool and sends nothing to MLflow."""
    return Tracking("", workspace.spool, artifacts=workspace.spool, notify=lambda line: None, sender=Keeper)


def replay(workspace: Workspace, *, rejected: bool = False) -> str:
    """Send what MLflow has not confirmed yet, and say in one line how that went.

    Args:
        workspace: whose events.
        rejected: offer the events again that MLflow has refused.
    """
    from flows.console import terminal

    uri = tracking_uri(workspace)
    if rejected:
        rejects.offer(workspace.spool)
    with open_tracking(workspace, terminal.note) as tracking:
        before = tracking.pending()
        tracking.drain()
        left, reason = tracking.pending(), tracking.trouble or "still sending"
    where = mask(uri)
    if left:
        return f"tracking: {left} of {before} records wait for {where} ({reason})"
    return f"tracking: {before} records sent to {where}" if before else "tracking: nothing to send"


class Tracking:
    """The runs of one spool folder and the thread that sends them.

    Args:
        uri: MLflow tracking URI: a database, or a server.
        spool: folder of the spool.
        artifacts: folder for the artifacts of new experiments of a database.
        notify: called with a line of text, from the background thread, when MLflow is away, is
            back, or refuses something.
        sender: what sends.
    """

    def __init__(
        self,
        uri: str,
        spool: Path,
        *,
        artifacts: Path,
        notify: Callable[[str], None],
        sender: type[Sender] = Sender,
    ) -> None:
        self.uri, self.spool = uri, spool
        self._artifacts = artifacts
        self._sender = sender(Ledger(uri, artifacts), spool, notify)
        self._open: dict[str, TrackedRun] = {}
        self._count = itertools.count()

    def __enter__(self) -> Self:
        """Return itself; leaving sends what is left."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close; see :meth:`close`."""
        self.close()

    def start(
        self,
        experiment: str,
        *,
        run_name: str,
        key: str,
        params: Mapping[str, object] | None = None,
        tags: Mapping[str, object] | None = None,
    ) -> "TrackedRun":
        """Begin a run, or go on with the one of this key that was cut off, failed or was killed.

        Args:
            experiment: MLflow experiment, such as the model's name; made where missing.
            run_name: what the run is called in MLflow.
            key: stable name of this training on this machine; the next start with it continues in
                the same MLflow run unless that run has finished.
            params: the resolved settings.
            tags: anything else worth finding the run by.

        Raises:
            TemporaryError: a living process writes the run of this key.
            StorageError: the spool cannot be written.
        """
        if key in self._open:
            return self._open[key]
        directory, state = self._directory(key)
        journal = Journal(directory)
        self._sender.own(directory)
        lookup = partial(self._sender.known, directory)
        run = TrackedRun(key, journal, self._sender.wake, lookup, partial(self._forget, key))
        run_tags = as_tags(tags or {}) | dict(this_process())
        if state:
            run.write("resume", tags=run_tags | {NOTE_TAG: "resumed"})
        else:
            label = {RUN_TAG: f"{directory.name}-{now()}-{os.getpid()}"}
            run.write("start", tags=run_tags | label, experiment=experiment, run_name=mask(run_name))
        run.params(params or {})
        self._open[key] = run
        return run

    def _directory(self, key: str) -> tuple[Path, str]:
        """Find the folder of the key's newest run, and its state; a finished run gets a successor."""
        name = slug(key, 120).replace("/", "_")
        runs = generations(self.spool, name)
        if not runs:
            return self.spool / f"{name}~1", ""
        count, newest = runs[-1]
        state, _ = Spool(newest).last_state()
        return (self.spool / f"{name}~{count + 1}", "") if state == "FINISHED" else (newest, state)

    def _forget(self, key: str) -> None:
        self._open.pop(key, None)

    def promote(self, model: str, release: int | None, alias: str = "champion") -> None:
        """Let an alias of a registered model point to the version of a release, or remove it.

        Takes effect in the order of the calls, also where MLflow was away for some of them.

        Args:
            model: name of the registered model.
            release: number of the release, as given to :meth:`TrackedRun.register`; None for none.
            alias: the alias to move.
        """
        self._of_model(model, "alias", {"alias": alias, "release": release})

    def withdraw(self, model: str, release: int) -> None:
        """Delete the version of a release from the registry, and the registered model with its last one.

        Args:
            model: name of the registered model.
            release: number of the release, as given to :meth:`TrackedRun.register`.
        """
        self._of_model(model, "withdraw", {"release": release})

    def _of_model(self, model: str, kind: str, body: dict[str, Any]) -> None:
        """Write an event that belongs to a registered model and to no run."""
        folder = slug(f"{kind}-{model}", 120).replace("/", "_")
        # The counter keeps several events of one millisecond apart, in their order.
        journal = Journal(self.spool / f"{folder}~{now()}-{os.getpid()}-{next(self._count)}")
        journal.append(kind, {"name": slug(model), **body})
        journal.append("finish", {"status": "FINISHED"})
        journal.close()
        self._sender.wake()

    def amend(
        self, run_id: str, metrics: Mapping[str, float], files: Sequence[Path] = (), folder: str = ""
    ) -> None:
        """Add metrics and files to a run that has ended; it stays ended.

        Args:
            run_id: MLflow's id of the run.
            metrics: by name; their step is the time in seconds since 1970.
            files: kept among the run's artifacts.
            folder: where among the artifacts.
        """
        # Written aside: a sender that finds the folder finds all of it.
        journal = Journal(self.spool / f"{GONE}{uuid.uuid4().hex}")
        values = {slug(name): number(value) for name, value in metrics.items()}
        journal.append("metrics", {"metrics": values, "step": now() // 1000})
        for file in files:
            journal.append("artifact", {"file": journal.stage(file), "folder": folder})
        journal.save_cursor({"run_id": run_id})
        journal.close()
        journal.directory.rename(self.spool / f"{run_id}{rejects.AGAIN}{now()}-{next(self._count)}")
        self._sender.wake()

    def champion(self, model: str, alias: str = "champion") -> dict[str, Any] | None:
        """Look up the registered version an alias points to; asks MLflow and waits for it.

        Returns:
            name, version, run_id, release and tags; None if there is none.

        Raises:
            UnavailableError: MLflow cannot be asked.
        """
        try:
            return Ledger(self.uri, self._artifacts).by_alias(slug(model), alias)
        except AwayError as error:
            raise UnavailableError("cannot read the champion from MLflow", got=str(error)) from error

    def page(self, run: TrackedRun) -> str:
        """Return the address of a run in the UI of MLflow's server; empty where either is missing."""
        ids = run.ids
        if not addresses.is_server(self.uri) or not ids:
            return ""
        return f"{mask(self.uri).rstrip('/')}/#/experiments/{ids[0]}/runs/{ids[1]}"

    @property
    def trouble(self) -> str:
        """Why the last attempt to send ended early; empty if it did not."""
        return self._sender.trouble

    def pending(self) -> int:
        """Count the runs with something to send."""
        return self._sender.pending()

    def drain(self, timeout: float | None = None) -> bool:
        """Wait until everything is sent, MLflow turns out to be away, or the time is over.

        Args:
            timeout: seconds; None chooses 10 for a server and 120 for a database.

        Returns:
            True if everything is sent.
        """
        patient = SERVER_SECONDS if addresses.is_server(self.uri) else DATABASE_SECONDS
        return self._sender.drain(patient if timeout is None else timeout)

    def close(self, timeout: float | None = None) -> bool:
        """Drain and end the thread; a run that is still open is marked KILLED.

        Returns:
            True if everything was sent; the rest is sent next time.
        """
        for run in list(self._open.values()):
            run.finish("KILLED", note="its process closed the tracking without finishing the run")
        sent = self.drain(timeout)
        self._sender.stop()
        return sent
