"""What one finished training leaves: summary, release, report, MLflow run, registered model."""

import json
import os
import re
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from features.datasets import dataset as datasets
from features.errors import TemporaryError
from flows import pipeline
from flows.tracking import tracking
from serving.repository.repository import Repository
from tests import mlflow_store
from tests.flows.store import of_run
from tests.trained import Trained, arguments, command_here, request


def test_the_summary_keeps_its_contract(trained: Trained) -> None:
    summary = trained.summary
    assert summary["model"] == "golden"
    assert summary["version"] == 1
    assert re.fullmatch(r"[0-9a-f]{32}", summary["run_id"])
    counts = summary["dataset"]
    assert counts["found"] == counts["accepted"] + counts["quarantined"] + counts["skipped"] == 96
    assert re.fullmatch(r"[0-9a-f]{16,}", counts["fingerprint"])
    assert Path(summary["release"]) == trained.workspace.repository / "golden" / "1"
    stages = [
        "ingest",
        "featurize",
        "train",
        "evaluate",
        "export",
        "draw",
        "gate",
        "publish",
        "report",
        "total",
    ]
    assert list(summary["seconds"]) == stages
    assert 0 <= summary["metrics"]["test/accuracy_low"] <= summary["metrics"]["test/accuracy"] <= 1


def test_metrics_are_those_of_the_kept_scores(trained: Trained) -> None:
    """Against scikit-learn, from the scores and the dataset alone."""
    dataset = datasets.load(Path(trained.run.read().dataset.directory))
    targets = dataset.frame.loc[dataset.frame["split"] == "test", "target"].to_numpy()
    scores = np.load(trained.run.outputs)
    assert scores.sum(1) == pytest.approx(1, abs=1e-5)
    metrics = trained.summary["metrics"]
    assert metrics["test/accuracy"] == pytest.approx(accuracy_score(targets, scores.argmax(1)))
    assert metrics["test/macro_f1"] == pytest.approx(f1_score(targets, scores.argmax(1), average="macro"))
    likelihoods = np.log(scores[np.arange(len(targets)), targets])
    assert metrics["test/loss"] == pytest.approx(-likelihoods.mean(), rel=1e-4)


def test_the_release_knows_where_it_comes_from(trained: Trained) -> None:
    release = Repository(trained.workspace.repository).release("golden", 1)
    manifest = release.manifest
    assert manifest["run_id"] == trained.summary["run_id"]
    assert manifest["labels"] == ["level", "upright"]
    assert manifest["metrics"] == trained.summary["metrics"]
    assert manifest["recipe"]["training"]["epochs"] == 12
    assert manifest["gate"]["passed"]
    assert manifest["absent"] == {}
    assert manifest["scores"] == pytest.approx(np.sort(np.load(trained.run.outputs).max(1)), abs=1e-4)
    asked = {"embed", "occlusion", "grad_cam"}
    assert {
        check["name"].split()[-4] for check in manifest["gate"]["checks"] if "server's" in check["name"]
    } == asked
    assert manifest["weights_hash"] == trained.run.read().weights_hash
    release.verify()


def test_mlflow_knows_the_whole_run(trained: Trained) -> None:
    found = of_run(trained.workspace.mlruns / "mlflow.db", trained.summary["run_id"])
    assert found["experiment"] == "golden"
    assert found["status"] == "FINISHED"
    assert found["params"]["seed"] == "0"
    assert found["params"]["model.filters"] == "[4, 8]"
    assert found["params"]["training.epochs"] == "12"
    assert found["tags"]["mlflow.servable.version.tensorflow"].startswith("2.")
    # What a person sees of tags is what a person looks for.
    shown = {name for name in found["tags"] if not name.startswith("mlflow.")}
    assert shown == {"servable.task", "servable.data", "servable.run"}
    assert found["tags"]["mlflow.source.type"] == "LOCAL"
    key = trained.run.path.name[:6]
    assert found["tags"]["mlflow.runName"] == f"golden cnn v1 {key}"
    card = found["tags"]["mlflow.note.content"]
    metrics = trained.summary["metrics"]
    assert card.startswith(f"test accuracy {100 * metrics['test/accuracy']:.1f} % (")
    assert "published as version 1" in card
    assert f"| test/accuracy | {metrics['test/accuracy']:.4g} |" in card
    assert "96 of 96 examples used" in card
    assert f"/runs/{trained.summary['run_id']}/artifacts/report/report.html)" in card
    # The epochs were told as they happened.
    assert [step for step, _ in found["metrics"]["train/loss"]] == list(range(1, 13))
    assert [step for step, _ in found["metrics"]["validation/accuracy"]] == list(range(1, 13))
    assert found["metrics"]["test/accuracy"] == [(0, trained.summary["metrics"]["test/accuracy"])]
    assert found["inputs"] == [("data", trained.summary["dataset"]["fingerprint"][:36])]
    folder = trained.workspace.mlruns / "artifacts" / "golden" / trained.summary["run_id"] / "artifacts"
    assert {path.name for path in folder.iterdir()} == {
        "dataset",
        "environment",
        "figures",
        "recipe",
        "report",
        "tables",
    }
    assert (folder / "report" / "report.html").read_bytes() == trained.run.report.read_bytes()
    assert {path.name for path in (folder / "tables").iterdir()} >= {"per_class.json", "mistakes.json"}
    assert any((folder / "figures").glob("confusion*"))
    assert (folder / "recipe" / "recipe.yaml").is_file()


def test_the_registered_version_is_champion_and_answers(trained: Trained) -> None:
    with sqlite3.connect(trained.workspace.mlruns / "mlflow.db") as store:
        (alias,) = store.execute("select alias, name, version from registered_model_aliases").fetchall()
        ((source, status),) = store.execute("select source, status from model_versions").fetchall()
    assert alias[:2] == ("champion", "golden")
    assert status == "READY"
    folder = Path(source.removeprefix("file://"))
    described = (folder / "MLmodel").read_text()
    assert "image_bytes" in described
    assert "signature" in described
    assert (folder / "input_example.json").is_file()
    with tracking.open_tracking(trained.workspace) as ledger:
        assert ledger.champion("golden") is not None


def test_the_report_explains_hits_and_the_worst_mistakes_by_both_methods_beside_the_photo(
    trained: Trained,
) -> None:
    page = trained.run.report.read_text()
    _, _, rest = page.partition('-heatmaps" class=')
    section = rest.partition("</section>")[0]
    dataset = datasets.load(Path(trained.run.read().dataset.directory))
    scores = np.load(trained.run.outputs)
    targets = dataset.measured["target"].to_numpy()
    right = scores.argmax(1) == targets
    shown = min(3, int(right.sum())) + min(3, int((~right).sum()))
    for view in ("photo", "occlusion, up to", "Grad-CAM, up to"):
        assert section.count(f"<p>{view}") == shown
    answers = re.findall(r"true: (\w+), predicted: (\w+) \(", section)
    assert len(answers) == shown
    assert {true for true, _ in answers} == set(dataset.labels)
    assert sum(true != predicted for true, predicted in answers) == min(3, int((~right).sum()))


def test_the_report_is_one_file_and_names_everything(trained: Trained) -> None:
    page = trained.run.report.read_text()
    assert "published as version 1" in page
    # What a reader may follow is a link; nothing is loaded.
    assert not re.search(r"""src=["']?https?://""", page)
    assert re.findall(r"<(\w+)[^>]*https?://[^>]*>", page) == ["a"]
    for section in ("Classes", "Calibration", "Training", "Latency", "Dataset", "Gate", "Reproduction"):
        assert section in page
    assert trained.summary["dataset"]["fingerprint"][:12] in page


def test_nothing_left_to_send_and_no_candidate_left_behind(trained: Trained) -> None:
    assert not list((trained.workspace.candidates / "golden").glob("*/1/saved_model.pb"))
    with tracking.open_tracking(trained.workspace) as ledger:
        assert ledger.pending() == 0


def test_one_training_of_a_model_runs_at_a_time(trained: Trained) -> None:
    parameters = trained.request().as_parameters()
    with (
        pipeline.alone(trained.plan()),
        pytest.raises(TemporaryError, match=rf"training of the model golden is .* process {os.getpid()} on"),
    ):
        pipeline.train_model(**parameters)


def test_k1_a_training_without_its_tracking_server_loses_nothing(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A closed port for the whole run: one warning, a release, and later every event once."""
    mlflow_store.database(tmp_path / "mlruns")
    wanted = request("image-classification", trained.data, tmp_path / "workspace")
    away = "http://127.0.0.1:9"
    done = command_here(
        capsys, *arguments(wanted), "--local", workspace=tmp_path / "workspace", MLFLOW_TRACKING_URI=away
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("is unreachable") == 1
    summary = json.loads(done.stdout.splitlines()[-1])
    assert Path(summary["release"]).is_dir()
    done = command_here(capsys, "sync", workspace=tmp_path / "workspace")
    assert "tracking: 2 records sent" in done.stderr  # The run and its alias.
    with sqlite3.connect(tmp_path / "mlruns" / "mlflow.db") as store:
        ((run_id,),) = store.execute("select run_uuid from runs").fetchall()
        ((alias, version),) = store.execute("select alias, version from registered_model_aliases").fetchall()
    found = of_run(tmp_path / "mlruns" / "mlflow.db", run_id)
    assert found["status"] == "FINISHED"
    assert [step for step, _ in found["metrics"]["train/loss"]] == list(range(1, 13))
    assert found["metrics"]["test/accuracy"] == [(0, summary["metrics"]["test/accuracy"])]
    assert (alias, int(version)) == ("champion", 1)


def test_a_worse_training_is_refused_and_kept_until_it_is_accepted(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Untrained weights against the serving version, through the command line."""
    trained = trained.copy(tmp_path)
    worse = trained.request(overrides=("training.learning_rate=1e-9", "training.epochs=1"))
    done = command_here(capsys, *arguments(worse), "--local", workspace=trained.workspace.root)
    assert done.returncode == 73, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert "not worse than serving" in line
    assert "--accept-worse" in line
    assert done.stdout == ""
    repository = Repository(trained.workspace.repository)
    assert repository.stable("golden") == 1
    assert list((trained.workspace.candidates / "golden").glob("*/1/saved_model.pb"))
    # Report and log are kept and named, and the run in MLflow says why.
    (run,) = [run for run in trained.workspace.runs("golden").iterdir() if run != trained.run.path]
    assert line.endswith(f". The log is {run / 'run.log'}")
    assert "ERROR flows: ExportError: the gate refused golden" in (run / "run.log").read_text()
    assert f"report of the refused run: {run / 'report.html'}" in done.stderr
    assert str(run / "report.html") in line
    assert "refused by the gate: not worse than serving" in (run / "report.html").read_text()
    with sqlite3.connect(trained.workspace.mlruns / "mlflow.db") as store:
        ((run_id,),) = store.execute("select run_uuid from runs where status = 'FAILED'").fetchall()
        assert store.execute("select count(*) from runs").fetchone() == (2,)
    tags = of_run(trained.workspace.mlruns / "mlflow.db", run_id)["tags"]
    for tag in ("servable.refused", "servable.note", "mlflow.note.content"):
        assert "the gate refused golden: not worse than serving; got test/accuracy 0." in tags[tag]
    assert list(trained.workspace.mlruns.glob(f"**/{run_id}/artifacts/report/report.html"))
    assert f"servable publish golden/{run.name} --accept-worse" in line
    done = command_here(capsys, "publish", "golden", "--accept-worse", workspace=trained.workspace.root)
    assert done.returncode == 2
    assert "--reason" in done.stderr
    given = ("--accept-worse", "--reason", "for a demonstration", "--json")
    done = command_here(capsys, "publish", f"golden/{run.name}", *given, workspace=trained.workspace.root)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["version"] == 2
    manifest = repository.release("golden", 2).manifest
    assert manifest["accepted_worse"] is True
    assert manifest["gate"]["checks"][-1]["got"].endswith("(accepted: for a demonstration)")
    assert "published as version 2" in (run / "report.html").read_text()
    tags = of_run(trained.workspace.mlruns / "mlflow.db", run_id)["tags"]
    assert tags["servable.accepted"] == "for a demonstration"
    with sqlite3.connect(trained.workspace.mlruns / "mlflow.db") as store:
        assert store.execute("select status from runs where run_uuid = ?", [run_id]).fetchone() == (
            "FINISHED",
        )
    done = command_here(capsys, "publish", f"golden/{run.name}", *given, workspace=trained.workspace.root)
    assert done.returncode == 66
    assert "Traceback" not in done.stderr
    done = command_here(capsys, "rollback", "golden", workspace=trained.workspace.root)
    assert (done.returncode, repository.stable("golden")) == (0, 1), done.stderr
    with sqlite3.connect(trained.workspace.mlruns / "mlflow.db") as store:
        ((version,),) = store.execute("select version from registered_model_aliases").fetchall()
    assert int(version) == 1
