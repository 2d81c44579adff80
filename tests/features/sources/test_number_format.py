"""Spellings of numbers: which a column has, what Python reads by it, and that the graph reads the same."""

import io
import math
import re
from collections import Counter

import pandas as pd
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import DataError
from features.rows import column_kinds, column_survey
from features.rows.featurizer import RowFeaturizer
from features.sources.files.candidates import Source
from features.sources.tables import cells as rows
from features.sources.tables import number_format
from features.sources.tables.cells import MISSING_WORDS, CellReader

#: Format to cells, and what they are.
SPELLINGS = {
    "1234.5": {"1": 1, "-1.5": -1.5, "+.5": 0.5, "2e3": 2000, "\N{MINUS SIGN}7": -7},
    "1234,5": {"1,5": 1.5, "-,25": -0.25, "12": 12, "1,5e2": 150},
    "1,234.5": {"1,234.5": 1234.5, "1,289,000": 1289000, "-12,345": -12345, "999": 999, "12,34,567": 1234567},
    "1.234,5": {"1.234,5": 1234.5, "1.289.000": 1289000, "0,5": 0.5},
    "1 234,5": {"1 234,5": 1234.5, "1\N{NO-BREAK SPACE}289\N{NARROW NO-BREAK SPACE}000": 1289000},
    "1'234.5": {"1'234.5": 1234.5, "1\N{RIGHT SINGLE QUOTATION MARK}289'000": 1289000},
    "1,234.5 $": {"$1,234.5": 1234.5, "-$2": -2, "$-2": -2, "$ 3.25": 3.25, "4": 4},
    "1.234,5 \N{EURO SIGN}": {"1.234,50 \N{EURO SIGN}": 1234.5, "\N{EURO SIGN}7": 7},
    "1234.5 %": {"12%": 12, "12.5 %": 12.5, "-3%": -3},
    "1'234.5 CHF": {"CHF 1'234.50": 1234.5, "5 CHF": 5},
}
#: What is no number in a format.
ODD = {
    "1234.5": ["1,5", "1_000", "0x1A", "1 2", "--1", "$5", "5%"],
    "1,234.5": ["1,23", "1234,567", "0,123", "1,234,5", "1.5,000", ",5"],
    "1.234,5": ["1.23", "0.123", "1,5.000"],
    "1 234,5": ["1  234", "12 34"],
    "1,234.5 $": ["$", "$$5", "-$-5", "5 %"],
}


def graph(written: str, cells: list[str]) -> list[float]:
    """What a featurizer's graph reads, NaN for a gap."""
    column = {"name": "x", "kind": "numeric", "mean": 0.0, "deviation": 1.0, "gaps": True, "written": written}
    featurizer = RowFeaturizer([column], MISSING_WORDS)
    return [float(value) for value in featurizer.cut(tf.constant([rows.line([cell]) for cell in cells]))[0]]


@pytest.mark.parametrize("written", SPELLINGS)
def test_python_and_the_graph_read_the_same_numbers(written: str) -> None:
    known, reader = SPELLINGS[written], CellReader("numeric", MISSING_WORDS, number_format.parse(written))
    assert str(number_format.parse(written)) == written
    assert {cell: reader.read(cell) for cell in known} == known
    assert graph(written, list(known)) == list(known.values())


@pytest.mark.parametrize(("written", "cell"), [(key, cell) for key, cells in ODD.items() for cell in cells])
def test_other_cells_are_refused_by_both(written: str, cell: str) -> None:
    with pytest.raises(ValueError, match="not a number"):
        CellReader("numeric", MISSING_WORDS, number_format.parse(written)).read(cell)
    with pytest.raises(tf.errors.InvalidArgumentError, match="holds numbers"):
        graph(written, [cell])


@pytest.mark.parametrize(
    "cell", ["", "NA", "null", "NULL", "Nan", "N/a", "<na>", "#N/A", "-", "--", ".", "\N{EN DASH}"]
)
def test_both_take_the_same_cells_for_gaps(cell: str) -> None:
    assert CellReader("numeric", MISSING_WORDS).read(cell) is None
    assert math.isnan(graph("1234.5", [cell, "1"])[0])


def test_a_number_may_stand_for_a_missing_value() -> None:
    assert CellReader("numeric", ["-999"]).read("-999") is None
    column = {"name": "x", "kind": "numeric", "mean": 0.0, "deviation": 1.0, "gaps": True}
    assert math.isnan(RowFeaturizer([column], ["-999"]).cut(tf.constant([b"-999"]))[0][0])


@pytest.mark.parametrize("cell", ["inf", "-inf", "Infinity", "1e39"])
def test_infinite_numbers_are_refused_by_both(cell: str) -> None:
    with pytest.raises(ValueError, match=r"infinite|beyond"):
        CellReader("numeric", MISSING_WORDS).read(cell)
    with pytest.raises(tf.errors.InvalidArgumentError, match="holds numbers"):
        graph("1234.5", [cell])


@given(st.sampled_from(sorted(SPELLINGS)), st.text("0123456789.,' -+%$eE", max_size=9))
@settings(max_examples=150, deadline=None)
def test_both_agree_on_whatever_is_typed(written: str, text: str) -> None:
    cell = text.strip()
    try:
        wanted = CellReader("numeric", MISSING_WORDS, number_format.parse(written)).read(cell)
    except ValueError:
        with pytest.raises(tf.errors.InvalidArgumentError):
            graph(written, [cell])
        return
    found = graph(written, [cell])[0]
    assert math.isnan(found) if wanted is None else found == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(("decimal", "thousands", "written"), [(".", ",", "1,234.5"), (",", ".", "1.234,5")])
def test_pandas_reads_the_same(decimal: str, thousands: str, written: str) -> None:
    cells = list(SPELLINGS[written])
    text = "x\n" + "".join(f'"{cell}"\n' for cell in cells)
    frame = pd.read_csv(io.StringIO(text), decimal=decimal, thousands=thousands)
    assert [number_format.parse(written).number(cell) for cell in cells] == list(frame["x"])


@pytest.mark.parametrize("example", ["", "1234", "1,234,5", "12.5", "1;234.5", "$1234.5$", "abc"])
def test_what_is_no_format(example: str) -> None:
    with pytest.raises(ValueError, match=r"1234\.5"):
        number_format.parse(example)


def chosen(*columns: list[str]) -> list[str]:
    names = [f"c{number}" for number in range(len(columns))]
    found = column_survey.survey(map(rows.line, zip(*columns, strict=True)), names, MISSING_WORDS)
    source = Source("table", "t", b"/", (), (), lambda: iter(()), tuple(names))
    choices = column_kinds.choose(found, column_kinds.Wish({}, {}, 0.05, source))
    return [str(one.format) if one.kind == "numeric" else str(one.kind) for one in choices.values()]


@pytest.mark.parametrize("written", SPELLINGS)
def test_a_column_has_the_format_that_alone_reads_it(written: str) -> None:
    assert chosen(list(SPELLINGS[written]) * 5) == [written]


def test_thousands_or_thousandths_are_told_by_another_column_or_not_at_all() -> None:
    prices, points, commas = ["1,234", "2,345", "200"] * 5, ["0.5", "1.25", "7"] * 5, ["0,5", "1,25", "7"] * 5
    assert chosen(prices, points) == ["1,234.5", "1234.5"]
    assert chosen(prices, commas) == ["1234,5", "1234,5"]
    # As pandas reads it, unless the table has decimal commas.
    dotted = ["1.234", "2.345", "950"] * 5
    assert chosen(dotted) == ["1234.5"]
    assert chosen(dotted, commas) == ["1.234,5", "1234,5"]
    with pytest.raises(DataError, match=re.escape("""'c0' can be read in two ways""")) as caught:
        chosen(prices)
    assert "1,234 is 1.234 or 1234" in str(caught.value)
    assert """--set 'data.numbers={"c0": "1,234.5"}', or 1234,5""" in str(caught.value)


def test_whole_numbers_are_plain_whatever_their_neighbours() -> None:
    assert chosen(["1", "2", "3"] * 5, ["0,5", "1,25", "7"] * 5) == ["1234.5", "1234,5"]
    assert number_format.best(number_format.readers(Counter(["1", "2"]))) == [number_format.PLAIN]
