"""Registered models of every task behind ``mlflow models serve``."""

import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from models.tasks import TASKS
from tests import registered
from tests.benchmarks.table import Table, machine
from tests.trained import train


def served() -> Table:
    """Train every task on its golden examples, serve it with MLflow, and compare what it answers."""
    rows = []
    for task in sorted(TASKS):
        with tempfile.TemporaryDirectory() as name:
            example = train(task, Path(name))
            request = (registered.folder(example) / "serving_input_example.json").read_text()
            begin = time.monotonic()
            with registered.served(example) as url:
                ready = time.monotonic() - begin
                alike = _alike(registered.post(url, request), registered.expected(example))
        rows.append((task, f"{ready:.0f} s", alike))
        print(*rows[-1], sep=" | ", file=sys.stderr, flush=True)
    columns = ("task", "ready after", "answers as the training graph")
    prose = (
        f"`mlflow models serve -m models:/golden@champion --env-manager local`, golden examples; {machine()}."
    )
    return Table("registered-models", "Registered models served by MLflow", prose, columns, rows)


def _alike(answer: Mapping[str, list[Any]], wanted: Mapping[str, np.ndarray]) -> str:
    """Return whether an answer is the training graph's, or where it differs."""
    try:
        registered.compare(answer, wanted)
    except AssertionError as error:
        return " ".join(str(error).split())[:200]
    return "yes"
