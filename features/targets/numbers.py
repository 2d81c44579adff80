"""Numbers as targets: one or several columns of a table, each a quantity in its own unit."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from features.decisions import Decisions
from features.errors import DataError
from features.quarantine import RefusedError
from features.sources.files.candidates import Annotations
from features.sources.tables import cells, number_format
from features.sources.tables.number_format import NumberFormat
from features.targets.target import Fitted, Gathered, Readings

if TYPE_CHECKING:
    import pandas
    import pyarrow

#: A value that more than this share of the examples have is a group of its own.
_FLOOD = 0.05
#: Groups of about equal size that the other values are cut into.
_BANDS = 10
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Numbers:
    """One or several numbers, each from a column of its own; float32 in training."""

    name: str = "numbers"
    usual: tuple[str, ...] = ("target", "value", "label", "y")
    several: bool = True
    gaps: bool = False
    annotations: Annotations | None = None
    beside: tuple[str, ...] = ()

    def columns(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return none: one usual name is enough."""
        return ()

    def read(self, written: Collection[str], rules: Any, decisions: Decisions) -> Readings:
        """Read numbers as their columns write them; what is none is refused as ``not_a_number``."""
        rows = {text: cells.cells(text) for text in sorted(written)}
        width = max(map(len, rows.values()), default=0)
        formats = [
            written_as(Counter(row[place].strip() for row in rows.values()), f"column {place + 1}", decisions)
            for place in range(width)
        ]
        return {text: _read(row, formats) for text, row in rows.items()}

    def fit(self, text: str, measures: Mapping[str, Any], rules: Any) -> Fitted:
        """Return the numbers: they depend on no example."""
        return Fitted(text)

    def check(self, gathered: Gathered) -> None:
        """Refuse no example at all, and a number that is the same everywhere.

        Raises:
            DataError: as above.
        """
        if not gathered.texts:
            raise DataError(
                "no usable example",
                got=gathered.instead,
                todo=gathered.todo or "check that the target column holds numbers",
            )
        values = _parsed(gathered.texts)
        constant = np.flatnonzero((values == values[0]).all(axis=0))
        if len(constant):
            which = f"number {constant[0] + 1}" if values.shape[1] > 1 else "the target"
            raise DataError(
                f"{which} is the same in every example",
                got=f"{values[0, constant[0]]:g} in {len(values)} examples; {gathered.instead}",
                expected="different values, to learn what they depend on",
                todo="name another column with --target-column",
            )

    def strata(self, texts: Sequence[str]) -> None:
        """Return None: no value must be in each split."""

    def names(self, texts: Iterable[str], columns: Sequence[str]) -> list[str]:
        """Return the names of the columns."""
        return list(columns)

    def column(self, texts: Sequence[str], names: Sequence[str]) -> "pyarrow.Array":
        """Return a list of float64 for each example, one for each name."""
        import pyarrow

        return pyarrow.array(_parsed(texts).tolist(), pyarrow.list_(pyarrow.float64()))

    def summarise(
        self, texts: Sequence[str], splits: Sequence[str], names: Sequence[str]
    ) -> dict[str, dict[str, Any]]:
        """Describe each number: quantiles, mean, deviation and the most frequent value, by split."""
        values, owners = _parsed(texts), np.asarray(splits)
        parts = {split: values[owners == split] for split in dict.fromkeys(splits)}
        parts = {"all": values, **parts}
        return {
            "numbers": {
                name: {split: _described(part[:, place]) for split, part in parts.items()}
                for place, name in enumerate(names)
            }
        }

    def encode(self, frame: "pandas.DataFrame") -> np.ndarray:
        """Return float32 [examples, numbers]."""
        return np.stack([np.asarray(row, np.float32) for row in frame["target"]])

    def groups(self, encoded: np.ndarray) -> np.ndarray:
        """Return groups of like values of the first number: each frequent value alone, the others by size."""
        first = encoded[:, 0]
        values, counts = np.unique(first, return_counts=True)
        floods = values[counts > _FLOOD * len(first)]
        groups = np.searchsorted(floods, first).astype(np.int32) if len(floods) else np.zeros(len(first), int)
        others = ~np.isin(first, floods)
        if others.any():
            edges = np.unique(np.quantile(first[others], np.linspace(0, 1, _BANDS + 1)[1:-1]))
            groups[others] = len(floods) + np.searchsorted(edges, first[others], side="right")
        return np.unique(groups, return_inverse=True)[1].astype(np.int32)

    def expected(self, width: int) -> str:
        """Name the count of numbers."""
        return f"{width} finite numbers"

    def misfits(self, encoded: np.ndarray, width: int) -> np.ndarray:
        """Return the positions of rows that are not finite; all, where their length is not the network's."""
        if encoded.shape[1] != width:
            return np.arange(len(encoded))
        return np.flatnonzero(~np.isfinite(encoded).all(axis=1))


def standard(frame: "pandas.DataFrame") -> dict[str, list[float]]:
    """Return mean and deviation of each number over the training split of a manifest.

    Raises:
        DataError: a number does not vary there.
    """
    values = np.stack(frame.loc[frame["split"] == "train", "target"].to_list())
    deviation = values.std(axis=0)
    if not deviation.all():
        raise DataError(
            "a target does not vary in the training split",
            got=f"{values[0].tolist()} in all of {len(values)} examples",
            expected="different values",
            todo="choose another data.seed, or add examples",
        )
    return {"mean": values.mean(axis=0).tolist(), "deviation": deviation.tolist()}


def written_as(written: Mapping[str, int], name: str, decisions: Decisions) -> NumberFormat:
    """Choose how a column of targets writes its numbers.

    Args:
        written: its cells, with how often each is there.
        name: of the column, for the decision.
        decisions: takes any other format than the plain one.
    """
    best = number_format.best(number_format.readers(written))
    chosen = number_format.PLAIN if number_format.PLAIN in best else best[0]
    if chosen != number_format.PLAIN:
        first = next((cell for cell in written if chosen.matches(cell)), "")
        decisions.add("target", name, f"numbers written as {chosen}", f"as in {first!r}")
    return chosen


def _read(row: Sequence[str], formats: Sequence[NumberFormat]) -> str | RefusedError:
    numbers = []
    for cell, written in zip(row, formats, strict=False):
        number = written.number(cell.strip())
        if number is None:
            return RefusedError("not_a_number", f"the target is {cell!r}; expected a finite number")
        numbers.append(number)
    return ",".join(f"{number:.17g}" for number in numbers)


def _parsed(texts: Sequence[str]) -> np.ndarray:
    """Parse targets as `_read` writes them: float64 [examples, numbers]."""
    return np.array([[float(number) for number in text.split(",")] for text in texts])


def _described(values: np.ndarray) -> dict[str, float]:
    if not len(values):
        return {"examples": 0}
    unique, counts = np.unique(values, return_counts=True)
    least, lower, median, upper, most = np.quantile(values, _SHARES)
    return {
        "examples": len(values),
        "least": float(least),
        "lower_quartile": float(lower),
        "median": float(median),
        "upper_quartile": float(upper),
        "most": float(most),
        "mean": float(values.mean()),
        "deviation": float(values.std()),
        "most_frequent": float(unique[counts.argmax()]),
        "most_frequent_share": float(counts.max() / len(values)),
    }


NUMBERS = Numbers()
