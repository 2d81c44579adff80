"""Mistakes of the user are refused before anything heavy is imported, and no workspace is made for them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

TASK = "image-classification"
GIVEN = ("--data", ".", "--name", "x")

#: Command lines, exit code, a word of the message.
MISTAKES = [
    (("nosuch",), 2, "No such command"),
    (("train", TASK, "--name", "x"), 2, "--data"),
    (("train", "image-clasification", *GIVEN), 78, f"Did you mean '{TASK}'?"),
    (("train", TASK, "--data", "nosuch", "--name", "x"), 66, "does not exist"),
    (("train", TASK, *GIVEN, "--recipe", "best"), 2, "best"),
    (("train", TASK, *GIVEN, "--recipe", "nosuch.yaml"), 66, "nosuch.yaml"),
    (("train", TASK, *GIVEN, "--set", "training.patiense=3"), 78, "Did you mean 'patience'?"),
    (("train", TASK, *GIVEN, "--set", "trainin.patience=3"), 78, "Did you mean 'training'?"),
    (("train", TASK, *GIVEN, "--set", "patiense=3"), 78, "Did you mean 'patience'?"),
    (("train", TASK, *GIVEN, "--recipe", "auto"), 2, "servable tune"),
    (("train", TASK, *GIVEN, "--set", "epochs=many"), 78, "valid integer"),
    (("train", TASK, *GIVEN, "--dry-run", "--set", "epochs=0"), 78, "greater than or equal to 1"),
    (("tune", TASK, *GIVEN, "--set", "epoch=1,2"), 2, "Did you mean 'epochs'?"),
    (("tune", TASK, *GIVEN, "--set", "training.epochs=5..1"), 2, "two numbers in order"),
    (("schedule", TASK, *GIVEN), 2, "--cron"),
    (("schedule", "puase", "x"), 2, "Did you mean 'pause'?"),
    (("demo", "drfit"), 2, "'drfit' is not one of 'tour', 'drift'"),
    (("schedule", TASK, *GIVEN, "--cron", "0 3"), 2, "--cron"),
    (("schedule", TASK, *GIVEN, "--cron", "0 3 * * *", "--set", "model.nope=1"), 78, "model.nope"),
    (("recipes", "nosuch"), 78, "no such task"),
    (("recipes", TASK, "nosuch"), 2, "no recipe"),
    (("publish", "x"), 2, "--reason"),
    (("promote", "x", "one"), 2, "integer"),
    (("worker", "--limit", "0"), 2, "--limit"),
    (("verify", "nosuch"), 66, "no such model or folder"),
    (("predict", "x", "nosuch.jpg"), 66, "nosuch.jpg"),
    (("explain", "x", "nosuch.jpg"), 66, "nosuch.jpg"),
    (("serve", "--model_base_path=x", "--nosuch"), 2, "--nosuch"),
]

#: Commands that read a workspace, or change what is in it.
READERS = [
    ("models",),
    ("runs",),
    ("report", "x"),
    ("compare", "x", "y"),
    ("activations", "x", "README.md"),
    ("diagnose", "x", "README.md"),
    ("predict", "x", "README.md", "--local"),
    ("publish", "x", "--accept-worse", "--reason", "r"),
    ("promote", "x", "1"),
    ("rollback", "x"),
    ("delete", "x"),
    ("prune",),
    ("history", "x"),
    ("watch", "x"),
    ("sync",),
    ("serve", "--port=0"),
]

PROGRAM = """
import contextlib, io, json, sys
from flows import cli
libraries = {"tensorflow", "keras", "prefect", "mlflow", "pandas", "matplotlib", "sklearn", "optuna"}
for line in json.load(sys.stdin):
    out, err, code = io.StringIO(), io.StringIO(), 0
    before = set(sys.modules)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main(line)
        except SystemExit as left:
            code = left.code
    print(json.dumps([code, err.getvalue(), out.getvalue(), sorted(libraries & (set(sys.modules) - before))]))
"""


def ended(lines: list[tuple[str, ...]], workspace: Path) -> list[list]:
    """Run command lines in one fresh process: exit code, stderr, stdout, and what each imports."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(lines),
        cwd=ROOT,
        env={"SERVABLE_WORKSPACE": str(workspace), "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_mistakes_import_nothing_heavy(tmp_path: Path) -> None:
    told = ended([line for line, _, _ in MISTAKES], tmp_path / "nowhere")
    for (line, code, word), (got, err, out, libraries) in zip(MISTAKES, told, strict=True):
        assert (got, out, libraries) == (code, "", []), line
        assert err.startswith("error: "), line
        assert word in err, line
        assert err.count("\n") == 1, line
    assert not (tmp_path / "nowhere").exists()


def test_readers_refuse_a_workspace_that_is_not_there(tmp_path: Path) -> None:
    for line, (got, err, out, libraries) in zip(READERS, ended(READERS, tmp_path / "no"), strict=True):
        assert (got, out, libraries) == (66, "", []), line
        assert err == (
            f"error: no workspace; got {tmp_path / 'no'}. Train a model first, or name the workspace with "
            "--workspace or SERVABLE_WORKSPACE\n"
        ), line
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("reader", [line for line in READERS if line[0] not in ("serve", "sync", "prune")])
def test_an_unknown_model_is_refused_as_quickly(reader: tuple[str, ...], tmp_path: Path, told: dict) -> None:
    code, err, _, libraries = told[reader]
    assert libraries == [], err
    if reader[0] not in ("models", "runs"):
        assert (code, "x" in err) == (66, True), err


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What each reader answers in an empty workspace."""
    lines = [line for line in READERS if line[0] not in ("serve", "sync", "prune")]
    return dict(zip(lines, ended(lines, tmp_path_factory.mktemp("empty")), strict=True))
