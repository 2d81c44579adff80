"""What a report is made of: a training with its dataset, network and measurements, each loaded once."""

import contextlib
import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from features.errors import DataError
from flows.reports.pages.media import MEDIA, Media
from flows.runs.plans.plan import Plan
from flows.runs.run import Record
from flows.runs.state import RunState
from flows.steps.evaluate import evaluation
from flows.steps.train import by_split
from models.network import Network


@dataclass(frozen=True)
class Context:
    """A finished training, as the functions that make sections see it."""

    plan: Plan
    record: Record

    @cached_property
    def dataset(self) -> Any:
        """The Dataset or Corpus it was trained on."""
        return self.record.load_dataset()

    @cached_property
    def state(self) -> RunState:
        """What the steps recorded of the run."""
        return self.record.run.read()

    @cached_property
    def network(self) -> Network:
        """The network with its trained weights."""
        return self.record.networks.trained(self.plan, self.record.run, self.dataset)

    @cached_property
    def measured(self) -> Any:
        """The evaluation of the test split."""
        return evaluation(self.plan, self.record, self.dataset)

    @cached_property
    def history(self) -> list[dict[str, Any]]:
        """Phase and metrics of each epoch, named as ``train/loss`` and ``validation/loss``."""
        return epochs(self.record.run.path)

    @cached_property
    def folds(self) -> Mapping[str, list[dict[str, Any]]]:
        """The epochs of the training of each fold, by its name; empty without a cross-validation."""
        path = self.record.run.path / "folds.json"
        folds = json.loads(path.read_text()) if path.is_file() else {}
        return {name: epochs(Path(fold["run"])) for name, fold in folds.items()}

    def measured_example(self, place: int, lines: Sequence[str], tone: str = "") -> tuple[Media, bytes]:
        """Show one of the measured examples.

        Args:
            place: among the measured examples.
            lines: below it.
            tone: whether the answer to it is right, ``good``, or wrong, ``bad``.

        Returns:
            The item of a gallery, and the raw example; empty if it cannot be read any more.
        """
        row = self.dataset.measured.iloc[place]
        raw = b""
        with contextlib.suppress(DataError):
            raw = self.dataset.read(row)
        item = MEDIA[self.plan.task.raw.name](raw, str(row["name"]), lines)
        return replace(item, tone=tone, cells=self._cells(raw)), raw

    def _cells(self, raw: bytes) -> list[tuple[str, str]]:
        """Name the cells of a row; of anything else there are none."""
        if not self.plan.task.raw.rows:
            return []
        names = [str(column["name"]) for column in self.network.featurizer.columns]
        values = next(csv.reader([raw.decode("utf-8", "replace")]), [])
        return list(zip(names, values, strict=False))


def epochs(run: Path) -> list[dict[str, Any]]:
    """Read the epochs of a training from its run's folder; none where it has not ended one."""
    path = run / "history.json"
    rows = json.loads(path.read_text()) if path.is_file() else []
    return [{"phase": row["phase"], **by_split(row["metrics"])} for row in rows]
