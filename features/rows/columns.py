"""What is learnt of a table's columns from the training split."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from features import counts as features_counts
from features.sources.tables import cells as rows
from features.sources.tables import number_format
from features.sources.tables.number_format import NumberFormat

#: What stands for an unknown and for a missing value among the values of a categorical column.
UNKNOWN, MISSING = "[unknown]", "[missing]"


#: What is known of one column: ``name`` and ``kind``; of a numeric one ``mean``, ``deviation`` and ``gaps``
#: (whether values are missing in the training split) and, unless it is plain, ``written``, a NumberFormat; of
#: a categorical one ``vocabulary`` and, where they are words for true and false, ``booleans``.
Column = Mapping[str, Any]


def _format(column: Column) -> NumberFormat:
    written = column.get("written")
    return number_format.parse(written) if written else number_format.PLAIN


def fit(
    lines: Iterable[bytes],
    columns: Mapping[str, rows.Kind],
    missing: Sequence[str],
    min_count: int = 1,
    max_vocabulary: int | None = None,
    numbers: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Measure each column over the training split.

    Args:
        lines: rows as CSV, read once.
        columns: kind by name, in the order of the cells.
        missing: words that stand for a missing value.
        min_count: rarer values of a category are unknown ones.
        max_vocabulary: most known values of a column; None for all.
        numbers: how those of some columns are written, by name.

    Returns:
        Of each column what `RowFeaturizer` wants to know, and ``missing``, the share without a value.
    """
    written = {name: {"written": one} for name, one in (numbers or {}).items()}
    common: list[dict[str, Any]] = [
        {"name": name, "kind": kind, **written.get(name, {})} for name, kind in columns.items()
    ]
    readers = [rows.CellReader(one["kind"], missing, _format(one)) for one in common]
    values: list[list[Any]] = [[] for _ in columns]
    for line in lines:
        for column_values, reader, cell in zip(
            values, readers, rows.cells(line.decode("utf-8")), strict=True
        ):
            column_values.append(reader.read(cell))
    fitted: list[dict[str, Any]] = []
    for column, cells in zip(common, values, strict=True):
        present = [cell for cell in cells if cell is not None]
        share = 1 - len(present) / max(1, len(cells))
        numeric = column["kind"] == "numeric"
        own = _measured(present, share) if numeric else _chosen(present, min_count, max_vocabulary)
        fitted.append(column | {"missing": share} | own)
    return fitted


def _measured(values: Sequence[float], missing: float) -> dict[str, Any]:
    numbers = np.array(values or [0.0])
    return {"mean": float(numbers.mean()), "deviation": float(numbers.std()), "gaps": missing > 0}


def _chosen(cells: Sequence[str], min_count: int, most: int | None) -> dict[str, Any]:
    booleans = rows.are_booleans(cells)
    words = map(rows.lowered, cells) if booleans else cells
    counts = Counter(word for word in words if word not in (UNKNOWN, MISSING))
    vocabulary = {"vocabulary": features_counts.choose(counts, min_count, most)}
    return vocabulary | ({"booleans": True} if booleans else {})
