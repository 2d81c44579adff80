"""The export step: from trained weights to a candidate SavedModel and the answers it must give."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from features.dataset import Dataset
from flows import networks, orchestration
from flows.plan import Plan
from flows.record import Record
from flows.workspace import write_atomically
from models import export as exporting
from models.export import DEFAULT


def candidate(plan: Plan, record: Record) -> Path:
    """Give the candidate's folder, named like a version so that a server can load it as one."""
    return plan.workspace.candidates / plan.name / record.run.path.name / "1"


def expectations(record: Record) -> Path:
    """Give the folder with raw examples and the training graph's own answers to them."""
    return record.run.path / "parity"


@orchestration.step("export", run_name="export {plan.name}")
def export(plan: Plan, record: Record) -> str:
    """Write the candidate and, beside the run, what the training graph answers to real test files."""
    record.examiner.start()
    dataset = record.load_dataset()
    network = networks.trained(plan, record, dataset)
    raws = sample(dataset, plan.gate.parity_rows)
    directory = candidate(plan, record)
    shutil.rmtree(directory, ignore_errors=True)
    directory.parent.mkdir(parents=True, exist_ok=True)
    functions = exporting.signatures(network, plan.task, dataset.labels)
    write_expectations(expectations(record), raws, exporting.answer(functions[DEFAULT], raws))
    exporting.export(
        network,
        plan.task,
        dataset.labels,
        directory,
        warmup=raws[:4],
        model_name=plan.name,
        functions=functions,
    )
    return str(directory)


def sample(dataset: Dataset, rows: int) -> list[bytes]:
    """Read the first examples of the test split by content hash, topped up from the other splits."""
    frame = dataset.frame.assign(_rank=dataset.frame["split"].map({"test": 0, "validation": 1, "train": 2}))
    chosen = frame.sort_values(["_rank", "sha256"], kind="stable").head(rows)
    return [dataset.read(row) for row in chosen.itertuples()]


def write_expectations(folder: Path, raws: Sequence[bytes], answers: dict[str, np.ndarray]) -> None:
    """Keep raw examples and answers as plain files, so that another process can compare."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number, raw in enumerate(raws):
        (folder / f"{number:04d}.raw").write_bytes(raw)
    plain = {name: value.tolist() for name, value in answers.items() if value.dtype != object}
    texts = {
        name: np.vectorize(lambda cell: cell.decode(), otypes=[object])(value).tolist()
        for name, value in answers.items()
        if value.dtype == object
    }
    write_atomically(folder / "answers.json", json.dumps({"numbers": plain, "texts": texts}))


def read_expectations(folder: Path) -> tuple[list[bytes], dict[str, np.ndarray]]:
    """Read back what write_expectations kept; numbers as float64, texts as objects of str."""
    raws = [path.read_bytes() for path in sorted(folder.glob("*.raw"))]
    content = json.loads((folder / "answers.json").read_text())
    numbers = {name: np.array(value) for name, value in content["numbers"].items()}
    return raws, numbers | {name: np.array(value, dtype=object) for name, value in content["texts"].items()}
