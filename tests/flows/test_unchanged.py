"""The same training once more: the version in service stays, unless it is forced."""

import warnings
from pathlib import Path

import pytest

from flows import launch
from flows.console import terminal
from flows.runs import listing
from flows.runs.directory import RunDirectory
from flows.runs.run import open_record
from flows.steps.unchanged import origin, unchanged
from serving.repository.repository import Repository
from tests.flows.store import of_run
from tests.trained import Trained


@pytest.fixture(scope="module")
def again(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The training of the session, repeated on a copy of its workspace."""
    copy = trained.copy(tmp_path_factory.mktemp("again"))
    with terminal.hushed(), terminal.progress_bars(quiet=True), warnings.catch_warnings(action="ignore"):
        summary = launch.run(copy.request(), local=True)
    return Trained(copy.data, copy.workspace, summary)


def test_equal_weights_are_not_published_again(trained: Trained, again: Trained) -> None:
    summary = again.summary
    assert (summary["version"], summary["unchanged"], trained.summary["unchanged"]) == (1, True, False)
    assert summary["metrics"] == trained.summary["metrics"]
    assert list(summary["seconds"]) == ["ingest", "featurize", "train", "total"]
    assert Path(summary["release"]) == again.workspace.repository / "golden" / "1"
    assert Path(summary["report"]) == again.workspace.runs("golden") / trained.run.path.name / "report.html"
    assert Repository(again.workspace.repository).versions("golden") == [1]


def test_run_and_mlflow_say_unchanged(trained: Trained, again: Trained) -> None:
    state = again.run.read()
    assert (state.unchanged, state.version, state.state) == (1, None, "finished")
    assert state.weights_hash == RunDirectory(trained.run.path).read().weights_hash
    rows = {row["run"]: row for row in listing.described(again.workspace, "golden")}
    row = rows[again.run.path.name]
    assert (row["state"], row["version"]) == ("unchanged", 1)
    # The version still leads to the run that made it.
    assert listing.find(again.workspace, "golden").path.name == trained.run.path.name
    found = of_run(again.workspace.mlruns / "mlflow.db", again.summary["run_id"])
    assert found["status"] == "FINISHED"
    assert found["tags"]["servable.unchanged"] == "1"
    assert "version 1" in found["tags"]["mlflow.note.content"]
    assert found["metrics"]["test/accuracy"] == [(0, trained.summary["metrics"]["test/accuracy"])]


def test_force_publishes_equal_weights(again: Trained) -> None:
    """The step alone, on the run that was found unchanged: whether the pipeline goes on to publish."""
    dataset = again.run.read().dataset
    assert dataset is not None
    for force, version in ((True, None), (False, 1)):
        plan = again.plan(force=force)
        with open_record(plan, dataset, run=again.run) as record:
            assert unchanged(plan, record) == version
    # A release that was changed on disk is mended by publishing again.
    label = again.workspace.repository / "golden" / "1" / "fingerprint.pb"
    label.write_bytes(label.read_bytes() + b"!")
    with open_record(again.plan(), dataset, run=again.run) as record:
        assert unchanged(again.plan(), record) is None


def test_whatever_decides_the_outcome_makes_another_origin(trained: Trained) -> None:
    manifest = Repository(trained.workspace.repository).release("golden", 1).manifest
    changes = [
        {"seed": 1},
        {"weights_hash": "0" * 16},
        {"versions": manifest["versions"] | {"tensorflow": "0"}},
        {"dataset": manifest["dataset"] | {"fingerprint": "0" * 16}},
        {"recipe": manifest["recipe"] | {"gate": manifest["recipe"]["gate"] | {"min_metric": 0.5}}},
    ]
    others = [origin(manifest | change) for change in changes]
    assert origin(manifest) not in others
    # What a recipe is called does not matter.
    assert origin(manifest | {"recipe": manifest["recipe"] | {"name": "copy"}}) == origin(manifest)
    assert origin({}) != origin(manifest)
