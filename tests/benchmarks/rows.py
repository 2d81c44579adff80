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
from features.ingest.verdict import Verdict
from features.ingest.verdict_index import VerdictIndex
from features.sources.files.candidates import Candidate, Source
from features.spec import IMAGE, silent
from features.targets.classes import CLASS
from tests.benchmarks.table import ROOT, Table, machine

CLASSES = 100
#: More than the machine holds: beyond it a size is extrapolated.
SIZES = (100_000, 1_000_000)
LARGEST = 10_000_000


def rows() -> Table:
    """Measure each stage at two sizes in a process of its own, and extrapolate to the largest."""
    measured = {size: _measured(size) for size in SIZES}
    small, large = (measured[size] for size in SIZES)
    factor, more = SIZES[1] / SIZES[0], LARGEST / SIZES[1]
    lines = []
    for stage, (seconds, memory) in large.items():
        growth = seconds / small[stage][0] / factor if small[stage][0] else float("nan")
        cells = (f"{small[stage][0]:.2f}", f"{seconds:.1f}", f"{growth:.2f}", f"{seconds * more:.0f}")
        lines.append((stage, *cells, f"{memory / 2**30:.2f}", f"{memory * more / 2**30:.0f}"))
    prose = (
        f"Generated verdicts on images in {CLASSES} classes, one in 50 a copy; {machine()}. Seconds of "
        "computing. Growth is the time for 1M rows, divided by ten times that for 0.1M: 1 is linear. Memory "
        "is the highest so far. The figures for 10M rows are ten times those for 1M, not measured."
    )
    columns = ("stage", "s, 0.1M", "s, 1M", "growth", "s, 10M", "GiB, 1M", "GiB, 10M")
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
    examples = [_example(number) for number in range(size)]
    clock("examples in memory")
    with VerdictIndex(root / "index.sqlite", {}) as index:
        paths = [example.candidate.path for example in examples if example.candidate.path]
        for start in range(0, size, 500):
            part = examples[start : start + 500]
            index.add((one.candidate.path, one.verdict) for one in part if one.candidate.path)
        clock("remember verdicts")
        index.find(paths, [example.verdict.stamp for example in examples])
        clock("look verdicts up")
    del paths
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


def _example(number: int) -> Example:
    content = number if number % 50 else 0 if number == 0 else number - CLASSES
    hashed = f"{content:064x}"
    path = f"/data/class {number % CLASSES}/photo-{number:09d}.jpg".encode()
    label = f"class {number % CLASSES}"
    measures: dict[str, Any] = {"width": 640, "height": 480, "orientation": 1}
    stamp = (50_000 + number % 1000, number, number, number)
    verdict = Verdict(
        hashed, 50_000 + number % 1000, stamp, format="jpeg", identity=hashed, measures=measures
    )
    return Example(
        Candidate(path, f"class {number % CLASSES}/photo-{number:09d}.jpg", label), verdict, label, None
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(stages(int(sys.argv[1]), Path(folder))))
