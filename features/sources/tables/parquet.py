"""Read Parquet tables as rows of text, held to the rules that a CSV's rows obey."""

import contextlib
import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from features.errors import DataError
from features.names import printable
from features.sources.tables.delimited import Broken, Row
from features.storage.arrow import open_for_arrow

if TYPE_CHECKING:
    import pyarrow


@contextlib.contextmanager
def _faults(path: Path) -> Iterator[None]:
    """Turn what pyarrow raises for damaged content into a DataError; the disk's own errors pass."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(
            f"table {path} cannot be read",
            got=printable(str(error)[:300]),
            expected="an undamaged Parquet file",
            todo="write it again",
        ) from error


def read_header(path: Path) -> tuple[list[str], tuple[str, ...]]:
    """Read the column names.

    Returns:
        All of them, and those that pandas wrote as the index of a data frame.

    Raises:
        DataError: the table is damaged, or has no rows.
        OSError: the file cannot be read.
    """
    import pyarrow.parquet

    with _faults(path), open_for_arrow(path) as file, pyarrow.parquet.ParquetFile(file) as table:
        if not table.metadata.num_rows:
            raise DataError(f"table {path} has no rows", todo="check that it was written to its end")
        schema = table.schema_arrow
        return list(schema.names), _indexes(schema.pandas_metadata)


def _indexes(written: object) -> tuple[str, ...]:
    """Return the index columns that pandas notes in a file; an index that only counts has none."""
    columns = written.get("index_columns", ()) if isinstance(written, dict) else ()
    return tuple(name for name in columns if isinstance(name, str))


def read_rows(path: Path, header: Sequence[str], chosen: Sequence[int]) -> "Iterator[Row | Broken]":
    """Yield every row, with the cells of the chosen columns; the others are empty.

    Raises:
        DataError: the table is damaged, or a chosen column holds something else than text or numbers.
        OSError: the file cannot be read.
    """
    import pyarrow.parquet

    with _faults(path), open_for_arrow(path) as file, pyarrow.parquet.ParquetFile(file) as table:
        _require_plain(path, table.schema_arrow, [header[place] for place in chosen])
        number = 0
        for batch in table.iter_batches(columns=[header[place] for place in chosen]):
            columns = [_plain(batch.column(header[place])) for place in chosen]
            for values in zip(*columns, strict=True):
                number += 1
                yield _row(number, len(header), dict(zip(chosen, values, strict=True)))


def _plain(column: "pyarrow.Array") -> list[object]:
    """Return a column's values; text as bytes, for pyarrow does not check that it is UTF-8."""
    import pyarrow

    if pyarrow.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kinds = (pyarrow.types.is_string, pyarrow.types.is_large_string, pyarrow.types.is_string_view)
    if any(is_text(column.type) for is_text in kinds):
        column = column.cast(pyarrow.large_binary())
    values: list[object] = column.to_pylist()
    return values


def _row(number: int, width: int, values: Mapping[int, object]) -> Row | Broken:
    """Hold a row to the rules that a CSV's rows obey."""
    cells = [""] * width
    for place, value in values.items():
        try:
            text = value.decode("utf-8") if isinstance(value, bytes) else _text(value)
        except UnicodeDecodeError as error:
            detail = f"byte 0x{error.object[error.start]:02x} is not UTF-8"
            return Broken(number, None, "bad_encoding", detail)
        if "\0" in text:
            return Broken(number, None, "nul", "the row contains a NUL character")
        if len(text) > csv.field_size_limit():
            detail = f"a field is longer than {csv.field_size_limit():,} characters"
            return Broken(number, None, "line_too_long", detail)
        cells[place] = text
    return Row(number, None, cells)


def _text(value: object) -> str:
    """Write a value as a CSV has it; nothing for a null, NaN or NaT."""
    return "" if value is None or value != value else str(value)


def _require_plain(path: Path, schema: "pyarrow.Schema", names: Sequence[str]) -> None:
    import pyarrow

    for name in names:
        kind = schema.field(name).type
        inner = kind.value_type if pyarrow.types.is_dictionary(kind) else kind
        if pyarrow.types.is_nested(inner) or any(
            is_bytes(inner)
            for is_bytes in (
                pyarrow.types.is_binary,
                pyarrow.types.is_large_binary,
                pyarrow.types.is_fixed_size_binary,
                pyarrow.types.is_binary_view,
            )
        ):
            raise DataError(
                f"column {name!r} of table {path} cannot be used",
                got=f"type {kind}",
                expected="text or numbers; files are named by their path",
                todo="write the files beside the table and name them in it",
            )
