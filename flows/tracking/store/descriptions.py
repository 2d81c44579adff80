"""Name and describe a run, and what was registered from it, once that is known."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flows.tracking.store.tags import DESCRIPTION_TAG, NAME_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: Begins the address of an artifact of the run in a description: ``[report](artifact:report/report.html)``.
ARTIFACT = "artifact:"


def describe(client: "MlflowClient", body: Mapping[str, Any], cursor: Mapping[str, Any]) -> None:
    """Set the name and the description of a run; registered models and versions get the description, too.

    Args:
        client: of the store.
        body: of the event: name, empty to leave it; description, Markdown.
        cursor: of the run, with experiment_id, run_id, and versions and models by name.
    """
    text = resolved(body["description"], cursor["experiment_id"], cursor["run_id"])
    if body["name"]:
        client.set_tag(cursor["run_id"], NAME_TAG, body["name"])
    client.set_tag(cursor["run_id"], DESCRIPTION_TAG, text)
    for name, version in cursor.get("versions", {}).items():
        client.update_model_version(name, str(version), text)
    for model_id in cursor.get("models", {}).values():
        client.set_logged_model_tags(model_id, {DESCRIPTION_TAG: text})


def resolved(description: str, experiment_id: str, run_id: str) -> str:
    """Turn addresses of artifacts into links of MLflow's UI, which lead there wherever it is served."""
    page = f"#/experiments/{experiment_id}/runs/{run_id}/artifacts/"
    return description.replace(f"]({ARTIFACT}", f"]({page}")
