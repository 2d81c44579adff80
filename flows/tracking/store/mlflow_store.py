"""Apply spooled events to MLflow: the only file that imports it.

Every event may be applied any number of times with the outcome of once, because a process can be
killed between applying an event and noting that it did: runs and model versions are looked up by
a tag before they are made, metrics carry their own time and step (MLflow keeps one of equal ones),
everything else overwrites itself. What MLflow called things is kept in the run's cursor.
"""

import json
import os
import socket
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from flows.console.redaction import mask, slug
from flows.orchestration import addresses
from flows.tracking.spool.outbox import Event, Spool
from flows.tracking.spool.processes import host, is_alive
from flows.tracking.store import aliases, descriptions, mlflow_model
from flows.tracking.store.databases import make_database
from flows.tracking.store.tags import (
    HOST_TAG,
    KIND_TAG,
    NOTE_TAG,
    PID_TAG,
    RELEASE_TAG,
    RUN_TAG,
    SINCE_TAG,
    TRAINING_KIND,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

PROBE_SECONDS = 2.0

#: MLflow's own limits of one log_batch request.
MOST_METRICS, MOST_OTHERS = 1000, 100

#: Set unless the user did: one attempt per call, since the spool repeats; no usage reports.
ENVIRONMENT = {
    # The address of a run goes to stdout otherwise, where --json writes.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
}

#: MLflow's error codes for what repeating cannot mend.
_FINAL = {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "INVALID_STATE"}


class AwayError(Exception):
    """MLflow cannot take the event now; the same event may pass later."""


class RefusedError(Exception):
    """MLflow will never take the event."""


class Ledger:
    """One MLflow tracking store and registry.

    Args:
        uri: MLflow tracking URI.
        artifacts: folder below which new experiments keep their artifacts where ``uri`` is a
            database; a server has its own place.
    """

    def __init__(self, uri: str, artifacts: Path) -> None:
        self.uri, self.artifacts = uri, artifacts
        self._client: MlflowClient | None = None
        self._runs: set[str] = set()  #: known to be in this store

    @property
    def is_server(self) -> bool:
        """Whether the store is a server, which can be away."""
        return addresses.is_server(self.uri)

    @property
    def name(self) -> str:
        """The URI without secrets."""
        return mask(self.uri)

    def probe(self) -> None:
        """Find out within two seconds whether a server can be reached.

        Raises:
            AwayError: it cannot. A database, or a server behind a proxy, is not probed.
        """
        parts = urllib.parse.urlsplit(self.uri)
        if not self.is_server or not parts.hostname:
            return
        if parts.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(parts.hostname):
            return
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            socket.create_connection((parts.hostname, port), timeout=PROBE_SECONDS).close()
        except OSError as error:
            raise AwayError(
                f"{parts.hostname}:{port} does not respond ({error.strerror or error})"
            ) from error

    @property
    def client(self) -> "MlflowClient":
        """The client; the first use imports MLflow and makes a missing database (about 5 s).

        Raises:
            AwayError: the store does not answer as one of MLflow's does.
        """
        if self._client is None:
            for name, value in ENVIRONMENT.items():
                os.environ.setdefault(name, value)
            from mlflow import MlflowClient

            try:
                if database := addresses.sqlite_file(self.uri):
                    make_database(database)
                client = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
                client.search_experiments(max_results=1)
                client.search_registered_models(max_results=1)
            except Exception as error:
                # Whatever is wrong here is wrong with the store, never with an event.
                raise AwayError(_short(error)) from error
            self._client = client
        return self._client

    def apply(self, events: Sequence[Event], cursor: dict[str, Any], directory: Path) -> None:
        """Apply events in order; several are allowed where all are metrics, params or tags.

        Args:
            events: one event, or several that go into one request.
            cursor: what is known of the run; changed here.
            directory: the run's spool folder.

        Raises:
            AwayError: try again later.
            RefusedError: set the events aside.
        """
        kind = events[0].kind
        if kind not in HANDLERS and kind not in BATCHED:
            raise RefusedError("the line cannot be read")
        if "file" in events[0].body and not (directory / events[0].body["file"]).exists():
            raise RefusedError("the file to upload is missing")
        try:
            if kind not in ("start", *OF_MODELS) and not self._has_run(cursor, directory):
                if kind == "finish" and "of" not in cursor:  # of an alias, which has no run
                    return
                raise RefusedError("its run is not in this store")
            if kind in BATCHED:
                self._batch(events, cursor["run_id"])
            else:
                HANDLERS[kind](self, events[0], cursor, directory)
        except (AwayError, RefusedError):
            raise
        except Exception as error:
            raise _classified(error) from error

    def knows(self, run_id: str) -> bool:
        """Return whether a run is in this store, not begun in another or deleted for good.

        Raises:
            AwayError: the store cannot be asked.
        """
        if run_id not in self._runs:
            try:
                answer = self.client.get_run(run_id).info.run_id
            except Exception as error:
                if getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST":
                    return False
                raise AwayError(_short(error)) from error
            self._runs.add(_same(answer, run_id))
        return True

    def reap(self, experiment_id: str) -> list[str]:
        """Mark runs of this host KILLED whose process is gone; returns their ids.

        For runs whose spool is lost: if there is one, the spool tells the same with the right
        time.
        """
        mine = f"attributes.status = 'RUNNING' and tags.`{HOST_TAG}` = '{host()}'"
        try:
            dead = [
                run.info.run_id
                for run in self.client.search_runs([experiment_id], mine)
                if not is_alive(run.data.tags.get(PID_TAG, ""), run.data.tags.get(SINCE_TAG, ""))
            ]
            for run_id in dead:
                self.client.set_tag(run_id, NOTE_TAG, "killed: its process ended without closing the run")
                self.client.set_terminated(run_id, "KILLED")
        except Exception as error:
            raise _classified(error) from error
        return dead

    def _experiment(self, name: str) -> str:
        experiment = self.client.get_experiment_by_name(name)
        if experiment is None:
            place = None
            if not self.is_server:
                place = (self.artifacts / slug(name, 100)).resolve().as_uri()
            try:
                kind = {KIND_TAG: TRAINING_KIND}
                return self.client.create_experiment(name, artifact_location=place, tags=kind)
            except Exception as error:
                if getattr(error, "error_code", "") != "RESOURCE_ALREADY_EXISTS":
                    raise
                raise AwayError(f"experiment {name} was just created by another process") from error
        _same(experiment.name, name)
        if experiment.lifecycle_stage == "deleted":
            self.client.restore_experiment(experiment.experiment_id)
        if KIND_TAG not in experiment.tags:
            self.client.set_experiment_tag(experiment.experiment_id, KIND_TAG, TRAINING_KIND)
        return experiment.experiment_id

    def _start(self, event: Event, cursor: dict[str, Any], directory: Path) -> None:
        experiment = self._experiment(event.body["experiment"])
        label = event.body["tags"][RUN_TAG]
        runs = self.client.search_runs([experiment], f"tags.`{RUN_TAG}` = '{label}'", max_results=1)
        run = (
            runs[0]
            if runs
            else self.client.create_run(
                experiment, start_time=event.at, tags=event.body["tags"], run_name=event.body["run_name"]
            )
        )
        if not self.knows(run.info.run_id):
            raise AwayError("the run it has just created is missing")
        cursor |= {"experiment_id": experiment, "run_id": run.info.run_id}

    def _has_run(self, cursor: dict[str, Any], directory: Path) -> bool:
        """Return whether the run of a spool folder exists; create it if its start is in the folder."""
        if "run_id" in cursor:
            return True
        start = next((event for event in Spool(directory).read() if event.kind == "start"), None)
        if start is not None:
            self._start(start, cursor, directory)
        return start is not None or ("of" in cursor and self._find(cursor["of"], cursor))

    def _find(self, spool: str, cursor: dict[str, Any]) -> bool:
        """Look up the run that a spool folder of this name began."""
        experiments = [experiment.experiment_id for experiment in self.client.search_experiments()]
        runs = self.client.search_runs(experiments, f"tags.`{RUN_TAG}` LIKE '{spool}-%'")
        run = next((run for run in runs if run.data.tags[RUN_TAG].startswith(f"{spool}-")), None)
        if run is not None:
            cursor |= {"experiment_id": run.info.experiment_id, "run_id": run.info.run_id}
        return run is not None

    def _resume(self, event: Event, cursor: dict[str, Any], directory: Path) -> None:
        self._batch([event], cursor["run_id"])
        self.client.update_run(cursor["run_id"], status="RUNNING")

    def _finish(self, event: Event, cursor: dict[str, Any], directory: Path) -> None:
        if event.body.get("note"):
            self.client.set_tag(cursor["run_id"], NOTE_TAG, event.body["note"])
        self.client.set_terminated(cursor["run_id"], event.body["status"], end_time=event.at)

    def _batch(self, events: Sequence[Event], run_id: str) -> None:
        from mlflow.entities import Metric, Param, RunTag

        metrics = [
            Metric(name, float(value), event.at, event.body["step"])
            for event in events
            for name, value in event.body.get("metrics", {}).items()
        ]
        params = [Param(k, v) for event in events for k, v in event.body.get("params", {}).items()]
        tags = [RunTag(k, v) for event in events for k, v in event.body.get("tags", {}).items()]
        for at in range(0, len(metrics), MOST_METRICS):
            self.client.log_batch(run_id, metrics=metrics[at : at + MOST_METRICS], synchronous=True)
        for at in range(0, len(tags), MOST_OTHERS):
            self.client.log_batch(run_id, tags=tags[at : at + MOST_OTHERS], synchronous=True)
        if params:
            self._params(run_id, params)

    def _params(self, run_id: str, params: Sequence[Any]) -> None:
        """Log params; one whose value changed since the run began becomes a tag ``changed.<name>``."""
        from mlflow.entities import RunTag

        logged = self.client.get_run(run_id).data.params
        changed = [param for param in params if logged.get(param.key, param.value) != param.value]
        fresh = [param for param in params if param.key not in logged]
        tags = [RunTag(f"changed.{param.key}", param.value) for param in changed]
        for at in range(0, max(len(fresh), len(tags)), MOST_OTHERS):
            upto = at + MOST_OTHERS
            self.client.log_batch(run_id, params=fresh[at:upto], synchronous=True)
            self.client.log_batch(run_id, tags=tags[at:upto], synchronous=True)

    def _artifact(self, event: Event, cursor: dict[str, Any], directory: Path) -> None:
        source, folder = directory / event.body["file"], event.body["folder"] or None
        if source.is_dir():
            self.client.log_artifacts(
                cursor["run_id"], str(source), "/".join(filter(None, (folder, source.name)))
            )
        else:
            self.client.log_artifact(cursor["run_id"], str(source), folder)
        if event.body.get("table"):
            path = "/".join(filter(None, (folder, source.name)))
            cursor["tables"] = [*(one for one in cursor.get("tables", []) if one != path), path]
            entries = [{"path": one, "type": "table"} for one in cursor["tables"]]
            self.client.set_tag(cursor["run_id"], "mlflow.loggedArtifacts", json.dumps(entries))

    def _dataset(self, event: Event, cursor: dict[str, Any], directory: Path) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        body = event.body
        dataset = Dataset(
            name=body["name"],
            digest=body["digest"],
            source_type=body["source_type"],
            source=body["source"],
            profile=body["profile"],
        )
        tags = [InputTag("mlflow.data.context", body["context"])]
        self.client.log_inputs(cursor["run_id"], [DatasetInput(dataset, tags)])

    def _register(self, event: Event, cursor: dict[str, Any], directory: Path) -> None:
        name = event.body["name"]
        registered = mlflow_model.register(self.client, event.body, cursor, directory, remote=self.is_server)
        cursor["versions"] = cursor.get("versions", {}) | {name: registered.version}
        cursor["models"] = cursor.get("models", {}) | {name: registered.model_id}

    def _describe(self, event: Event, cursor: dict[str, Any], directory: Path) -> None:
        descriptions.describe(self.client, event.body, cursor)

    def _alias(self, event: Event, cursor: dict[str, Any], directory: Path) -> None:
        """Move an alias to a release, unless it has been moved by a later event already.

        One that was moved in MLflow meanwhile stays there: who follows aliases decides, and records it.
        """
        name, alias, release = event.body["name"], event.body["alias"], event.body["release"]
        model = self.client.get_registered_model(name)
        _same(model.name, name)
        present = aliases.read(self.client, model, alias, {})
        overtaken = aliases.moved_at(model.tags, alias) > event.at
        if overtaken or (present.is_foreign and present.release != release):
            return
        if not aliases.point(self.client, model, alias, release, event.at):
            raise RefusedError(f"model {name} has no version for release {release}")

    def _withdraw(self, event: Event, cursor: dict[str, Any], directory: Path) -> None:
        """Delete the versions of a release, and the registered model with its last version."""
        name, release = event.body["name"], str(event.body["release"])
        for version in self._versions(name, release):
            self.client.delete_model_version(name, version.version)
        if self.client.search_registered_models(f"name = '{name}'") and not self._versions(name):
            self.client.delete_registered_model(name)

    def _versions(self, name: str, release: str | None = None) -> list[Any]:
        """Return the registered versions of a model, those of one release where it is given."""
        versions = self.client.search_model_versions(f"name = '{name}'")
        return [each for each in versions if release in (None, each.tags.get(RELEASE_TAG))]

    def by_alias(self, name: str, alias: str) -> dict[str, Any] | None:
        """Describe the model version an alias points to, None if there is none.

        Raises:
            AwayError: the store cannot be reached.
        """
        self.probe()
        try:
            version = self.client.get_model_version_by_alias(name, alias)
        except Exception as error:
            failure = _classified(error)
            if isinstance(failure, RefusedError):
                return None
            raise failure from error
        release = version.tags.get(RELEASE_TAG)
        return {
            "name": name,
            "version": int(version.version),
            "run_id": version.run_id,
            "release": int(release) if release else None,
            "tags": dict(version.tags),
        }


#: Events of a registered model, which belong to no run.
OF_MODELS = frozenset({"alias", "withdraw"})

#: Events that go into log_batch, several at a time.
BATCHED = frozenset({"metrics", "params", "tags"})

HANDLERS = {
    "start": Ledger._start,
    "resume": Ledger._resume,
    "finish": Ledger._finish,
    "artifact": Ledger._artifact,
    "dataset": Ledger._dataset,
    "register": Ledger._register,
    "describe": Ledger._describe,
    "alias": Ledger._alias,
    "withdraw": Ledger._withdraw,
}


def this_process() -> Mapping[str, str]:
    """Return the tags by which :func:`is_alive` identifies this process."""
    return {
        HOST_TAG: host(),
        PID_TAG: str(os.getpid()),
        SINCE_TAG: f"{psutil.Process().create_time():.2f}",
    }


def _same(answer: str, expected: str) -> str:
    """Return the name a store answers with if it is the one requested; other servers answer anything."""
    if answer != expected:
        raise AwayError("the server there is not MLflow")
    return answer


def _short(error: Exception) -> str:
    return mask(" ".join(str(error).split())[:300]) or type(error).__name__


def _classified(error: Exception) -> AwayError | RefusedError:
    """Decide whether to repeat, by MLflow's error code; what is unknown is repeated."""
    final = getattr(error, "error_code", "") in _FINAL
    return RefusedError(_short(error)) if final else AwayError(_short(error))
