"""Make the SQLite database of an MLflow store."""

import os
import tempfile
from pathlib import Path


def make_database(path: Path) -> None:
    """Make a missing database whole: aside, then put into place.

    MLflow's own making takes seconds, and a process that is killed meanwhile leaves a database behind
    that no later MLflow can open.
    """
    from mlflow import MlflowClient

    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        return
    with tempfile.TemporaryDirectory(prefix=".making-", dir=path.parent) as folder:
        database = Path(folder) / path.name
        MlflowClient(
            tracking_uri=f"sqlite:///{database}", registry_uri=f"sqlite:///{database}"
        ).search_experiments()
        try:
            os.link(database, path)
        except FileExistsError:
            pass  # Another process was quicker: its database stays.
        except OSError:  # A file system without hard links.
            database.replace(path)
