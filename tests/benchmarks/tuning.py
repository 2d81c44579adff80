"""``servable tune`` against the default recipe, on test splits that no search sees; each is killed once."""

import csv
import json
import os
import signal
import statistics
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

#: Of the searches of all folds of a set.
MINUTES = float(os.environ.get("SERVABLE_TUNE_MINUTES", "30"))
#: What the search has noted when it is killed.
KILLED_AT = "trial 1:"
HEADS = ("test fold", "examples", "default recipe", "tuned", "difference", "95 % interval")
HEADS += ("validation, default recipe", "validation, best trial", "trials", "ended early", "before the kill")
HEADS += ("minutes of all trials", "settings of the best trial")


@dataclass(frozen=True)
class Case:
    """A set of data with folds.

    Attributes:
        name: of the benchmark.
        label: the set.
        task: its kind.
        folds: that are the test split, each in its turn.
        write: puts a table with a fold as its test split into a folder, and returns its path.
        options: of both trainings.
    """

    name: str
    label: str
    task: str
    folds: tuple[str, ...]
    write: Callable[[Path, str], Path]
    options: tuple[str, ...] = ()


def sounds() -> Table:
    """Search for settings of environmental sounds."""
    columns = ("--input-column", "file", "--target-column", "class", "--split-column", "split")
    return _table(Case("tune-sounds", "audio_env5", audio.TASK, tuple("12345"), _sounds, columns))


def sentences() -> Table:
    """Search for settings of subjective and objective sentences."""
    return _table(Case("tune-texts", "text_subj", texts.TASK, ("0",), _sentences))


def _table(case: Case) -> Table:
    """Of each fold train the default recipe, search, train the best settings, and compare both."""
    rows = []
    for fold in case.folds:
        with tempfile.TemporaryDirectory() as name:
            rows.append((fold, *_row(Path(name), case, fold)))
    prose = (
        f"`servable tune --minutes {_minutes(case):g}` without a range of settings: the usual ones, around "
        "those of the default recipe. It is killed (SIGKILL) after its second trial, and repeated for the "
        "time left. Accuracies are those of the test split, one training each with seed 0, on the same data "
        "and splits. The interval is that of the difference on the same examples (`servable compare`); "
        f"{machine()}."
    )
    if len(rows) > 1:
        rows.append(_mean(rows))
    return Table(case.name, f"Search for better settings: {case.label}", prose, HEADS, rows)


def _minutes(case: Case) -> float:
    return MINUTES / len(case.folds)


def _mean(rows: list[tuple[Any, ...]]) -> tuple[object, ...]:
    first, second = (statistics.mean(float(row[place]) for row in rows) for place in (2, 3))
    figures = (f"{first:.4f}", f"{second:.4f}", f"{second - first:+.4f}")
    return ("mean", "-", *figures, *["-"] * (len(HEADS) - 5))


def _row(folder: Path, case: Case, fold: str) -> tuple[object, ...]:
    data = case.write(folder, fold)
    options = (*case.options, "--local")
    trained(folder, case.task, data, "default", *options)
    line = ["tune", case.task, "--data", str(data), "--name", "tuned", *options, "--json"]
    begin = time.monotonic()
    before = _killed(folder, [*line, "--minutes", f"{_minutes(case):g}"])
    left = _minutes(case) - (time.monotonic() - begin) / 60
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


def _sounds(folder: Path, fold: str) -> Path:
    """Unpack the sounds, and make one of the five folds the test split."""
    source = audio.unpacked_scenes(folder)
    with source.open(newline="") as stream:
        rows = [
            (row["file"], row["class"], "test" if row["fold"] == fold else "train")
            for row in csv.DictReader(stream)
        ]
    table = source.parent / "split.csv"
    with table.open("w", newline="") as stream:
        csv.writer(stream).writerows([("file", "class", "split"), *rows])
    return table


def _sentences(folder: Path, fold: str) -> Path:
    return texts.with_test_fold(SHARED / "data" / "text_subj", folder, fold)
