"""Texts: what the recipes reach on real data."""

import csv
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks.image_classification import trained
from tests.benchmarks.table import SHARED, Table, machine

DATA = SHARED / "data"
TASK = "text-classification"


def texts() -> Table:
    """Train the recipes on film sentences, phrases and surnames."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mr, mpqa = (_with_folds(DATA / source, folder) for source in ("text_mr", "text_mpqa"))
        by_fold = ("--recipe", "cnn", "--fold-column", "fold")
        keep = ("--set", "data.conflicts=keep")
        hub = ("--set", f"model.vectors={SHARED / 'hub' / 'glove_twitter_25d_text_embedding'}")
        sst, names = DATA / "text_sst2", DATA / "text_names"
        rows = [
            _row("SST-2, cnn (target 0.81)", trained(folder, TASK, sst, "sst-cnn", "--recipe", "cnn")),
            _row("SST-2, gru", trained(folder, TASK, sst, "sst-gru", "--recipe", "gru")),
            _row("SST-2, cnn, GloVe of 25", trained(folder, TASK, sst, "sst-glove", "--recipe", "cnn", *hub)),
            _row("MR, 10 folds, cnn (target 0.761)", trained(folder, TASK, mr, "mr", *by_fold)),
            _row("MPQA, 10 folds, cnn (target 0.846)", trained(folder, TASK, mpqa, "mpqa", *by_fold, *keep)),
            _row(
                "surnames, character-gru (targets 0.80 and 0.55)",
                trained(folder, TASK, names, "names", "--recipe", "character-gru"),
            ),
        ]
    columns = ("training", "accuracy", "spread or 95 % interval", "macro F1", "seconds, whole command")
    return Table("texts", "Texts", f"Through `servable train`; {machine()}.", columns, rows)


def _row(label: str, outcome: tuple[dict[str, Any], float]) -> tuple[str, ...]:
    summary, wall = outcome
    metrics = summary["metrics"]
    value = metrics.get("cv/accuracy_mean", metrics["test/accuracy"])
    spread = f"{metrics['test/accuracy_low']:.3f} to {metrics['test/accuracy_high']:.3f}"
    if "cv/accuracy_std" in metrics:
        spread = f"deviation {metrics['cv/accuracy_std']:.3f}"
    return (label, f"{value:.4f}", spread, f"{metrics['test/macro_f1']:.3f}", f"{wall:.0f}")


def _with_folds(source: Path, folder: Path) -> Path:
    """Write a table of a set's rows with the fold of each beside it."""
    lines = (source / "all.tsv").read_text(encoding="utf-8").splitlines()[1:]
    folds = (source / "folds.txt").read_text().split()
    table = folder / f"{source.name}.csv"
    with table.open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["label", "text", "fold"])
        rows.writerows((*line.split("\t"), fold) for line, fold in zip(lines, folds, strict=True))
    return table
