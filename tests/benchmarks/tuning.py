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
HEADS = ("test examples", "default recipe, test accuracy", "tuned, test accuracy", "difference")
HEADS += ("95 % interval of the difference", "validation accuracy, default recipe")
HEADS += ("validation accuracy, best trial", "trials", "of them ended early", "trials before the kill")
HEADS += ("minutes of all trials", "settings of the best trial")


@dataclass(frozen=True)
class Case:
    """A set of data with one test split.

    Attributes:
        name: of the benchmark.
        label: the set, and which fold of it is the test split.
        task: its kind.
        write: puts a table into a folder and returns its path.
        options: of both trainings.
    """

    name: str
    label: str
    task: str
    write: Callable[[Path], Path]
    options: tuple[str, ...] = ()


def sounds() -> Table:
    """Search for settings of environmental sounds."""
    columns = ("--input-column", "file", "--target-column", "class", "--split-column", "split")
    larger = ("--set", "data.validation_fraction=0.25")
    return _table(Case("tune-sounds", "audio_env5, fold 5", audio.TASK, _sounds, (*columns, *larger)))


def sentences() -> Table:
    """Search for settings of subjective and objective sentences."""
    return _table(Case("tune-texts", "text_subj, fold 0", texts.TASK, _sentences))


def _table(case: Case) -> Table:
    """Train the default recipe, search, train the best settings, and compare both on the test split."""
    with tempfile.TemporaryDirectory() as name:
        row = _row(Path(name), case)
    prose = (
        f"`servable tune --minutes {MINUTES:g}` without a range of settings: the usual ones, around those of "
        "the default recipe. It is killed (SIGKILL) after its second trial, and repeated for the time left. "
        "Accuracies are those of the test split, one training each with seed 0, on the same data and splits. "
        f"The interval is that of the difference on the same examples (`servable compare`); {machine()}."
    )
    title = f"Search for better settings: {case.label}"
    return Table(case.name, title, prose, ("", "value"), list(zip(HEADS, row, strict=True)))


def _row(folder: Path, case: Case) -> tuple[object, ...]:
    data = case.write(folder)
    options = (*case.options, "--local")
    trained(folder, case.task, data, "default", *options)
    line = ["tune", case.task, "--data", str(data), "--name", "tuned", *options, "--json"]
    begin = time.monotonic()
    before = _killed(folder, [*line, "--minutes", f"{MINUTES:g}"])
    left = MINUTES - (time.monotonic() - begin) / 60
    done = command(*line, "--minutes", f"{left:.2f}", workspace=folder / "workspace", timeout=3 * 3600)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    compared = command("compare", "default", "tuned", "--json", workspace=folder / "workspace")
    assert compared.returncode == 0, compared.stderr
    return _cells(found, json.loads(compared.stdout.splitlines()[-1]), before)


def _cells(found: dict[str, Any], compared: dict[str, Any], before: int) -> tuple[object, ...]:
    accuracy = next(each for each in compared["metrics"] if each["metric"] == "test/accuracy")
    ended = [each for each in found["trials"] if each["state"] == "ended early"]
    minutes = sum(each["seconds"] or 0 for each in found["trials"]) / 60
    settings = ", ".join(f"{key}={_short(value)}" for key, value in found["params"].items())
    return (
        f"{compared['examples']:,}",
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
