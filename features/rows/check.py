"""Check one row: as many cells as there are columns, and numbers where numbers are requested."""

import csv
import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from features.ingest.verdicts.facts import Facts
from features.quarantine import RefusedError
from features.sources.tables import cells as rows
from features.sources.tables import number_format


def check(data: bytes, suffix: str, rules: Mapping[str, Any]) -> Facts:
    """Hold a row to the columns of its table.

    Args:
        data: one line of CSV, UTF-8.
        suffix: nothing depends on it.
        rules: ``columns``, kind by name in the order of the cells; ``missing``, words for a missing value;
            ``numbers``, how those of some columns are written, by name.

    Returns:
        Facts with the measure ``missing``, the number of cells that say nothing. Rows of equal numbers and
        equal words have one identity, however the numbers are written.

    Raises:
        RefusedError: ``bad_encoding``, ``bad_quoting``, ``ragged_row``, ``not_a_number``, ``missing_value``.
    """
    columns = rules["columns"]
    try:
        cells = rows.cells(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise RefusedError("bad_encoding", f"byte 0x{data[error.start]:02x} is not UTF-8") from None
    except csv.Error as error:
        raise RefusedError("bad_quoting", rows.fault(error)) from None
    if len(cells) != len(columns):
        raise RefusedError("ragged_row", f"{len(cells)} fields; the table has {len(columns)} columns")
    missing, numbers = tuple(rules["missing"]), rules.get("numbers", {})
    values = [
        _value(name, reader(kind, missing, numbers.get(name)), cell)
        for (name, kind), cell in zip(columns.items(), cells, strict=True)
    ]
    absent = values.count(None)
    # A gap in the only column is one like any other.
    if absent == len(values) > 1:
        raise RefusedError("missing_value", "every cell of the row is missing")
    identity = hashlib.sha256(repr(values).encode("utf-8")).hexdigest()
    return Facts("ROW", identity, {"missing": absent}, variant="quoted" if b'"' in data else "")


@lru_cache(maxsize=4096)
def reader(kind: rows.Kind, missing: tuple[str, ...], written: str | None) -> rows.CellReader:
    """Return the reader of a column; ``written`` names the format of its numbers, None the plain one."""
    return rows.CellReader(kind, missing, number_format.parse(written) if written else number_format.PLAIN)


def _value(name: str, cells: rows.CellReader, cell: str) -> float | str | None:
    try:
        return cells.read(cell)
    except ValueError as error:
        raise RefusedError("not_a_number", f"{cell!r} in the numeric column {name!r}: {error}") from None
