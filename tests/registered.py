"""What MLflow answers with a registered model, beside what the training graph answered."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flows.gate.expectations import Call, read_calls, read_expectations
from flows.orchestration.prefect_server import free_port
from flows.runs.run import Record, expectations
from flows.tracking import tracking
from tests import harness
from tests.trained import Trained

#: The signature that is asked beside the default one, if there is one.
EMBED = "embed"


def store(example: Trained) -> str:
    """Return the address of the MLflow database of a training."""
    return f"sqlite:///{example.workspace.mlruns / 'mlflow.db'}"


def folder(example: Trained) -> Path:
    """Return the folder of the files of the registered champion."""
    import mlflow

    with tracking.open_tracking(example.workspace) as ledger:
        # On a busy machine a training ends before everything is sent.
        assert ledger.drain(600), ledger.trouble
    # MLflow writes the addresses into the environment, where the next training would find them.
    with pytest.MonkeyPatch.context() as environment:
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
            environment.setenv(name, store(example))
        mlflow.set_tracking_uri(store(example))
        return Path(mlflow.artifacts.download_artifacts("models:/golden@champion"))


def check(example: Trained) -> None:
    """Compare the answers to MLflow's own example and to a call of another signature with the training's."""
    with warnings.catch_warnings(action="ignore"):  # of MLflow, about itself
        from mlflow.models import validate_serving_input
        from mlflow.pyfunc import load_model

        files = folder(example)
        request = (files / "serving_input_example.json").read_text()
        compare(validate_serving_input(str(files), request), expected(example))
        _, asked = answers(example)
        for call in [call for call in asked if call.signature == EMBED] or asked[:1]:
            answer = load_model(str(files)).predict(frame(call), params={"signature_name": call.signature})
            compare(answer, call.outputs)


def answers(example: Trained) -> tuple[dict[str, np.ndarray], list[Call]]:
    """Return what the training graph answered to the examples of the gate, and to its further calls."""
    folder = _expectations(example)
    _, outputs = read_expectations(folder)
    return {name: _as_bytes(value) for name, value in outputs.items()}, read_calls(folder)


def expected(example: Trained, rows: int = 2) -> dict[str, np.ndarray]:
    """Return what the training graph answered to the examples that are registered with the model."""
    return {name: value[:rows] for name, value in answers(example)[0].items()}


def _expectations(example: Trained) -> Path:
    return expectations(Record(example.run, None, None, None, None))  # type: ignore[arg-type]


def frame(call: Call) -> pd.DataFrame:
    """Write the inputs of a call as MLflow takes them: a column per input, texts as str."""
    return pd.DataFrame({name: _plain(name, value.tolist()) for name, value in call.inputs.items()})


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(name, inner) for inner in value]
    return value.decode() if isinstance(value, bytes) and not name.endswith("_bytes") else value


def compare(answer: pd.DataFrame | Mapping[str, list[Any]], wanted: Mapping[str, np.ndarray]) -> None:
    """Find the same values in the columns of an answer."""
    harness.compare(
        {name: _as_bytes(np.array(list(answer[name]), _kind(value))) for name, value in wanted.items()},
        dict(wanted),
    )


def _kind(value: np.ndarray) -> Any:
    return object if value.dtype == object else value.dtype


def _as_bytes(values: np.ndarray) -> np.ndarray:
    """Encode texts; let numbers, and None for any text, pass."""
    if values.dtype != object:
        return values
    return np.vectorize(lambda cell: cell.encode() if isinstance(cell, str) else cell, otypes=[object])(
        values
    )


@contextlib.contextmanager
def served(example: Trained) -> Iterator[str]:
    """Run ``mlflow models serve`` on the champion; yield the address to post to."""
    port = str(free_port())
    # MLflow starts uvicorn by its name.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    command = ["-m", "mlflow", "models", "serve", "-m", "models:/golden@champion", "--env-manager", "local"]
    with subprocess.Popen(
        [sys.executable, *command, "--host", "127.0.0.1", "--port", port],
        env=os.environ | {"MLFLOW_TRACKING_URI": store(example), "PATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as server:
        try:
            address = f"http://127.0.0.1:{port}"
            while not _answers(f"{address}/ping"):
                assert server.poll() is None, "mlflow models serve has ended"
                time.sleep(0.1)
            yield f"{address}/invocations"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def post(url: str, body: str) -> dict[str, list[Any]]:
    """Send a request as the documented curl does; return the predictions by column."""
    request = urllib.request.Request(url, body.encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as response:
        rows = json.load(response)["predictions"]
    return {name: [row[name] for row in rows] for name in rows[0]}
