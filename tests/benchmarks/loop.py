"""How long a person waits who changes a setting and trains again, beside a bare script of the same work."""

import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.benchmarks import serving
from tests.benchmarks.features import PHOTOS
from tests.benchmarks.image_classification import MODULE
from tests.benchmarks.table import ROOT, Table, machine
from tests.trained import command

#: Times that the bare script and the later runs are timed, turn by turn; the best of each counts.
TURNS = 2
#: Seconds that commands may take, by name, for people to call them quick.
TARGETS = {"--help": 1.0, "models": 1.0, "status": 1.0, "predict": 1.5}
BARE, FIRST, SECOND, LOCAL = "bare script", "first run", "second run", "second run, --local"
#: A Prefect server is kept between the runs, as it is for people.
KEPT = {"SERVABLE_PREFECT_IDLE_SECONDS": "60"}


def loop() -> Table:
    """Train on ants and bees as a person does, run by run, and by a bare script; then ask."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.unpack_archive(PHOTOS, folder / "data", filter="data")
        (data,) = (folder / "data").iterdir()
        seconds = _trainings(folder, data)
        commands = _commands(_workspace(folder, TURNS), sorted((data / "val").glob("*/*"))[0])
    bare, targets = seconds[BARE], {FIRST: "35 s", SECOND: "1.5 times"}
    rows = [
        (work, f"{took:.1f}", f"{took / bare:.2f}", targets.get(work, "")) for work, took in seconds.items()
    ]
    rows += [
        (f"`servable {work}`", f"{took:.2f}", "", f"{TARGETS[work]} s") for work, took in commands.items()
    ]
    prose = (
        "`servable train image-classification` on ants and bees, recipe frozen, with Prefect and MLflow: "
        "in an empty workspace, and again with the features cached. The bare script imports TensorFlow, "
        "loads the hub module, trains the same head on cached features, saves a SavedModel with the same "
        "signatures, loads it in a fresh process and asks it ten photos. Turn by turn, the best of "
        f"{TURNS}; {machine()}."
    )
    return Table("loop", "The loop", prose, ("work", "seconds", "to the bare script", "target"), rows)


def _trainings(folder: Path, data: Path) -> dict[str, float]:
    _step("features", data, folder)
    turns = [_turn(folder, data, _workspace(folder, turn)) for turn in range(1, TURNS + 1)]
    return {name: min(turn[name] for turn in turns) for name in turns[0]}


def _workspace(folder: Path, turn: int) -> Path:
    return folder / f"workspace-{turn}"


def _turn(folder: Path, data: Path, workspace: Path) -> dict[str, float]:
    line = ["train", "image-classification", "--data", data, "--name", "ants", "--seed", 1, "--force"]
    line += ["--set", f"model.backbone={MODULE}"]
    return {
        BARE: _timed(lambda: _bare(folder, data)),
        FIRST: _timed(lambda: _servable(workspace, *line)),
        SECOND: _timed(lambda: _servable(workspace, *line)),
        LOCAL: _timed(lambda: _servable(workspace, *line, "--local")),
    }


def _bare(folder: Path, data: Path) -> None:
    shutil.rmtree(folder / "bare", ignore_errors=True)
    _step("train", data, folder)
    _step("ask", data, folder)


def _step(name: str, data: Path, folder: Path) -> None:
    script = [sys.executable, "-m", "tests.benchmarks.bare_loop", name, str(data), str(folder)]
    subprocess.run(script, cwd=ROOT, check=True, capture_output=True)


def _commands(workspace: Path, photo: Path) -> dict[str, float]:
    with _server(workspace) as target:
        lines = {
            "--help": ("--help",),
            "models": ("models",),
            "status": ("status", "ants", "--target", target),
            "predict": ("predict", "ants", photo, "--target", target),
        }
        return {
            name: min(_timed(lambda line=line: _servable(workspace, *line)) for _ in range(3))
            for name, line in lines.items()
        }


@contextlib.contextmanager
def _server(workspace: Path) -> Iterator[str]:
    port, rest = serving._free(), serving._free()
    line = [sys.executable, "-m", "serving", f"--port={port}", f"--rest_api_port={rest}"]
    line += ["--model_name=ants", f"--model_base_path={workspace / 'repository' / 'ants'}"]
    with serving._running(line):
        yield f"127.0.0.1:{port}"


def _servable(workspace: Path, *line: object) -> None:
    done = command(*line, workspace=workspace, timeout=3600, **KEPT)
    assert done.returncode == 0, done.stderr


def _timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
