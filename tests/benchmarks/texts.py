"""Texts: what the recipes reach on real data."""

import csv
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.benchmarks import words
from tests.benchmarks.table import SHARED, Table, machine
from tests.benchmarks.trainings import cell, repeated, trained

DATA = SHARED / "data"
HUB = SHARED / "hub"
GLOVE = ("--set", f"model.vectors={HUB / 'glove_twitter_25d_text_embedding'}")
REVIEWS = ("--set", f"model.vectors={HUB / 'avg_word_vec_16d_text_embedding'}")
TASK = "text-classification"

Row = tuple[str, ...]


def sentences() -> Table:
    """Train the default recipe on SST-2, as it is split."""
    return _of_recipes("sentences", "SST-2, sentences alone, recipe cnn (target 0.826)", ("cnn",))


def other_networks() -> Table:
    """Train the other recipes over words on the same."""
    names = ("cnn-subwords", "gru", "lstm", "simple-rnn")
    return _of_recipes("other-networks", "SST-2, sentences alone, the other recipes over words", names)


def _of_recipes(name: str, title: str, recipes: tuple[str, ...]) -> Table:
    with _rows() as (rows, folder):
        for recipe in recipes:
            options = ("--recipe", recipe)
            rows.append(_row(recipe, repeated(folder, TASK, DATA / "text_sst2", recipe, *options)))
    return _table(name, title, rows)


def vectors() -> Table:
    """Train the cnn recipe on one fold of film sentences: with random vectors, GloVe's, and our own."""
    with _rows() as (rows, folder):
        data = with_test_fold(DATA / "text_mr", folder, "0")
        corpus = words.gathered(folder / "corpus")
        known = (text for _, text, fold in _folded(DATA / "text_mr") if fold != "0")
        # A blank line after each: short lines would run on into the next, as those of the book do.
        (corpus / "sentences.txt").write_text("".join(f"{text}\n\n" for text in known), encoding="utf-8")
        quick = ("training.reproducible=false", "training.workers=2", "featurizer.wrapped=80")
        trained(folder, words.TASK, corpus, "words", *(part for one in quick for part in ("--set", one)))
        ours = ("--set", "model.vectors=words", "--set", "model.channels=multichannel")
        for label, name, given in (
            ("random vectors", "random", ()),
            ("GloVe of 25", "glove", GLOVE),
            ("sentiment of film reviews, 16", "sentiment", REVIEWS),
            ("skip-gram on our corpora and the training sentences, multichannel", "ours", ours),
        ):
            rows.append(_row(label, repeated(folder, TASK, data, name, "--recipe", "cnn", *given)))
    return _table("vectors", "Film sentences, fold 0, recipe cnn: given vectors and random ones", rows)


def reviews() -> Table:
    """Cross-validate the cnn recipe on film sentences."""
    with _rows() as (rows, folder):
        data = _with_folds(DATA / "text_mr", folder)
        outcome = trained(folder, TASK, data, "reviews", "--fold-column", "fold")
        rows.append(_row("10 folds", outcome, timed=True))
    return _table("reviews", "Film sentences, recipe cnn (targets 0.761 and 1,500 seconds)", rows)


def phrases() -> Table:
    """Cross-validate the default recipe on phrases of opinion; copies of a phrase stay in one fold."""
    with _rows() as (rows, folder):
        data = _with_folds(DATA / "text_mpqa", folder)
        keep = ("--fold-column", "fold", "--set", "data.conflicts=keep")
        outcome = trained(folder, TASK, data, "phrases", *keep)
        rows.append(_row("10 folds", outcome, timed=True))
    return _table("phrases", "MPQA phrases, recipe cnn (target 0.855)", rows)


def subjectivity() -> Table:
    """Cross-validate the default recipe on subjective and objective sentences."""
    with _rows() as (rows, folder):
        data = _with_folds(DATA / "text_subj", folder)
        outcome = trained(folder, TASK, data, "subjectivity", "--fold-column", "fold")
        rows.append(_row("10 folds", outcome, timed=True))
    return _table("subjectivity", "Subj, recipe cnn (target 0.920, aim 0.93)", rows)


def surnames() -> Table:
    """Train the character-gru recipe on surnames of 18 languages."""
    with _rows() as (rows, folder):
        options = ("--recipe", "character-gru")
        rows.append(_row("as split", repeated(folder, TASK, DATA / "text_names", "names", *options)))
    return _table("surnames", "Surnames, recipe character-gru (targets 0.80 and macro F1 0.55)", rows)


@contextmanager
def _rows() -> Iterator[tuple[list[Row], Path]]:
    with tempfile.TemporaryDirectory() as name:
        yield [], Path(name)


def _table(name: str, title: str, rows: list[Row]) -> Table:
    """Make the table; only the seconds of what is timed are shown, which has the machine to itself."""
    columns = ("training", "accuracy", "spread or 95 % interval", "macro F1", "linear baseline")
    columns = (*columns, "seconds, whole command")
    return Table(name, title, f"Through `servable train`; {machine()}.", columns[: len(rows[0])], rows)


def _row(label: str, outcome: tuple[dict[str, Any], float], timed: bool = False) -> Row:
    summary, wall = outcome
    metrics = summary["metrics"]
    folds = "cv/accuracy_mean" in metrics
    value = cell(summary, "cv/accuracy_mean" if folds else "test/accuracy")
    spread = f"{metrics['test/accuracy_low']:.3f} to {metrics['test/accuracy_high']:.3f}"
    if folds:
        spread = f"deviation {metrics['cv/accuracy_std']:.3f}"
    linear = f"{metrics['test/linear_accuracy']:.4f}" if "test/linear_accuracy" in metrics else "-"
    return (label, value, spread, f"{metrics['test/macro_f1']:.3f}", linear, *((f"{wall:.0f}",) * timed))


def _with_folds(source: Path, folder: Path) -> Path:
    """Write a table of a set's rows with the fold of each beside it."""
    return _write(folder / f"{source.name}.csv", "fold", _folded(source))


def with_test_fold(source: Path, folder: Path, fold: str) -> Path:
    """Write a table of a set's rows in which one fold is the test split."""
    rows = ((*row, "test" if own == fold else "train") for *row, own in _folded(source))
    return _write(folder / f"{source.name}.csv", "split", rows)


def _folded(source: Path) -> Iterator[Row]:
    lines = (source / "all.tsv").read_text(encoding="utf-8").splitlines()[1:]
    folds = (source / "folds.txt").read_text().split()
    return ((*line.split("\t"), fold) for line, fold in zip(lines, folds, strict=True))


def _write(table: Path, last: str, rows: Iterator[Row]) -> Path:
    with table.open("w", newline="", encoding="utf-8") as stream:
        lines = csv.writer(stream)
        lines.writerow(["label", "text", last])
        lines.writerows(rows)
    return table
