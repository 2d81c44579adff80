"""Addresses, run folders and their state."""

import math

import pytest

from features.errors import AccessError, UsageError
from flows.runs.directory import RunDirectory, open_run
from flows.runs.state import RunState
from flows.workspace import Workspace, fingerprint, model_name


@pytest.mark.parametrize("name", ["pets", "a", "A-b_9", "x" * 64])
def test_names_that_can_be_models(name):
    assert model_name(name) == name


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "-dash", "ä", "x" * 65, "a b", "a\n", "a\0b"])
def test_names_that_cannot(name):
    with pytest.raises(UsageError):
        model_name(name)


def test_mlruns_stands_beside_the_workspace_and_everything_else_in_it(tmp_path):
    workspace = Workspace.open(tmp_path / "ws")
    assert workspace.mlruns == tmp_path / "mlruns"
    inside = [
        workspace.datasets,
        workspace.features,
        workspace.repository,
        workspace.candidates,
        workspace.hub,
    ]
    inside += [workspace.spool, workspace.prefect, workspace.reports, workspace.runs("pets")]
    assert all(path.is_relative_to(workspace.root) for path in inside)
    assert len(set(inside)) == len(inside)


def test_a_workspace_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AccessError, match="--workspace"):
        Workspace.open(tmp_path / "file" / "ws")


def test_fingerprint_ignores_key_order_and_tells_values_apart():
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})


def test_an_unfinished_run_is_resumed_and_a_finished_one_is_not(tmp_path):
    workspace = Workspace.open(tmp_path)
    first = open_run(workspace, "pets", "k")
    first.record(state="running")
    assert open_run(workspace, "pets", "k") == first
    assert open_run(workspace, "pets", "other") != first
    first.record(state="finished")
    second = open_run(workspace, "pets", "k")
    assert second != first
    second.record(state="refused")
    third = open_run(workspace, "pets", "k")
    assert third not in (first, second)
    third.record(state="killed")
    assert open_run(workspace, "pets", "k") == third
    assert open_run(workspace, "pets", "k", restart=True) not in (first, second, third)


def test_state_merges_and_a_damaged_file_counts_as_none(tmp_path):
    run = RunDirectory(tmp_path)
    run.record(version=1)
    assert run.record(metrics={"test/loss": 2.0}) == RunState(version=1, metrics={"test/loss": 2.0})
    run.state_file.write_text('{"a": ')
    assert run.read() == RunState()
    run.record(metrics={"test/r2": float("nan")})
    assert math.isnan(run.read().metrics["test/r2"])
    assert list(tmp_path.glob(".*")) == []


def test_a_new_run_takes_over_what_the_same_code_came_to(tmp_path):
    workspace = Workspace.open(tmp_path)
    first = open_run(workspace, "pets", "k", code="a")
    first.weights.write_bytes(b"weights")
    first.evaluation.mkdir()
    first.outputs.write_bytes(b"outputs")
    first.report.write_text("of the first run")
    first.record(state="finished", code="a", weights_hash="w", metrics={"test/accuracy": 0.5}, version=3)
    second = open_run(workspace, "pets", "k", code="a")
    assert second.path.name == "k-2"
    assert (second.weights.read_bytes(), second.outputs.read_bytes()) == (b"weights", b"outputs")
    assert (second.read().weights_hash, second.read().metrics) == ("w", {"test/accuracy": 0.5})
    assert second.read().version is None
    assert not second.report.exists()
    for options in ({"code": "b"}, {"code": ""}, {"code": "a", "restart": True}):
        second.record(state="finished")
        other = open_run(workspace, "pets", "k", **options)
        assert not other.weights.exists(), options
        other.path.rmdir()
