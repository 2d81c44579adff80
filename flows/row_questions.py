"""Ask a model of rows about the rows of a table: columns are found by their names, whatever their order."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from features import rows, tables
from features.delimited import Broken
from features.errors import DataError, UsageError
from features.names import printable
from serving.answers import Signature

#: The signature with one input for each column.
SIGNATURE = "from_columns"


def requests(path: Path, known: Signature) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Give what is shown and what is sent of each row of a table.

    Args:
        path: of a CSV, TSV or Parquet table with at least the model's columns; others are passed over.
        known: the model's signature by column.

    Raises:
        UsageError: the table lacks a column.
        DataError: it cannot be read, or a row of it is broken or has no number where one is wanted.
    """
    header, found = tables.all_rows(path)
    places = _places(path, header, known)
    for row in found:
        where = f"{path}:{row.number}"
        if isinstance(row, Broken):
            raise DataError(f"row {where} cannot be sent", got=f"{row.reason}: {row.detail}")
        if row.cells:
            yield where, {name: _value(where, known, name, row.cells[at]) for name, at in places.items()}


def _places(path: Path, header: list[str], known: Signature) -> Mapping[str, int]:
    places = {}
    for at, column in enumerate(header):
        for name in (rows.identifier(column), rows.identifier(column, told_apart=True)):
            if name in known.inputs:
                places[name] = at
    lacking = sorted(set(known.inputs) - set(places))
    if lacking:
        raise UsageError(
            f"table {path} lacks a column that the model takes",
            got=f"columns {', '.join(map(repr, header))}",
            expected=f"also {', '.join(lacking)}",
        )
    return places


def _value(where: str, known: Signature, name: str, cell: str) -> Any:
    if known.inputs[name].dtype == "string":
        return np.array([cell.encode()], dtype=object)
    said = cell.strip()
    value = float("nan") if said in rows.silent(rows.MISSING_WORDS) else rows.number(said)
    if value is None:
        raise DataError(
            f"row {where} cannot be sent", got=f"{printable(cell)!r} as {name}", expected="a number"
        )
    return np.array([value], dtype=np.dtype(known.inputs[name].dtype))
