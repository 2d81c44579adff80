"""``servable tune`` against the default recipe, on a test split that the search never sees; killed once."""

import csv
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks import audio, texts
from tests.benchmarks.table import ROOT, SHARED, Table, machine
from tests.benchmarks.trainings import trained
from tests.trained import PROGRAM, clean_environment, command

MINUTES = float(os.environ.get("SERVABLE_TUNE_MINUTES", "12"))
#: What the search has noted when it is killed.
KILLED_AT = "trial 1:"
COLUMNS = ("data", "default recipe", "tuned", "difference", "95 % interval")
COLUMNS += ("validation: default", "validation: best", "trials", "ended early", "trials before the kill")
COLUMNS += ("minutes", "settings of the best trial")


@dataclass(frozen=True)
class Case:
    """A set of data with one test split.

    Attributes:
        label: what it is.
        task: its kind.
        write: puts a table into a folder and returns its path.
        options: of both trainings.
    """

    label: str
    task: str
    write: Callable[[Path], Path]
    options: tuple[str, ...]


def tune() -> Table:
    """Train the default recipe, search, train the best settings, and compare both on the test split."""
    with tempfile.TemporaryDirectory() as name:
        rows = [_row(Path(name) / str(number), case) for number, case in enumerate(CASES)]
    prose = (
        f"`servable tune --minutes {MINUTES:g}` without `--set`: the usual settings, around those of the "
        "default recipe. It is killed with SIGKILL after its second trial, and repeated for the time left. "
        "Accuracies are those of the test split, one training each with seed 0, on the same data and splits. "
        f"The interval is that of the difference on the same examples (`servable compare`); {machine()}."
    )
    return Table("tune", "Searches for better settings", prose, COLUMNS, rows)


def _row(folder: Path, case: Case) -> tuple[object, ...]:
    folder.mkdir()
    data = case.write(folder)
    trained(folder, case.task, data, "default", *case.options)
    line = ["tune", case.task, "--data", str(data), "--name", "tuned", *case.options, "--json"]
    begin = time.monotonic()
    before = _killed(folder, [*line, "--minutes", f"{MINUTES:g}"])
    left = MINUTES - (time.monotonic() - begin) / 60
    done = command(*line, "--minutes", f"{left:.2f}", workspace=folder / "workspace", timeout=3 * 3600)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    compared = command("compare", "default", "tuned", "--json", workspace=folder / "workspace")
    assert compared.returncode == 0, compared.stderr
    return _cells(case.label, found, json.loads(compared.stdout.splitlines()[-1]), before)


def _cells(label: str, found: dict[str, Any], compared: dict[str, Any], before: int) -> tuple[object, ...]:
    accuracy = next(each for each in compared["metrics"] if each["metric"] == "test/accuracy")
    ended = [each for each in found["trials"] if each["state"] == "ended early"]
    minutes = sum(each["seconds"] or 0 for each in found["trials"]) / 60
    settings = ", ".join(f"{key}={_short(value)}" for key, value in found["params"].items())
    return (
        f"{label}, {compared['examples']:,} test examples",
        f"{accuracy['first']:.4f}",
        f"{accuracy['second']:.4f}",
        f"{accuracy['difference']:+.4f}",
        f"{accuracy['low']:+.3f} to {accuracy['high']:+.3f}",
        "-" if found["own"] is None else f"{found['own']:.4f}",
        f"{found['value']:.4f}",
        len(found["trials"]),
        len(ended),
        before,
        f"{minutes:.1f}",
        settings,
    )


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _killed(folder: Path, line: list[str]) -> int:
    """Begin a search and kill it after its second trial; return how many trials it had finished."""
    process = subprocess.Popen(
        [*PROGRAM, *line],
        cwd=ROOT,
        env=clean_environment(folder / "workspace"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    trials = 0
    for printed in process.stderr:
        trials += printed.startswith("trial ")
        if printed.startswith(KILLED_AT):
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stderr.close()
    return trials


def _sounds(folder: Path) -> Path:
    """Unpack the sounds, and make the last of the five folds the test split."""
    source = audio.unpacked_scenes(folder)
    with source.open(newline="") as stream:
        rows = [
            (row["file"], row["class"], "test" if row["fold"] == "5" else "train")
            for row in csv.DictReader(stream)
        ]
    table = source.parent / "split.csv"
    with table.open("w", newline="") as stream:
        csv.writer(stream).writerows([("file", "class", "split"), *rows])
    return table


def _sentences(folder: Path) -> Path:
    return texts.with_test_fold(SHARED / "data" / "text_subj", folder, "0")


CASES = (
    Case(
        "audio_env5, fold 5",
        audio.TASK,
        _sounds,
        (
            *("--input-column", "file", "--target-column", "class", "--split-column", "split"),
            *("--set", "data.validation_fraction=0.25", "--local"),
        ),
    ),
    Case("text_subj, fold 0", texts.TASK, _sentences, ("--local",)),
)
