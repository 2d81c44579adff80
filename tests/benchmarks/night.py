"""All benchmarks of a set, one after the other, unattended: what fails or hangs does not stop the rest.

Each runs in a process of its own, within a time limit. What was finished for the commit at hand is left out
the next time, so that an interrupted night goes on where it was.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.benchmarks.table import ROOT

#: Where it is noted what was finished, for which commit.
RECORDS = ROOT / "workspace" / "benchmarks"
#: Minutes of a benchmark, and of those that take longer.
MINUTES = 60
LONGER: Mapping[str, int] = {
    "speakers": 90,
    "scenes": 120,
    "faces": 90,
    "translations": 240,
    "reviews": 120,
    "subjectivity": 120,
    "phrases": 120,
    "kills": 120,
}
#: Seconds that a process gets to end by itself.
_GRACE = 30
DONE, FAILED, LATE, SKIPPED = "done", "failed", "out of time", "done before"


@dataclass(frozen=True)
class Entry:
    """How a benchmark went: its name, what became of it, and seconds."""

    name: str
    outcome: str
    seconds: float = 0.0


def commit() -> str | None:
    """Name the last commit that changed more than documentation; None with changes not committed."""
    beside_docs = ("--", ".", ":(exclude)docs", ":(exclude)*.md")
    if _git("status", "--porcelain", *beside_docs):
        return None
    return _git("log", "-1", "--format=%H", *beside_docs) or None


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def finished(name: str, at: str | None, records: Path = RECORDS) -> bool:
    """Return whether a benchmark was finished for a commit."""
    try:
        noted = json.loads((records / f"{name}.json").read_text())
    except (OSError, ValueError):
        return False
    return at is not None and noted.get("commit") == at


def note(entry: Entry, at: str | None, records: Path = RECORDS) -> None:
    """Note that a benchmark is finished for a commit."""
    records.mkdir(parents=True, exist_ok=True)
    (records / f"{entry.name}.json").write_text(json.dumps({"commit": at, **asdict(entry)}))


def run(name: str, command: Sequence[str], minutes: float) -> Entry:
    """Run one benchmark; what it started ends with it."""
    begin = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    try:
        outcome = FAILED if process.wait(60 * minutes) else DONE
    except subprocess.TimeoutExpired:
        outcome = LATE
    finally:
        _end(process)
    return Entry(name, outcome, time.monotonic() - begin)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process, and what is left of its session."""
    _signal(process, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE)
    _signal(process, signal.SIGKILL)
    process.wait()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


def whole(kind: str, names: Sequence[str], again: bool, records: Path = RECORDS) -> list[Entry]:
    """Run the benchmarks of a set that are not finished for this commit; print a summary.

    Args:
        kind: name of the set, as on the command line.
        names: of its benchmarks.
        again: run those that are finished, too.
        records: folder of the notes.
    """
    at, entries = commit(), []
    for name in names:
        if not again and finished(name, at, records):
            entries.append(Entry(name, SKIPPED))
            continue
        command = (sys.executable, "-m", "tests.benchmarks", kind, name)
        entries.append(run(name, command, LONGER.get(name, MINUTES)))
        if entries[-1].outcome == DONE:
            note(entries[-1], at, records)
    print(summary(entries), flush=True)
    return entries


def summary(entries: Sequence[Entry]) -> str:
    """Write a line for each benchmark, and how many there are of each outcome."""
    lines = [f"{entry.name:<22}{entry.outcome:<14}{entry.seconds:>8.0f} s" for entry in entries]
    counts = {
        outcome: sum(entry.outcome == outcome for entry in entries)
        for outcome in (DONE, SKIPPED, LATE, FAILED)
    }
    return "\n".join([*lines, ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)])
