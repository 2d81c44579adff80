"""What the training examples of a release look like: described once, and kept with its run."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from features.spec import TEXT, Progress
from features.storage.arrow import open_for_arrow
from features.storage.files import write_file
from flows.monitoring.observation import Observer, table
from flows.queries.requests import Request
from flows.runs.finished import Finished
from models.monitoring import measures
from models.monitoring.answers import ANSWER

#: Examples that are described at most: of the training split; of those held out of it, with their answers.
MOST_TRAINING, MOST_HELD_OUT = 5_000, 2_000


@dataclass(frozen=True)
class Reference:
    """The training examples of a release.

    What depends on what the model has learnt, its answers and the words it never saw, is taken from examples
    held out of training: of its own training examples a model is surer than of any others.

    Attributes:
        training: measures of the training split, one row an example.
        held_out: measures of inputs and answers of the validation and test split.
    """

    training: pd.DataFrame
    held_out: pd.DataFrame

    @property
    def samples(self) -> dict[str, pd.Series]:
        """The sample of each measure by its name."""
        return {
            str(name): (self.held_out if _is_learnt(str(name)) else self.training)[name]
            for name in dict.fromkeys((*self.training, *self.held_out))
            if _is_learnt(str(name)) or name in self.training
        }


def _is_learnt(measure: str) -> bool:
    return measure == measures.UNKNOWN_WORDS or measure.startswith(f"{ANSWER} ")


def vocabulary(trained: Finished) -> list[str]:
    """Return the words of all training texts, counted once; none where examples are no texts."""
    if trained.plan.task.raw != TEXT:
        return []
    file = _folder(trained) / "words.json"
    if file.is_file():
        known: list[str] = json.loads(file.read_text("utf-8"))
        return known
    words = sorted(set().union(*map(measures.words, trained.dataset.examples("train"))))
    file.parent.mkdir(exist_ok=True)
    write_file(file, json.dumps(words, ensure_ascii=False))
    return words


def reference(trained: Finished, observer: Observer, progress: Progress) -> Reference:
    """Return the description of a release's training examples; the first call makes it.

    Args:
        trained: the training that the release came from.
        observer: of the release.
        progress: told how many examples are described.

    Raises:
        NoInputError: it was not described before, and its dataset is gone.
        DataError: an example of it has changed.
    """
    files = [_folder(trained) / f"{part}.parquet" for part in ("training", "held_out")]
    if not all(file.is_file() for file in files):
        _describe(trained, observer, files, progress)
    return Reference(*map(_read, files))


def _read(file: Path) -> pd.DataFrame:
    with open_for_arrow(file) as opened:
        return pd.read_parquet(opened)


def _folder(trained: Finished) -> Path:
    return trained.run.path / f"described-{measures.REVISION}"


def _describe(trained: Finished, observer: Observer, files: Sequence[Path], progress: Progress) -> None:
    dataset = trained.dataset
    frame = dataset.frame
    training, others = (frame[(frame["split"] == "train") == held] for held in (True, False))
    # Where cross-validation left nothing out there is nothing better than the training examples.
    chosen = _some(others if len(others) else training, MOST_HELD_OUT)
    held_out = observer.observe(_requests(dataset, observer, chosen), "answer held-out examples", progress)
    rows = []
    for done, row in enumerate((some := _some(training, MOST_TRAINING)).itertuples(), start=1):
        rows.append(observer.describe(dataset.read(row)))
        progress("describe training examples", done, len(some))
    files[0].parent.mkdir(exist_ok=True)
    for file, described in zip(files, (table(rows), held_out.table), strict=True):
        write_file(file, described.to_parquet(index=False))


def _some(frame: Any, most: int) -> Any:
    return frame if len(frame) <= most else frame.sample(most, random_state=0).sort_index()


def _requests(dataset: Any, observer: Observer, frame: Any) -> list[Request]:
    def made() -> Iterator[Request]:
        for row in frame.itertuples():
            yield Request(str(row.name), partial(_arrays, dataset, observer.raw.input, row), None)

    return list(made())


def _arrays(dataset: Any, name: str, row: Any) -> dict[str, np.ndarray]:
    return {name: np.array([dataset.read(row)], dtype=object)}
