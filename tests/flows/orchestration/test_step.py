"""Steps and flows: plain calls without Prefect, task runs with it. One real Prefect server for the module."""

import json
import os
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from features.errors import DataError, UnavailableError
from flows import pipeline
from flows.console import terminal
from flows.orchestration import artifacts as orchestration_artifacts
from flows.orchestration import prefect_server, step
from flows.runs.directory import RunDirectory
from flows.workspace import Workspace
from tests.flows.store import of_run
from tests.trained import Trained, shared

calls: list[str] = []


@step.step("double", run_name="double {value}", retries=2, retry_delay_seconds=0)
def double(value: int) -> int:
    calls.append(f"double {value}")
    return 2 * value


@step.step("flaky", retries=2, retry_delay_seconds=0)
def flaky(kind: str) -> str:
    calls.append(kind)
    if kind == "bad data":
        raise DataError("bad")
    if calls.count(kind) < 3:
        raise UnavailableError("away")
    return "ok"


def body(value: int) -> int:
    assert step.in_flow_run()
    orchestration_artifacts.show_table("numbers", [{"n": value}], "numbers")
    orchestration_artifacts.show_markdown("words", "# hello", "words")
    return double(value) + 1


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    workspace = Workspace.open(tmp_path_factory.mktemp("prefect") / "ws")
    kept = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("PREFECT")]:
        del os.environ[name]
    with prefect_server.running_api(workspace) as ready:
        yield ready()
    os.environ.clear()
    os.environ.update(kept)


class Repeated(NamedTuple):
    """A training that repeats an earlier one, under Prefect: both, and what Prefect has of the second."""

    first: Trained
    summary: dict
    run: Any
    steps: list
    artifacts: dict


@pytest.fixture(scope="module")
def repeated(api, tmp_path_factory) -> Repeated:
    # Prefect reads its settings when it is imported: after `api` has set them.
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    first = shared("tabular-classification", tmp_path_factory).copy(tmp_path_factory.mktemp("repeated"))
    # Without force nothing would be published, and all steps after the training left out.
    parameters = first.request(force=True).as_parameters()
    with terminal.progress_bars(quiet=True), warnings.catch_warnings(action="ignore"):
        summary = step.run(
            pipeline.train_model, parameters, api=api, name="servable-train", run_name="golden again"
        )
    with temporary_settings({PREFECT_API_URL: api}), get_client(sync_client=True) as client:
        (run,) = [run for run in client.read_flow_runs() if run.name.startswith("golden ")]
        steps = _recorded(client, run)
        found = client._client.post("/artifacts/filter", json={}).json()
    mine = {each["key"]: each["data"] for each in found if each["flow_run_id"] == str(run.id)}
    return Repeated(first, summary, run, sorted(steps, key=lambda each: each.start_time), mine)


def _recorded(client: Any, run: Any) -> list:
    """Read the steps of a run that has ended; the server records their states up to a second later."""
    deadline = time.monotonic() + 10
    while True:
        steps = [each for each in client.read_task_runs() if each.flow_run_id == run.id]
        done = any(each.name.startswith("report") and each.state.is_final() for each in steps)
        if done or time.monotonic() > deadline:
            return steps
        time.sleep(0.1)


def test_what_is_reused_is_shown_as_cached(repeated: Repeated) -> None:
    cached = {each.name.split()[0] for each in repeated.steps if each.state_name == "Cached"}
    assert cached == {"ingest", "featurize", "train", "evaluate"}
    assert {each.state_name for each in repeated.steps} == {"Cached", "Completed"}
    (ingest,) = [each for each in repeated.steps if each.name.startswith("ingest")]
    assert "unchanged since an earlier training" in ingest.state.message
    assert repeated.summary["metrics"] == repeated.first.summary["metrics"]
    again = RunDirectory(Path(repeated.summary["run"]))
    assert again.path != repeated.first.run.path
    assert again.read().weights_hash == repeated.first.run.read().weights_hash
    # MLflow has the epochs and figures of the second run as of the first.
    store = repeated.first.workspace.mlruns / "mlflow.db"
    ours, theirs = (of_run(store, each["run_id"]) for each in (repeated.summary, repeated.first.summary))
    assert ours["metrics"].keys() == theirs["metrics"].keys()
    assert ours["metrics"]["train/loss"] == theirs["metrics"]["train/loss"]


def test_the_graph_reads_from_ingest_to_publish(repeated: Repeated) -> None:
    names = [each.name.split()[0] for each in repeated.steps]
    assert names == [
        "ingest",
        "featurize",
        "train",
        "compare",
        "evaluate",
        "export",
        "draw",
        "gate",
        "publish",
        "report",
    ]
    waited = [[one.id for one in each.task_inputs.get("wait_for", [])] for each in repeated.steps]
    assert waited == [[], *([each.id] for each in repeated.steps[:-1])]


def test_the_page_of_the_run_tells_what_came_of_it(repeated: Repeated) -> None:
    key = Path(repeated.summary["run"]).name[:6]
    assert repeated.run.name == f"golden mlp v2 {key}-2"
    card = repeated.artifacts["report-golden"]
    assert "published as version 2" in card
    assert f"| test/accuracy | {repeated.summary['metrics']['test/accuracy']:.4g} |" in card
    assert "](data:image/" in card
    # A browser opens neither a file nor a link that leads nowhere.
    assert "file://" not in card
    assert "artifact:" not in card
    rows = json.loads(repeated.artifacts["metrics-golden"])
    assert {row["value"] for row in rows} == {float(f"{row['value']:.4g}") for row in rows}


@pytest.fixture(autouse=True)
def _no_calls():
    calls.clear()


def test_outside_a_flow_a_step_is_a_plain_call_without_retries():
    assert double(4) == 8
    with pytest.raises(UnavailableError):
        flaky("away")
    assert calls == ["double 4", "away"]


def test_inside_a_flow_steps_are_task_runs_that_the_api_knows(api):
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    assert step.run(body, {"value": 5}, api=api, name="doubling", run_name="doubling five") == 11
    with temporary_settings({PREFECT_API_URL: api}), get_client(sync_client=True) as client:
        flow_runs = [run for run in client.read_flow_runs() if run.name == "doubling five"]
        assert [run.state_name for run in flow_runs] == ["Completed"]
        artifacts = client._client.post("/artifacts/filter", json={}).json()
    assert {"numbers", "words"} <= {artifact["key"] for artifact in artifacts}


def test_only_errors_that_may_pass_are_retried(api):
    def retrying(kind: str) -> str:
        return flaky(kind)

    assert step.run(retrying, {"kind": "away"}, api=api, name="retrying", run_name="a") == "ok"
    assert calls == ["away"] * 3
    calls.clear()
    with pytest.raises(DataError):
        step.run(retrying, {"kind": "bad data"}, api=api, name="retrying", run_name="b")
    assert calls == ["bad data"]


def test_a_configured_api_that_is_away_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    with (
        prefect_server.running_api(Workspace.open(tmp_path)) as ready,
        pytest.raises(UnavailableError, match=r"127\.0\.0\.1:9.*--local"),
    ):
        ready()


def test_a_server_that_cannot_start_is_named_with_its_log(tmp_path, monkeypatch):
    workspace = Workspace.open(tmp_path)
    monkeypatch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", "nonsense://")
    server = prefect_server.EmbeddedServer(workspace)
    try:
        with pytest.raises(UnavailableError, match=r"server\.log"):
            server.wait()
    finally:
        server.stop()


@pytest.mark.parametrize(("parts", "key"), [(("Gate", "My_Model"), "gate-my-model"), (("a--b", "é"), "a-b")])
def test_artifact_keys(parts, key):
    assert orchestration_artifacts.artifact_key(*parts) == key
