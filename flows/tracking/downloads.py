"""Fetch the files of a registered version."""

from pathlib import Path

from features.errors import NoInputError, UnavailableError
from flows.tracking.store.mlflow_store import AwayError, Ledger


def fetch(ledger: Ledger, name: str, alias: str | None, version: str | None, folder: Path) -> Path:
    """Download the files of a registered version into a folder; return where they lie.

    Args:
        ledger: of the store.
        name: of the registered model.
        alias: that points to the version, or None.
        version: its number, where there is no alias.
        folder: takes the files.

    Raises:
        NoInputError: there is no such version, or its files are gone.
        UnavailableError: MLflow cannot be asked.
    """
    try:
        ledger.probe()
        client = ledger.client
    except AwayError as error:
        raise UnavailableError("cannot get the model from MLflow", got=str(error)) from error
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        if alias:
            version = str(client.get_model_version_by_alias(name, alias).version)
        uri = client.get_model_version_download_uri(name, str(version))
        folder.mkdir(parents=True, exist_ok=True)
        # A server names the files by a model's id, which MLflow looks up in the store set here.
        mlflow.set_tracking_uri(ledger.uri)
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(folder)))
    except (MlflowException, OSError) as error:
        raise NoInputError(
            f"cannot fetch models:/{name}{f'@{alias}' if alias else f'/{version}'}",
            got=" ".join(str(error).split())[:200],
            todo="look at the registered models with servable ui",
        ) from error
