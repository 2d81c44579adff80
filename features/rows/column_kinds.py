"""Choose what becomes of each column of a table: numbers, categories, or left out; and say why.

docs/tabular.md has the rules. What the user says of a column (`Wish`) goes before all of them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from features.decisions import Decisions
from features.errors import DataError
from features.names import setting
from features.rows.column_survey import Survey
from features.sources.files.candidates import Source
from features.sources.tables import cells, number_format
from features.sources.tables.cells import Kind
from features.sources.tables.number_format import NumberFormat
from features.targets import classes

#: Names of columns that number the rows, where their values do so; pandas and R write the first ones.
_INDEX_NAMES = re.compile(
    r"__index_level_\d+__|unnamed: \d+(?:[._]\d+)*|level_\d+|index|rows?|rownames?"
    r"|row[ _.-](?:names?|nr|no|num(?:ber)?)|(?:.*[\W_])?(?:idx|id|uuid|guid)",
    re.IGNORECASE,
)
_CAMEL_ID = re.compile(r".*[a-z](?:Id|ID|Index|Uuid|UUID)")
#: A column is one of categories only where this share of its cells has a value that occurs again.
_REPEATED = 0.25
#: More different numbers than these make a column of numbers of one that holds other things too.
_MANY = 20
#: Share of the numbers in a column from which on it is taken for one of numbers with faults.
_MOSTLY = 0.5
#: Share of dates from which on a column is one of dates.
_DATES = 0.9


@dataclass(frozen=True)
class Wish:
    """What is said of the columns beside their cells.

    Attributes:
        kinds: of some of them, as the user says.
        formats: of the numbers of some of them, as the user says.
        odd: share of a numeric column's cells that may be no numbers; these rows are refused later.
        source: of the rows.
    """

    kinds: Mapping[str, Kind]
    formats: Mapping[str, NumberFormat]
    odd: float
    source: Source


@dataclass(frozen=True)
class Choice:
    """What was chosen for a column.

    Attributes:
        kind: ``numeric`` or ``categorical``; None if it is left out.
        choice: the same in a few words.
        reason: what in the cells speaks for it.
        warning: whether the user should look at it.
        format: how its numbers are written.
        constant: whether every value is the same.
    """

    kind: Kind | None
    choice: str
    reason: str
    warning: bool = False
    format: NumberFormat = number_format.PLAIN
    constant: bool = False


def choose(surveys: Sequence[Survey], wish: Wish) -> dict[str, Choice]:
    """Choose what becomes of each column.

    Raises:
        DataError: a column of numbers holds too much else, or can be read in two ways.
    """
    if not any(column.present or column.missing for column in surveys):
        # Every row was refused: that is what the user must hear of, and nothing of columns.
        return {
            column.name: Choice(wish.kinds.get(column.name, "categorical"), "not told", "")
            for column in surveys
        }
    mark = _decimal_mark(surveys, wish.odd)
    return {column.name: _choose(column, wish, mark) for column in surveys}


def record(choices: Mapping[str, Choice], decisions: Decisions) -> None:
    """Add what was chosen for each column to the decisions."""
    for name, one in choices.items():
        decisions.add("column", name, one.choice, one.reason, warning=one.warning)


def require_usable(choices: Mapping[str, Choice], described: str) -> None:
    """Refuse a table without a column that tells anything.

    Raises:
        DataError: every column is left out or always the same; says why of each.
    """
    if any(one.kind is not None and not one.constant for one in choices.values()):
        return
    said = "; ".join(f"{name!r} {one.choice} ({one.reason})" for name, one in list(choices.items())[:6])
    raise DataError(
        f"no column of {described} can be used as an input",
        got=said,
        expected="at least one column of numbers, or of categories that occur more than once",
        todo="add such a column, or name those to be used with --input-column or data.columns",
    )


def _choose(column: Survey, wish: Wish, mark: str | None) -> Choice:
    kind = wish.kinds.get(column.name) or ("numeric" if column.name in wish.formats else None)
    if kind == "categorical":
        return _categorical(column, "as data.columns says")
    if kind == "numeric":
        return _numeric(column, wish.formats.get(column.name) or _format(column, mark), explicit=True)
    forced = wish.source.named
    if not column.present and not forced:
        return Choice(None, "left out, without a value", "every cell is missing")
    if not forced and (why := _index(column, wish)):
        return Choice(None, "left out as an index", f"{why}; {_set(column, 'numeric')} keeps it")
    if _is_numeric(column, wish.odd):
        return _numeric(column, _format(column, mark), explicit=forced)
    _require_no_mixture(column, wish.odd)
    return _words(column, forced)


def _set(column: Survey, kind: str) -> str:
    """Write the option that says what a column is."""
    return setting("data.columns", {column.name: kind})


def _index(column: Survey, wish: Wish) -> str:
    """Return why a column is the index of a data frame or numbers the rows, or an empty string."""
    if column.name in wish.source.indexes:
        return "the file calls it an index"
    name = column.name.strip()
    nameless = column.name in wish.source.nameless
    if not (nameless or _INDEX_NAMES.fullmatch(name) or _CAMEL_ID.fullmatch(name)):
        return ""
    # Each table of a split may begin to count again.
    unique = (
        len(column.cells) * max(1, len(wish.source.splits)) >= 0.9 * column.present and column.missing == 0
    )
    whole = max(column.readers.values()) == column.present and all("." not in cell for cell in column.cells)
    words = not max(column.readers.values())
    if unique and (whole or words):
        said = "the header has no name for it" if nameless else "its name says so"
        return f"{said}, and every row has a value of its own"
    return ""


def _is_numeric(column: Survey, odd: float) -> bool:
    numbers = max(column.readers.values()) + column.infinite
    filled = column.present - column.gaps
    return numbers > 0 and filled - numbers <= odd * filled


def _numeric(column: Survey, written: NumberFormat, *, explicit: bool) -> Choice:
    numbers = column.readers.get(written)
    if numbers is None:
        numbers = sum(count for cell, count in column.values.items() if written.matches(cell))
    other = column.present - column.gaps - numbers
    missing = column.missing + column.gaps
    reason = f"{'all' if not other else f'{numbers} of'} {numbers + other} cells are numbers"
    if missing:
        reason += f", {missing} missing"
    warnings = []
    if other:
        odd = (cell for cell in column.cells if not column.is_gap(cell) and not written.matches(cell))
        warnings.append(f"{other} quarantined: {column.examples(odd)}")
    if not explicit and (numbering := column.numbers_rows):
        warnings.append(
            f"{numbering}: if it only numbers the rows, leave it out with {_set(column, 'ignored')}"
        )
    if written.unit and (bare := sum(n for cell, n in column.values.items() if written.unit not in cell)):
        warnings.append(f"{bare} of them without {written.unit}, read alike")
    choice = "numeric" if written == number_format.PLAIN else f"numeric, written as {written}"
    constant = not missing and len({written.number(cell) for cell in column.values}) < 2
    choice += ", always the same" if constant else ""
    return Choice("numeric", choice, "; ".join((reason, *warnings)), bool(warnings), written, constant)


def _format(column: Survey, mark: str | None) -> NumberFormat:
    """Choose the format of a column of numbers.

    Raises:
        DataError: its cells are other numbers with a decimal comma than with a decimal point.
    """
    winners = number_format.best(column.readers)
    differing = [cell for cell in column.values if len({one.number(cell) for one in winners}) > 1]
    if len(winners) == 1 or not differing:
        return winners[0]
    if mark is not None:
        return next(one for one in winners if one.decimal == mark)
    if number_format.PLAIN in winners:
        return number_format.PLAIN
    first, second = winners
    cell = min(differing)
    raise DataError(
        f"the numbers of column {column.name!r} can be read in two ways",
        got=f"{column.examples(differing, 3)}: {cell} is {first.number(cell):g} or {second.number(cell):g}",
        expected="at least one number that shows which mark is the decimal one",
        todo=f"say how 1234.5 is written: {setting('data.numbers', {column.name: str(second)})}, or {first}",
    )


def _decimal_mark(surveys: Sequence[Survey], odd: float) -> str | None:
    """Return the decimal mark of a table, from the columns with only one possible reading."""
    marks = set()
    for column in surveys:
        if not _is_numeric(column, odd):
            continue
        winners = number_format.best(column.readers)
        marked = any("." in cell or "," in cell for cell in column.values)
        if marked and len(winners) == 1:
            marks.add(winners[0].decimal)
    return marks.pop() if len(marks) == 1 else None


def _require_no_mixture(column: Survey, odd: float) -> None:
    """Refuse a column of numbers with more odd cells than may be quarantined."""
    written = number_format.best(column.readers)[0]
    numbers = {cell for cell in column.values if written.matches(cell)}
    count = sum(column.cells[cell] for cell in numbers) + column.infinite
    filled = column.present - column.gaps
    many = len(numbers) > _MANY or column.repeated < _REPEATED * column.present
    if count < _MOSTLY * filled or not many:
        return
    others = [cell for cell in column.values if cell not in numbers]
    words = sorted(others, key=lambda cell: -column.cells[cell])[:3]
    raise DataError(
        f"column {column.name!r} mixes numbers and other values",
        got=f"{count} of {filled} cells are numbers; others are {column.examples(others)}",
        expected=f"at least {1 - odd:.0%} numbers, or categories that occur more than once",
        todo=f"if these mean a missing value: {setting('data.missing', words)}; if the column is not "
        f"numeric: {_set(column, 'categorical')}, or ignored",
    )


def _words(column: Survey, forced: bool) -> Choice:
    """Choose for a column that holds no numbers."""
    if column.present and column.dates >= _DATES * column.present:
        first = next(iter(column.cells))
        what = f"dates or times, as {first!r}: write year, month or hours into columns of their own"
    elif column.repeated < _REPEATED * column.present:
        what = f"{_counted(column)}: names, IDs or free text, and a model learns only what occurs again"
    else:
        return _categorical(column)
    if forced:
        return replace(_categorical(column), warning=True, reason=what)
    return Choice(None, "left out", f"{what}; {_set(column, 'categorical')} keeps it", warning=True)


def _counted(column: Survey) -> str:
    values = "one value" if len(column.cells) == 1 else f"{len(column.cells)} different values"
    return f"{values} in {column.present} rows" + (f", {column.missing} missing" if column.missing else "")


def _categorical(column: Survey, said: str = "") -> Choice:
    values = column.cells
    warnings = []
    written = number_format.best(column.readers)[0]
    others = [cell for cell in values if not written.matches(cell)]
    if others and len(others) < len(values) and not said:
        warnings.append(f"numbers and other things: {column.examples(others)}")
    boolean = cells.are_booleans(values)
    if not boolean and (twins := classes.twins(values)):
        names = "; ".join(" and ".join(map(repr, group)) for group in twins[:3])
        warnings.append(f"nearly equal values count as different ones: {names}")
    choice = "categorical (true or false)" if boolean else "categorical"
    constant = not column.missing and len(values) < 2
    choice += ", always the same" if constant else ""
    reason = "; ".join((_counted(column), *([said] if said else ()), *warnings))
    return Choice("categorical", choice, reason, bool(warnings), constant=constant)
