"""Ingest as the fault tests call it: lenient, with the law of conservation checked every time."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from features.datasets.dataset import Dataset
from features.ingest.ingest import ingest
from features.ingest.rules import IngestRules
from features.sources.recognise import Columns
from features.spec import IMAGE
from tests.conftest import ROOT

LENIENT = IngestRules(max_bad_fraction=1.0)


def run(data: Path, rules: IngestRules = LENIENT, **columns: str) -> Dataset:
    """Ingest into a folder beside the data; the law of conservation holds in every run."""
    dataset = ingest(data, raw=IMAGE, columns=Columns(**columns), rules=rules, root=data.parent / "datasets")
    card = dataset.card
    assert card["found"] == card["accepted"] + card["quarantined"] + card["skipped"]
    assert len(dataset.frame) == card["accepted"]
    assert len(records(dataset)) == card["quarantined"]
    return dataset


def records(dataset: Dataset) -> list[dict[str, Any]]:
    return [json.loads(line) for line in dataset.quarantine.read_text("utf-8").splitlines()]


def reasons(dataset: Dataset) -> dict[str, str]:
    """File name to reason."""
    return {Path(entry["path"]).name: entry["reason"] for entry in records(dataset)}


def notes(dataset: Dataset) -> dict[str, set[str]]:
    """File name to its notes."""
    frame = dataset.frame
    return {
        Path(name).name: set(note.split("; ")) if note else set()
        for name, note in zip(frame["name"], frame["note"], strict=True)
    }


_CHILD = """
import os, sys
{first}
from pathlib import Path
from features.ingest.ingest import ingest
from features.ingest.rules import IngestRules
from features.errors import ServableError
from features.sources.recognise import Columns
from features.spec import IMAGE, silent as progress
data = Path(sys.argv[1])
{before}
try:
    dataset = ingest(data, raw=IMAGE, columns=Columns(), rules=IngestRules(max_bad_fraction=1),
                     root=data.parent / "datasets", progress=progress)
except ServableError as error:
    print(error)
    sys.exit(error.exit_code)
{after}
"""


#: Leaves out the comparison of decoders, which takes TensorFlow, among the examples that were accepted.
_UNCOMPARED = "from features.ingest import agreement; agreement.require = lambda *_: None"


def child(
    data: Path,
    *,
    first: str = "",
    before: str = "",
    after: str = "print(dataset.directory)",
    compared: bool = True,
) -> subprocess.Popen[str]:
    """Start an ingest in a process of its own.

    Args:
        data: the source.
        first: what it does before it imports anything.
        before: what it does before it ingests: it may set limits or define `progress`.
        after: what it does with the `dataset`.
        compared: whether the decoders are compared on what was accepted, for which it loads TensorFlow.
    """
    before += "" if compared else f"\n{_UNCOMPARED}"
    code = _CHILD.format(first=first, before=before, after=after)
    return subprocess.Popen(
        [sys.executable, "-c", code, data],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
