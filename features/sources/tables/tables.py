"""Tables as a source: CSV, TSV and Parquet, one example a row."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from features.decisions import Decisions
from features.errors import DataError
from features.names import printable
from features.sources.files.candidates import Candidate, Columns, Entry, Source, TableOptions
from features.sources.files.selection import Selection
from features.sources.tables import columns as table_columns
from features.sources.tables import file
from features.sources.tables.columns import Places
from features.sources.tables.delimited import Broken, Row, Tally
from features.sources.tables.file import TableFile
from features.sources.tables.reader import RowReader
from features.spec import WORD, RawKind

SUFFIXES = (".csv", ".tsv", ".parquet")
#: Makes a source of a table; see `open_table`.
Opener = Callable[[Path, Selection, Columns, Decisions | None], Source]
#: How a table is read of which nothing is known.
_AS_FOUND = TableOptions()
#: Columns of an input or a target that are named in their source's description.
_SHOWN = 6


def is_table(path: Path) -> bool:
    """Return whether the file's name ends like a table that can be read."""
    return path.name.lower().endswith(SUFFIXES)


def open_table(
    path: Path, selection: Selection, columns: Columns, decisions: Decisions | None = None
) -> Source:
    """Make a source of a table.

    Args:
        path: of a file whose name ends with one of SUFFIXES.
        selection: what is meant; the examples are files beside the table, or its own cells.
        columns: where to find input, target, split and fold, and how to read the table.
        decisions: takes what is decided; None: the source has its own.

    Raises:
        DataError: the table has no usable header, or lacks a column.
        OSError: the file cannot be read.
    """
    table = file.read(path, columns.table)
    return _source(
        table,
        table_columns.find(table, selection.raw, columns),
        selection,
        columns,
        Decisions() if decisions is None else decisions,
    )


def _source(
    table: TableFile, places: Places, selection: Selection, columns: Columns, decisions: Decisions
) -> Source:
    root = os.fsencode(table.path.parent)

    def scan() -> Iterator[Entry]:
        tally = Tally()
        reader = RowReader(
            root,
            table.path.name,
            selection,
            places,
            columns.table,
            several=columns.several_targets,
            gaps=columns.target_gaps,
            beside=columns.beside,
        )
        for number, entry in enumerate(reader.entries(table.rows(places.chosen(), tally)), start=1):
            tally.rows = number
            yield entry
        table.record(tally, decisions)
        reader.record(decisions)

    def narrow(left: tuple[str, ...]) -> Source:
        remaining = tuple(place for place in places.inputs if table.names[place] not in left)
        return _source(table, replace(places, inputs=remaining), selection, columns, decisions)

    inputs = tuple(table.names[place] for place in places.inputs)
    targets = tuple(table.names[place] for place in places.targets)
    described = _described(table, places, bool(columns.beside))
    source = Source("table", described, root, (), (), scan, targets=targets, decisions=decisions)
    if not selection.raw.rows:
        return source
    return replace(
        source,
        columns=inputs,
        named=columns.input is not None,
        indexes=table.indexes,
        nameless=table.nameless,
        narrow=narrow,
    )


def _described(table: TableFile, places: Places, beside: bool) -> str:
    inputs, targets = ([table.names[place] for place in part] for part in (places.inputs, places.targets))
    roles = {"split": places.split, "fold": places.fold, "blocks": places.block}
    where = _listed(targets) if targets else "the files beside" if beside else None
    named = [f"input from {_listed(inputs)}", *([f"target from {where}"] if where else [])]
    named += [f"{role} from {table.names[place]!r}" for role, place in roles.items() if place is not None]
    return printable(f"table {table.path.name}: {', '.join(named)}")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:_SHOWN])) + (" ..." if len(names) > _SHOWN else "")


def open_split_tables(
    found: Mapping[str, Path], selection: Selection, columns: Columns, opener: Opener = open_table
) -> Source:
    """Make one source of a table for each split, in the same folder.

    Args:
        found: split to table.
        selection: as of `open_table`.
        columns: as of `open_table`; a split column is not looked for.
        opener: makes a source of one of them.

    Raises:
        DataError: as of `open_table`, or a split column is named beside split tables.
    """
    if columns.split is not None:
        raise DataError(
            "the split is given twice",
            got=f"--split-column {columns.split}, and tables named {', '.join(sorted(found))}",
            expected="one of the two",
            todo="leave --split-column out, or pass one table as --data",
        )
    decisions = Decisions()
    return _joined({split: opener(path, selection, columns, decisions) for split, path in found.items()})


def _joined(sources: Mapping[str, Source]) -> Source:
    columns = _common_columns(sources)
    first = next(iter(sources.values()))

    def scan() -> Iterator[Entry]:
        for split, source in sources.items():
            for entry in source:
                yield replace(entry, split=split) if isinstance(entry, Candidate) else entry

    def narrow(left: tuple[str, ...]) -> Source:
        return _joined({split: source.without(left) for split, source in sources.items()})

    described = "; ".join(f"{split}: {source.description}" for split, source in sources.items())
    return replace(
        first,
        layout="split-tables",
        description=printable(described),
        splits=tuple(sources),
        scan=scan,
        columns=columns,
        narrow=narrow if first.narrow else None,
    )


def _common_columns(sources: Mapping[str, Source]) -> tuple[str, ...]:
    """Return the columns of rows, which must be the same in every table and in the same order."""
    (first, expected), *others = [(split, source.columns) for split, source in sources.items()]
    for split, columns in others:
        if columns != expected:
            raise DataError(
                "the tables of the splits have different columns",
                got=f"{split}: {', '.join(map(repr, columns))}",
                expected=f"as {first}: {', '.join(map(repr, expected))}",
                todo="give all the same columns in the same order, or name those to use with --input-column",
            )
    return expected


def open_unlabelled(path: Path, selection: Selection, columns: Columns) -> Source:
    """Make a source of a table whose rows have no target; arguments and errors as of `open_table`."""
    table = file.read(path, columns.table)
    # Gaps are allowed in a target of no columns.
    columns = replace(columns, several_targets=True, target_gaps=True)
    return _source(
        table, table_columns.find_input(table, selection.raw, columns), selection, columns, Decisions()
    )


def text_column(path: Path, columns: Columns) -> tuple[TableFile, int]:
    """Find the column of a table that holds texts, where no label is wanted.

    Returns:
        The table, and the column's position.

    Raises:
        DataError: the table has no usable header, or no such column.
        OSError: the file cannot be read.
    """
    table = file.read(path, columns.table)
    return table, table_columns.find_input(table, WORD, columns).inputs[0]


def all_rows(path: Path, options: TableOptions = _AS_FOUND) -> "tuple[list[str], Iterator[Row | Broken]]":
    """Read a table's header, and its rows with every column.

    Raises:
        DataError: the table has no usable header, or is damaged.
        OSError: the file cannot be read.
    """
    table = file.read(path, options)
    return list(table.names), table.rows(range(len(table.names)))


def usable(path: Path, raw: RawKind, columns: Columns) -> bool:
    """Return whether a table has an input and a target column of usual names, so that it may be meant."""
    try:
        table_columns.find(file.read(path, columns.table), raw, columns)
    except (DataError, OSError):
        return False
    return True
