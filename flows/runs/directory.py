"""The folder of one training run, and what is recorded there."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from features.storage.files import write_file
from flows.runs.state import RunState
from flows.workspace import Workspace


@dataclass(frozen=True)
class RunDirectory:
    """The folder of one training run and the names of the files in it."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        """Where training resumes from."""
        return self.path / "checkpoints"

    @property
    def weights(self) -> Path:
        """The trained weights, written once at the end of training."""
        return self.path / "final.npz"

    @property
    def state_file(self) -> Path:
        """What is known of the run: its key, state and the result of every finished step."""
        return self.path / "run.json"

    @property
    def evaluation(self) -> Path:
        """Scores, metrics and figures on the test split."""
        return self.path / "evaluation"

    @property
    def outputs(self) -> Path:
        """The network's outputs on the measured examples, as they are measured."""
        return self.evaluation / "outputs.npy"

    @property
    def scores(self) -> Path:
        """How sure the model is of its answers to the measured examples; only where it says so."""
        return self.evaluation / "scores.npy"

    @property
    def log(self) -> Path:
        """What happened in the run, line by line."""
        return self.path / "run.log"

    @property
    def report(self) -> Path:
        """The self-contained report page."""
        return self.path / "report.html"

    def read(self) -> RunState:
        """Return the recorded state; an empty one for a run that has none yet or an unreadable one."""
        try:
            return RunState.model_validate_json(self.state_file.read_text())
        except (OSError, ValueError):
            return RunState()

    def record(self, **changes: object) -> RunState:
        """Change fields of the recorded state, atomically, and return the whole."""
        state = self.read().changed(changes)
        write_file(self.state_file, state.model_dump_json(indent=1, exclude_defaults=True) + "\n")
        return state


#: What a training with the same key, code and libraries would write again, byte for byte.
REPEATED = ("final.npz", "history.json", "history.jsonl", "clusters.json", "evaluation")


def open_run(
    workspace: Workspace, name: str, key: str, *, restart: bool = False, code: str = ""
) -> RunDirectory:
    """Return the unfinished run with this key to resume, or a new one.

    A new run begins with the weights and scores of the last run that has the same key and code.

    Args:
        workspace: where runs live.
        name: the model.
        key: fingerprint of all that decides the outcome: task, recipe, dataset, seed.
        restart: leave an unfinished run alone and begin anew.
        code: fingerprint of the code and libraries; empty reuses nothing.
    """
    runs = list(_numbered(workspace.runs(name), key))
    if runs and not restart and runs[-1][1].read().state not in ("finished", "refused"):
        return runs[-1][1]
    number = runs[-1][0] + 1 if runs else 1
    run = RunDirectory(workspace.runs(name) / f"{key}-{number}")
    run.path.mkdir(parents=True)
    if runs and code and not restart and runs[-1][1].read().code == code:
        _repeat(runs[-1][1], run)
    return run


def _repeat(earlier: RunDirectory, run: RunDirectory) -> None:
    """Take over what an equal training has come to; its files are only ever replaced, never changed."""
    state = earlier.read()
    if not earlier.weights.is_file() or state.cross_validation is not None:
        return
    for path in map(earlier.path.joinpath, REPEATED):
        if path.is_dir():
            shutil.copytree(path, run.path / path.name)
        elif path.is_file():
            shutil.copy2(path, run.path / path.name)
    run.record(
        code=state.code,
        weights_hash=state.weights_hash,
        validation=state.validation,
        embedding=state.embedding,
        metrics=state.metrics,
    )


def _numbered(folder: Path, key: str) -> Iterator[tuple[int, RunDirectory]]:
    runs = [
        (int(child.name.rpartition("-")[2]), RunDirectory(child))
        for child in (folder.iterdir() if folder.is_dir() else ())
        if child.name.startswith(f"{key}-") and child.name.rpartition("-")[2].isdigit()
    ]
    return iter(sorted(runs, key=lambda pair: pair[0]))
