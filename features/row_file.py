"""Check one row: as many cells as there are columns, and numbers where numbers are wanted."""

import csv
import hashlib
from collections.abc import Mapping
from typing import Any

from features import rows
from features.facts import Facts
from features.quarantine import RefusedError


def check(data: bytes, suffix: str, rules: Mapping[str, Any]) -> Facts:
    """Hold a row to the columns of its table.

    Args:
        data: one line of CSV, UTF-8.
        suffix: nothing depends on it.
        rules: ``columns``, kind by name in the order of the cells; ``missing``, words for a missing value.

    Returns:
        Facts with the measure ``missing``, the number of cells that say nothing. Rows of equal numbers and
        equal words have one identity, however the numbers are written.

    Raises:
        RefusedError: ``bad_encoding``, ``bad_quoting``, ``ragged_row``, ``not_a_number``, ``missing_value``.
    """
    columns, silent = rules["columns"], rows.silent(rules["missing"])
    try:
        cells = rows.cells(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise RefusedError("bad_encoding", f"byte 0x{data[error.start]:02x} is not UTF-8") from None
    except csv.Error as error:
        raise RefusedError("bad_quoting", str(error)) from None
    if len(cells) != len(columns):
        raise RefusedError("ragged_row", f"{len(cells)} fields; the table has {len(columns)} columns")
    found = [
        None if cell in silent else _value(name, kind, cell)
        for (name, kind), cell in zip(columns.items(), cells, strict=True)
    ]
    absent = found.count(None)
    if absent == len(found):
        raise RefusedError("missing_value", "every cell of the row is missing")
    identity = hashlib.sha256(repr(found).encode("utf-8")).hexdigest()
    return Facts("ROW", identity, {"missing": absent}, variant="quoted" if b'"' in data else "")


def _value(name: str, kind: str, cell: str) -> float | str:
    if kind != "numeric":
        return cell
    value = rows.number(cell)
    if value is None:
        raise RefusedError("not_a_number", f"{cell!r} in the numeric column {name!r}")
    return value
