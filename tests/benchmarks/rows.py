"""What ingest's bookkeeping costs for millions of examples: generated verdicts, no files, nothing decoded."""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from features.datasets import dataset
from features.ingest import copies, ingest_examples, write_snapshot
from features.ingest.examination import Example, Findings
from features.ingest.rules import IngestRules
from features.ingest.verdicts.verdict import Verdict
from features.ingest.verdicts.verdict_index import VerdictIndex
from features.sources.files.candidates import Candidate, Source
from features.spec import IMAGE, silent
from features.targets.classes import CLASS
from tests.benchmarks.table import ROOT, Table, machine

CLASSES = 100
SIZES = (100_000, 1_000_000, 10_000_000)


def rows() -> Table:
    """Measure each stage at three sizes, in a process of its own each."""
    small, middle, large = (_measured(size) for size in SIZES)
    lines = []
    for stage, (seconds, memory) in large.items():
        before, peak = middle[stage]
        growth = f"{seconds / before / (SIZES[2] / SIZES[1]):.2f}"
        memories = (f"{peak / 2**30:.2f}", f"{memory / 2**30:.1f}")
        lines.append((stage, f"{small[stage][0]:.2f}", f"{before:.1f}", f"{seconds:.0f}", growth, *memories))
    prose = (
        f"Generated verdicts on images in {CLASSES} classes, one in 50 a copy; {machine()}. Seconds of "
        "computing. Growth is the time for 10M rows, divided by ten times that for 1M: 1 is linear. Memory "
        "is the highest so far."
    )
    columns = ("stage", "s, 0.1M", "s, 1M", "s, 10M", "growth", "GiB, 1M", "GiB, 10M")
    return Table("rows", "Millions of rows", prose, columns, lines)


def _measured(size: int) -> dict[str, tuple[float, float]]:
    command = [sys.executable, "-m", "tests.benchmarks.rows", str(size)]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    measured: dict[str, tuple[float, float]] = json.loads(output)
    return measured


class _Clock:
    """Seconds of computing and highest memory by stage."""

    def __init__(self) -> None:
        self.figures: dict[str, tuple[float, float]] = {}
        self._begin = time.process_time()

    def __call__(self, stage: str) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        self.figures[stage] = (time.process_time() - self._begin, peak)
        self._begin = time.process_time()


def stages(size: int, root: Path) -> dict[str, tuple[float, float]]:
    """Take generated examples through every stage of an ingest but the scan and the decoding."""
    clock = _Clock()
    candidates = [_candidate(number) for number in range(size)]
    clock("candidates in memory")
    with VerdictIndex(root / "index.sqlite", {}) as index:
        for start in range(0, size, 500):
            numbers = range(start, min(start + 500, size))
            index.add((candidates[number].path or b"", _verdict(number)) for number in numbers)
        clock("remember verdicts")
        paths = [candidate.path or b"" for candidate in candidates]
        verdicts = index.find(paths, [_stamp(number) for number in range(size)])
        clock("look verdicts up")
    examples = [
        Example(candidate, verdict, candidate.label, None)
        for candidate, verdict in zip(candidates, verdicts, strict=True)
        if verdict is not None
    ]
    assert len(examples) == size
    del paths, candidates, verdicts
    findings = Findings(found=size, accepted=examples)
    findings.labels = {f"class {number}": f"class {number}" for number in range(CLASSES)}
    source = Source("class-folders", "generated", b"/data", tuple(findings.labels), (), lambda: iter(()))
    rules = IngestRules()
    findings.accepted = copies.resolve(examples, lambda *_: None)
    clock("contradictions")
    ingest_examples._split(findings, source, CLASS, rules)
    clock("check targets and split")
    duplicates = copies.annotate(findings.accepted)
    card = ingest_examples._card(findings, source, IMAGE, CLASS, rules) | {"duplicates": duplicates}
    clock("copies and card")
    directory = write_snapshot.write(root, "key", findings, CLASS, card, silent)
    clock("write the snapshot")
    del examples, findings
    loaded = dataset.load(directory)
    assert Counter(loaded.frame["split"]) == Counter(card["splits"])
    clock("load the snapshot")
    return clock.figures


def _candidate(number: int) -> Candidate:
    label = f"class {number % CLASSES}"
    name = f"{label}/photo-{number:09d}.jpg"
    return Candidate(f"/data/{name}".encode(), name, label)


def _stamp(number: int) -> tuple[int, int, int, int]:
    return 50_000 + number % 1000, number, number, number


def _verdict(number: int) -> Verdict:
    content = number if number % 50 else 0 if number == 0 else number - CLASSES
    hashed, stamp = f"{content:064x}", _stamp(number)
    measures: dict[str, Any] = {"width": 640, "height": 480, "orientation": 1}
    return Verdict(hashed, stamp[0], stamp, format="jpeg", identity=hashed, measures=measures)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(stages(int(sys.argv[1]), Path(folder))))
