"""The case mlflow-uri: an address that cannot work is a mistake of configuration, and costs no event."""

import json
from pathlib import Path

import pytest

from flows import cli
from flows.workspace import Workspace
from tests import mlflow_store
from tests.trained import command_here

TASK = "tabular-classification"
CHEAP = ("--local", "--set", "training.min_steps=20")
ADDRESSES = {
    "localhost:5000": "Write http://localhost:5000",
    "htp://x": "htp",
    "./mlruns": "folder",
    "http://": "no host",
    "http://host:port": "port",
    "databricks": "Databricks",
    "file:///tmp/mlruns": "folder",
    "   ": "blank",
    "sqlite:////nosuch/mlflow.db": "/nosuch does not exist",
    "http://me:hunter22@host:x": "***",
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("SERVABLE_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    return Workspace.open(tmp_path / "workspace")


def refusal(capsys, *arguments):
    with pytest.raises(SystemExit) as left:
        cli.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    return left.value.code, line


@pytest.mark.parametrize("uri", ADDRESSES)
@pytest.mark.parametrize("verb", ["train", "train --local", "schedule", "worker", "ui", "sync", "models"])
def test_a_wrong_tracking_uri_ends_every_command_before_it_runs(here, cases, capsys, monkeypatch, verb, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    what = (TASK, "--data", cases / "mlflow-uri" / "base.csv", "--name", "second")
    further = {
        "train": what,
        "train --local": (*what, "--local"),
        "schedule": (*what, "--cron", "* * * * *"),
        "worker": ("--once",),
    }
    code, line = refusal(capsys, verb.split()[0], *further.get(verb, ()))
    assert code == 78
    assert line.startswith("error: MLFLOW_TRACKING_URI cannot be used: ")
    assert ADDRESSES[uri] in line
    assert "expected http://HOST:PORT" in line
    assert "hunter22" not in line
    assert list(here.root.iterdir()) == []


@pytest.mark.parametrize("verb", ["train", "schedule", "worker", "ui"])
@pytest.mark.parametrize("url", ["localhost:4200/api", "htp://x/api", "http://", "http://h:x/api", "   "])
def test_a_wrong_prefect_address_too(here, cases, capsys, monkeypatch, verb, url):
    monkeypatch.setenv("PREFECT_API_URL", url)
    what = (TASK, "--data", cases / "mlflow-uri" / "base.csv", "--name", "second")
    further = {"train": what, "schedule": (*what, "--cron", "* * * * *"), "worker": ("--once",)}
    code, line = refusal(capsys, verb, *further.get(verb, ()))
    assert code == 78
    assert line.startswith("error: PREFECT_API_URL cannot be used: ")
    assert not (here.root / "runs").exists()


@pytest.mark.proof
def test_events_that_wait_are_sent_after_the_mistake_is_mended(tmp_path, cases, capsys):
    """The case as it was met: one run waits for a server, the next is started with a wrong address."""
    root, uri = tmp_path / "workspace", mlflow_store.database(tmp_path / "store")
    data = ("--data", cases / "mlflow-uri" / "base.csv")
    away = "http://127.0.0.1:9"
    done = command_here(
        capsys, "train", TASK, *data, "--name", "first", *CHEAP, workspace=root, MLFLOW_TRACKING_URI=away
    )
    assert done.returncode == 0, done.stderr
    wrong = {"workspace": root, "MLFLOW_TRACKING_URI": "localhost:5000"}
    for arguments in (("train", TASK, *data, "--name", "second", *CHEAP), ("sync",), ("models",)):
        done = command_here(capsys, *arguments, **wrong)
        assert done.returncode == 78, done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert not (root / "spool" / "rejected.jsonl").exists()
    done = command_here(capsys, "doctor", "--json", **wrong)
    assert done.returncode == 78
    findings = {finding["part"]: finding for finding in json.loads(done.stdout)}
    assert findings["tracking"]["mark"] == "FAIL"
    assert "localhost:5000" in findings["tracking"]["text"]
    done = command_here(capsys, "sync", workspace=root, MLFLOW_TRACKING_URI=uri)
    assert done.stderr == f"tracking: 2 records sent to {uri}\n"
    place = mlflow_store.Workplace(tmp_path, uri)
    (run,) = place.runs("first")
    assert run.info.status == "FINISHED"
    assert "test/accuracy" in run.data.metrics
    assert "report/report.html" in place.artifacts(run.info.run_id)
    versions = place.client.search_model_versions("name = 'first'")
    assert [(int(version.version), version.tags["servable.release"]) for version in versions] == [(1, "1")]
    assert Path(root / "repository" / "first" / "1").is_dir()
