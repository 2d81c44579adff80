"""Register an exported SavedModel in MLflow: a logged model with the figures of its run, and a version of it.

Both hold the SavedModel as it was published, without unpickling or copying; model_files.py writes what MLflow
needs beside it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from flows.tracking.store import model_files
from flows.tracking.store.tags import EVENT_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient


class Registered(NamedTuple):
    """What MLflow called a model: the number of the version, the id of the logged model."""

    version: int
    model_id: str


def register(
    client: "MlflowClient", body: Mapping[str, Any], cursor: dict[str, Any], directory: Path, *, remote: bool
) -> Registered:
    """Make a model version of a staged SavedModel, or find the one made before.

    Args:
        client: of the store.
        body: of the register event: id, name, file, signature, example, tags, description, model_type,
            params, points, dataset.
        cursor: of the run, with run_id and experiment_id.
        directory: the run's spool folder.
        remote: the store is a server.
    """
    name, event = body["name"], body["id"]
    _ensure_model(client, name, body["tags"].get("task"))
    for version in client.search_model_versions(f"name = '{name}'"):
        if version.tags.get(EVENT_TAG) == event:
            return Registered(int(version.version), version.model_id)
    model_id, location = _logged_model(client, body, cursor, directory)
    model_version = client.create_model_version(
        name,
        # A server takes logged models by id only; a database resolves ids in the global tracking
        # URI, which is not ours to set.
        source=f"models:/{model_id}" if remote else location,
        run_id=cursor["run_id"],
        tags=body["tags"] | {EVENT_TAG: event},
        description=body["description"],
        await_creation_for=0,
        model_id=model_id,
    )
    return Registered(int(model_version.version), model_id)


def _ensure_model(client: "MlflowClient", name: str, task: str | None) -> None:
    kind = f" ({task})" if task else ""
    text = f"Published by Servable{kind}. Each version describes its data and figures."
    try:
        client.create_registered_model(name, description=text)
    except Exception as error:
        if getattr(error, "error_code", "") != "RESOURCE_ALREADY_EXISTS":
            raise


def _logged_model(
    client: "MlflowClient", body: Mapping[str, Any], cursor: Mapping[str, Any], directory: Path
) -> tuple[str, str]:
    """Upload the SavedModel as one of MLflow's logged models; returns its id and location."""
    from mlflow.entities import LoggedModelOutput

    run_id = cursor["run_id"]
    model = _find_or_create(client, body, cursor)
    if str(model.status) != "READY":
        folder = directory / body["file"]
        model_files.write(folder, body, run_id, model.model_id, model.artifact_location)
        client.log_model_artifacts(model.model_id, str(folder))
        client.finalize_logged_model(model.model_id, "READY")
    _log_figures(client, body, run_id, model.model_id)
    outputs = client.get_run(run_id).outputs
    if all(output.model_id != model.model_id for output in (outputs.model_outputs if outputs else ())):
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    return model.model_id, model.artifact_location


def _find_or_create(client: "MlflowClient", body: Mapping[str, Any], cursor: Mapping[str, Any]) -> Any:
    experiment, run_id = cursor["experiment_id"], cursor["run_id"]
    for model in client.search_logged_models([experiment], f"source_run_id = '{run_id}'"):
        if model.tags.get(EVENT_TAG) == body["id"]:
            return model
    return client.create_logged_model(
        experiment,
        body["name"],
        source_run_id=run_id,
        tags=body["tags"] | {EVENT_TAG: body["id"]},
        params=body.get("params"),
        model_type=body.get("model_type") or None,
    )


def _log_figures(client: "MlflowClient", body: Mapping[str, Any], run_id: str, model_id: str) -> None:
    """Log metrics of the run once more, for the model and the dataset they were measured on.

    Of equal points, with name, value, step and time, MLflow keeps one.
    """
    from mlflow.entities import Metric

    dataset = body.get("dataset")
    named = {"dataset_name": dataset[0], "dataset_digest": dataset[1]} if dataset else {}
    metrics = [
        Metric(name, float(value), at, step, model_id=model_id, run_id=run_id, **named)
        for name, value, step, at in body.get("points", ())
    ]
    if metrics:
        client.log_batch(run_id, metrics=metrics, synchronous=True)
