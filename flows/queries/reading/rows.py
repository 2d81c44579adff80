"""Ask a model of rows about the rows of a table: columns are found by their names, whatever their order."""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import DataError, UsageError
from features.names import printable
from features.sources.files.candidates import TableOptions
from features.sources.tables import cells, number_format, tables
from features.sources.tables.delimited import Broken, Row
from serving.client.answers import Metadata, Signature

#: Signatures with one input for each column: of cells as a table has them, and, of models made before there
#: was such a one, of numbers and words.
SIGNATURES = ("from_cells", "from_columns")
_NUMBERED = re.compile(r"column_\d+")


def signature(described: Metadata) -> Signature:
    """Return the signature that takes the rows of a table."""
    signature_name = next((name for name in SIGNATURES if name in described.signatures), SIGNATURES[-1])
    return described.signature(signature_name)


def requests(path: Path, known: Signature) -> Iterator[tuple[str, Callable[[], dict[str, np.ndarray]]]]:
    """Return what is shown of each row of a table, and what reads its values.

    Args:
        path: of a CSV, TSV or Parquet table with at least the model's columns; others are passed over.
        known: the model's signature by column.

    Raises:
        UsageError: the table lacks a column.
        DataError: it cannot be read; by what reads a row: it is broken or has no number where one is wanted.
    """
    header, rows = tables.all_rows(path)
    if not set(known.inputs) & set(map(cells.identifier, header)) and all(
        map(_NUMBERED.fullmatch, known.inputs)
    ):
        # The model was trained on a table without a header, as this one seems to be.
        header, rows = tables.all_rows(path, TableOptions(header=False))
    places = _places(path, header, known)
    for row in rows:
        if isinstance(row, Broken) or row.cells:
            where = f"{path}:{row.number}"
            yield where, partial(_values, where, known, places, row)


def _values(
    where: str, spec: Signature, places: Mapping[str, int], row: Row | Broken
) -> dict[str, np.ndarray]:
    if isinstance(row, Broken):
        raise DataError(f"row {where} cannot be sent", got=f"{row.reason}: {row.detail}")
    return {name: _value(where, spec, name, row.cells[at]) for name, at in places.items()}


def _places(path: Path, header: list[str], spec: Signature) -> Mapping[str, int]:
    places = {}
    for at, column in enumerate(header):
        for name in (cells.identifier(column), cells.identifier(column, told_apart=True)):
            if name in spec.inputs:
                places[name] = at
    lacking = sorted(set(spec.inputs) - set(places))
    if lacking:
        raise UsageError(
            f"table {path} lacks a column that the model takes",
            got=f"columns {', '.join(map(repr, header))}",
            expected=f"also {', '.join(lacking)}",
        )
    return places


def _value(where: str, spec: Signature, name: str, cell: str) -> Any:
    if spec.inputs[name].dtype == "string":
        return np.array([cell.encode()], dtype=object)
    said = cell.strip()
    value = float("nan") if said in cells.silent(cells.MISSING_WORDS) else number_format.PLAIN.number(said)
    if value is None:
        raise DataError(
            f"row {where} cannot be sent", got=f"{printable(cell)!r} as {name}", expected="a number"
        )
    return np.array([value], dtype=np.dtype(spec.inputs[name].dtype))
