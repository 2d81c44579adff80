"""What a report is made of: a training with its dataset, network and measurements, each loaded once."""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from features.errors import DataError
from flows.reports.media import MEDIA, Media
from flows.runs.plan import Plan
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
        rows = json.loads((self.record.run.path / "history.json").read_text())
        return [{"phase": row["phase"], **by_split(row["metrics"])} for row in rows]

    def measured_example(self, place: int, lines: Sequence[str]) -> tuple[Media, bytes]:
        """Show one of the measured examples.

        Args:
            place: among the measured examples.
            lines: below it.

        Returns:
            The item of a gallery, and the raw example; empty if it cannot be read any more.
        """
        row = self.dataset.measured.iloc[place]
        raw = b""
        with contextlib.suppress(DataError):
            raw = self.dataset.read(row)
        return MEDIA[self.plan.task.raw.name](raw, str(row["name"]), lines), raw
