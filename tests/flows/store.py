"""What an MLflow database holds of a run, read with SQL alone."""

import sqlite3
from pathlib import Path
from typing import Any


def of_run(database: Path, run_id: str) -> dict[str, Any]:
    """Gather a run's status, params, tags, metrics by step, and dataset inputs."""
    with sqlite3.connect(database) as store:

        def rows(query: str) -> list[tuple]:
            return store.execute(query, (run_id,)).fetchall()

        ((status, experiment),) = rows(
            "select r.status, e.name from runs r join experiments e using (experiment_id) where run_uuid = ?"
        )
        metrics: dict[str, list[tuple[int, float]]] = {}
        for key, step, value in rows("select key, step, value from metrics where run_uuid = ? order by step"):
            metrics.setdefault(key, []).append((step, value))
        return {
            "status": status,
            "experiment": experiment,
            "params": dict(rows("select key, value from params where run_uuid = ?")),
            "tags": dict(rows("select key, value from tags where run_uuid = ?")),
            "metrics": metrics,
            "inputs": rows(
                "select d.name, d.digest from inputs i join datasets d on d.dataset_uuid = i.source_id "
                "where i.destination_id = ?"
            ),
        }
