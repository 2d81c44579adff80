"""Steps and flows: plain calls without Prefect, task runs with it. One real Prefect server for the module."""

import os

import pytest

from features.errors import DataError, UnavailableError
from flows.orchestration import artifacts as orchestration_artifacts
from flows.orchestration import prefect_server, step
from flows.workspace import Workspace

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


@pytest.fixture(autouse=True)
def _no_calls():
    calls.clear()


def test_outside_a_flow_a_step_is_a_plain_call_without_retries():
    assert double(4) == 8
    with pytest.raises(UnavailableError):
        flaky("away")
    assert calls == ["double 4", "away"]


def test_inside_a_flow_steps_are_task_runs_that_the_api_knows(api):
    assert step.run(body, {"value": 5}, api=api, name="doubling", run_name="doubling five") == 11
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

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
