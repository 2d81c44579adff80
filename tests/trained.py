"""One finished training, made by the real flow without Prefect, that many tests look at."""

import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from features.storage.locks import locked
from flows import cli, launch
from flows.console import terminal
from flows.runs.directory import RunDirectory
from flows.runs.plans.plan import Plan, resolve
from flows.runs.plans.request import Request
from flows.runs.run import seen
from flows.workspace import Workspace
from tests import golden, mlflow_store
from tests.conftest import ROOT

#: Each Prefect server ends with the command that started it.
NO_SERVER_KEPT = {"SERVABLE_PREFECT_IDLE_SECONDS": "0"}


@dataclass(frozen=True)
class Trained:
    """A workspace with one published model.

    Attributes:
        data: the source it was trained on.
        workspace: where everything lies.
        summary: what the flow returned.
    """

    data: Path
    workspace: Workspace
    summary: dict[str, Any]

    @property
    def run(self) -> RunDirectory:
        """The training's run folder."""
        return RunDirectory(Path(self.summary["run"]))

    def copy(self, folder: Path) -> "Trained":
        """Copy the workspace and its MLflow store below a folder, for tests that change them."""
        shutil.copytree(self.workspace.root, folder / "workspace")
        shutil.copytree(self.workspace.mlruns, folder / "mlruns")
        copy = Workspace.open(folder / "workspace")
        mlflow_store.move(copy.mlruns, self.workspace.root.parent, folder)
        return Trained(self.data, copy, moved(self.summary, self.workspace.root.parent, folder))

    def request(self, **changes: Any) -> Request:
        """Return the request of the training, with changes."""
        return request(self.summary["task"], self.data, self.workspace.root, **changes)

    def plan(self, **changes: Any) -> Plan:
        """Return the plan of the training, with changes, adapted to its data as the training was."""
        dataset = self.run.read().dataset
        assert dataset is not None, "a finished training has a dataset"
        return resolve(self.request(**changes)).adapted(seen(dataset))


def moved(summary: dict[str, Any], old: Path, new: Path) -> dict[str, Any]:
    """Return a summary whose paths below one folder lie below another."""
    return {k: v.replace(f"{old}/", f"{new}/") if isinstance(v, str) else v for k, v in summary.items()}


def request(task: str, data: Path, root: Path, *, overrides: tuple[str, ...] = (), **changes: Any) -> Request:
    """Make the request of a small training."""
    wanted = {"recipe": golden.RECIPE[task], "name": "golden", "workspace": str(root)} | changes
    return Request(task=task, data=str(data), overrides=(*golden.SMALL[task], *overrides), **wanted)


#: How ``servable`` is run from the checkout.
PROGRAM = (sys.executable, "-m", "flows")


def command(
    *arguments: object,
    workspace: Path,
    timeout: float = 800,
    program: Sequence[str] = PROGRAM,
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """Run ``servable`` in a process of its own, with nothing configured but what is given."""
    return subprocess.run(
        [*program, *map(str, arguments)],
        cwd=ROOT if program is PROGRAM else workspace.parent,
        env=clean_environment(workspace) | environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def command_here(
    capsys: pytest.CaptureFixture[str], *arguments: object, workspace: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run ``servable`` in this process, which has loaded the libraries already."""
    with pytest.MonkeyPatch.context() as environ, warnings.catch_warnings(action="ignore"):
        for name, value in {"SERVABLE_WORKSPACE": str(workspace), **environment}.items():
            environ.setenv(name, value)
        with pytest.raises(SystemExit) as left:
            cli.main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return subprocess.CompletedProcess(arguments, int(left.value.code or 0), printed.out, printed.err)


def clean_environment(workspace: Path) -> dict[str, str]:
    """Return the environment of a command for which nothing but its workspace is configured."""
    foreign = ("MLFLOW", "PREFECT", "SERVABLE", "TFHUB")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return inherited | {"SERVABLE_WORKSPACE": str(workspace)} | NO_SERVER_KEPT


def arguments(request: Request) -> list[str]:
    """Return the command line of a request."""
    options = ["--data", request.data, "--name", request.name, "--seed", str(request.seed), "--json"]
    options += ["--recipe", str(request.recipe)]
    for override in request.overrides:
        options += ["--set", override]
    return ["train", request.task, *options]


def shared(task: str, folders: pytest.TempPathFactory) -> Trained:
    """Train a task on its golden examples, once for all processes that share the tests among them."""
    base = folders.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared" / task
    folder.mkdir(parents=True, exist_ok=True)
    finished = folder / "finished.json"
    with locked(folder / "lock"):
        if not finished.is_file():
            first = train(task, folder / "trained")
            finished.write_text(json.dumps([str(first.data), str(first.workspace.root), first.summary]))
    data, root, summary = json.loads(finished.read_text())
    return Trained(Path(data), Workspace.open(Path(root)), summary)


def train(task: str, folder: Path) -> Trained:
    """Train a task on its golden examples below a folder, in this process: TensorFlow is loaded already."""
    mlflow_store.database(folder / "mlruns")
    data = golden.GOLDEN[task](folder / "data")
    # A command of its own would not turn warnings of libraries into errors either.
    with terminal.hushed(), terminal.progress_bars(quiet=True), warnings.catch_warnings(action="ignore"):
        summary = launch.run(request(task, data, folder / "workspace"), local=True)
    return Trained(data, Workspace.open(folder / "workspace"), summary)
