"""``servable demo``: the whole product in one command, from a wheel, with a Prefect server of its own."""

import json
import os
import re
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.orchestration import prefect_server
from flows.workspace import Workspace
from tests import mlflow_store
from tests.conftest import ROOT
from tests.trained import command

ROOMS = ("features", "models", "serving", "flows")
STAGES = [
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
#: Model to task, in the order of the demo.
MODELS = {
    "digits": "image-classification",
    "tones": "audio-classification",
    "words": "word-vectors",
    "forms": "text-classification",
}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The command of a wheel in an environment of its own, with the dependencies of this one."""
    folder = tmp_path_factory.mktemp("installed")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    venv.create(folder / "env", with_pip=True)
    python, (wheel,) = folder / "env" / "bin" / "python", folder.glob("*.whl")
    install = [python, "-m", "pip", "install", "--no-index", "--no-deps", wheel]
    subprocess.run(install, check=True, capture_output=True, timeout=120)
    (packages,) = (folder / "env" / "lib").glob("python*/site-packages")
    # What a path file names is searched, but its own path files, which lead to this checkout, are not read.
    (packages / "dependencies.pth").write_text(f"{Path(pytest.__file__).parent.parent}\n")
    return (str(folder / "env" / "bin" / "servable"),)


@pytest.fixture(scope="module")
def demo(
    tmp_path_factory: pytest.TempPathFactory, program: tuple[str, ...]
) -> tuple[Workspace, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("demo")
    mlflow_store.database(folder / "mlruns")
    place = folder / "workspace"
    return Workspace.open(place), command("demo", workspace=place, program=program)


def test_a_wheel_holds_all_that_is_no_code(program: tuple[str, ...]) -> None:
    (packages,) = Path(program[0]).parent.parent.glob("lib/python*/site-packages")
    kept = {path.relative_to(ROOT) for room in ROOMS for path in (ROOT / room).rglob("*") if path.is_file()}
    wanted = {path for path in kept if path.suffix not in (".pyc", ".py")}
    assert len(wanted) > 40
    assert {path for path in wanted if not (packages / path).is_file()} == set()
    assert command("--version", workspace=packages / "none", program=program).stdout.startswith("servable ")


@pytest.mark.proof
def test_it_tells_what_it_does_and_where_to_look(demo: tuple) -> None:
    workspace, done = demo
    assert done.returncode == 0, done.stderr
    assert "1800 files found = 1797 accepted + 3 quarantined + 0 skipped by rule" in done.stderr
    assert "digits version 1 is published and stable" in done.stderr
    assert "120 files found = 120 accepted + 0 quarantined + 0 skipped by rule" in done.stderr
    assert "tones version 1 is published and stable" in done.stderr
    # What is generated is called so.
    assert "wrote generated tones" in done.stderr
    accuracies = [float(value) for value in re.findall(r"test/accuracy +([0-9.]+)", done.stdout)]
    assert len(accuracies) == len(MODELS) - 1  # Word vectors have another measure.
    assert min(accuracies) > 0.9
    assert "300 lines found = 300 accepted + 0 quarantined + 0 skipped by rule" in done.stderr
    neighbours = re.search(r"^ *israel: (.+)$", done.stdout, re.MULTILINE)
    assert neighbours is not None
    assert "palestinian" in neighbours[1]
    assert re.search(r"^ *gardening: participle 0\.", done.stdout, re.MULTILINE)
    heard = re.findall(r"/tones/(\w+)/generated-\d+\.wav: (\w+) ", done.stdout)
    assert [asked for asked, _ in heard] == ["high", "low", "middle"]
    assert sum(asked == given for asked, given in heard) >= 2
    answers = re.findall(r"/digits/(\d)/scan-\d+\.png: (\d) ", done.stdout)
    assert len(answers) == 4
    assert sum(asked == given for asked, given in answers) >= 3
    for line in ("Report", "Release", "UIs", "Serve", "Query"):
        assert re.search(rf"^{line} ", done.stdout, re.MULTILINE)
    for model in MODELS:
        assert (workspace.repository / model / "1" / "saved_model.pb").is_file()
    for text in (done.stdout, done.stderr):
        assert "Traceback" not in text
        assert "| INFO" not in text


@pytest.mark.proof
def test_the_quarantine_names_each_damaged_file(demo: tuple) -> None:
    workspace, _ = demo
    listed = workspace.datasets.glob("*/quarantine.jsonl")
    records = [json.loads(line) for path in listed for line in path.read_text().splitlines()]
    reasons = {record["path"]: record["reason"] for record in records}
    assert reasons == {
        "0/truncated.png": "truncated",
        "1/empty.png": "empty",
        "2/error-page.png": "not_an_image",
    }


@pytest.fixture(scope="module")
def client(demo: tuple) -> Iterator[Any]:
    """A Prefect client on the database that the demo's own server left."""
    kept = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("PREFECT")]:
        del os.environ[name]
    try:
        with prefect_server.running_api(demo[0]) as ready:
            from prefect.client.orchestration import get_client
            from prefect.settings import PREFECT_API_URL, temporary_settings

            with temporary_settings({PREFECT_API_URL: ready()}), get_client(sync_client=True) as connected:
                yield connected
    finally:
        os.environ.clear()
        os.environ.update(kept)


@pytest.mark.proof
def test_prefect_knows_the_flow_and_every_step_by_name(client: Any) -> None:
    flow_runs = sorted(client.read_flow_runs(), key=lambda flow_run: flow_run.start_time)
    assert [flow_run.name.rpartition(" ")[0] for flow_run in flow_runs] == [
        f"{model} {'news' if model == 'words' else model} v1" for model in MODELS
    ]
    steps = sorted(client.read_task_runs(), key=lambda step: step.start_time)
    for flow_run, model in zip(flow_runs, MODELS, strict=True):
        assert flow_run.state.is_completed()
        recipe = "news" if model == "words" else model
        assert flow_run.parameters["recipe"] == recipe
        mine = [step for step in steps if step.flow_run_id == flow_run.id]
        assert [step.name.split()[0] for step in mine] == STAGES
        assert all(step.state.is_completed() for step in mine)
        named = [f"{stage} {model}" for stage in STAGES[1:]]
        named[STAGES.index("report") - 1] += " version 1"
        named[STAGES.index("compare") - 1] += " with the version in service"
        assert [step.name for step in mine[1:]] == named


@pytest.mark.proof
def test_prefect_shows_the_key_tables_and_the_report(client: Any) -> None:
    found = {artifact.key: artifact for artifact in client.read_artifacts() if artifact.key}
    kinds = ("dataset", "metrics", "gate", "report")
    wanted = {f"{kind}-{model}" for kind in kinds for model in MODELS}
    assert {key for key in found if not key.startswith("progress-")} == wanted | {"words-words"}
    assert "progress-train-train" in found
    metrics = {row["metric"]: row["value"] for row in json.loads(found["metrics-digits"].data)}
    assert metrics["test/accuracy"] > 0.95
    counts = json.loads(found["dataset-digits"].data)[0]
    assert (counts["found"], counts["quarantined"]) == (1800, 3)
    assert all(row["passed"] for row in json.loads(found["gate-digits"].data))
    # A browser opens no link to a file from Prefect's page: figures stand in the text itself.
    card = found["report-digits"].data
    assert f"| test/accuracy | {metrics['test/accuracy']:.4g} |" in card
    assert "](data:image/" in card
    assert "file://" not in card


@pytest.mark.proof
def test_the_run_log_went_to_prefect(client: Any) -> None:
    messages = [log.message for log in client.read_logs()]
    assert any("Beginning flow run" in message for message in messages)
    assert any("Finished in state Completed" in message for message in messages)
