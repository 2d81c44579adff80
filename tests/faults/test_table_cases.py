"""Tables that were misread once, after public bug reports, and their siblings: rows, kinds, labels, words."""

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from features import decisions, quarantine
from features.datasets.corpus import Corpus
from features.datasets.dataset import Dataset
from features.errors import ConfigError, DataError
from features.ingest.ingest import ingest as make_dataset
from features.ingest.rules import CorpusRules, IngestRules
from features.rows import columns as rows_columns
from features.rows.featurizer import RowFeaturizer
from features.rows.rules import RowRules
from features.sources.files.candidates import Columns
from features.sources.recognise import recognise
from features.spec import IMAGE, ROW, TEXT, WORD
from features.texts.rules import TextRules
from flows.runs.plans import recipe
from tests.faults.corpus import encode, picture, plant

RULES = {ROW: RowRules, TEXT: TextRules, IMAGE: IngestRules, WORD: CorpusRules}

X = np.random.default_rng(0).normal(0, 2, 60).round(3)
LABELS = np.where(X > 0, "yes", "no")


def ingest(path: Path, root: Path, raw: object = ROW, named: dict | None = None, **rules: object) -> Dataset:
    # One decoder process is enough for some rows, and sooner there than two.
    few = {} if raw is WORD else {"decode_processes": 1}
    settings = RULES[raw](**{**few, **rules})
    found = make_dataset(
        path, raw=raw, columns=Columns(**(named or {})), rules=settings, root=root / "datasets"
    )
    assert found.card["found"] == found.card["accepted"] + found.card["quarantined"] + found.card["skipped"]
    return found


def said(dataset: Dataset | Corpus) -> str:
    """What the terminal says of the decisions."""
    return "\n".join(decisions.summarise(decisions.from_card(dataset.card)))


def kinds(dataset: Dataset) -> dict[str, str]:
    return dict(dataset.card["rules"]["columns"])


def settled(path: Path, named: dict | None = None, **rules: object) -> tuple[dict[str, str], str]:
    """The kinds of the columns, and what the terminal says of them, without an ingest."""
    wanted = RowRules(**rules)
    source = recognise(path, ROW, wanted.reading(Columns(**(named or {}))), path.parent / "scratch")
    found = wanted.settled(source)
    assert list(wanted.settled(source).narrowed(source).columns) == list(found.columns)
    return found.columns, "\n".join(decisions.summarise(list(source.decisions)))


def write(folder: Path, name: str = "t.csv", encoding: str = "utf-8", **columns: Sequence[object]) -> Path:
    frame = pd.DataFrame(
        {key: value if len(value) == 60 else [*value] * (60 // len(value)) for key, value in columns.items()}
    )
    frame = frame if "label" in frame else frame.assign(label=LABELS)
    if name.endswith(".parquet"):
        frame.to_parquet(folder / name)
    else:
        frame.to_csv(
            folder / name, index=False, sep="\t" if name.endswith(".tsv") else ",", encoding=encoding
        )
    return folder / name


def refusal(path: Path, root: Path, *args: object, **rules: object) -> str:
    with pytest.raises(DataError) as caught:
        ingest(path, root, *args, **rules)
    assert caught.value.exit_code == 65
    return str(caught.value)


# -- kinds of columns -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "found", "words"),
    [
        ("date.csv", {"a": "numeric"}, "column 'when': left out (dates or times, as '2024-01-01 12:00:00'"),
        ("missing.csv", {"a": "numeric", "b": "numeric"}, "2 quarantined: 'missing' (2)"),
        ("nullword.csv", {"a": "numeric", "b": "numeric"}, "columns numeric: a, b"),
        (
            "sqlnull.csv",
            {"income": "numeric"},
            "column 'income': numeric (all 182 cells are numbers, 18 missing)",
        ),
        ("thousand.csv", {"price": "numeric", "b": "numeric"}, "column 'price': numeric, written as 1,234.5"),
    ],
)
def test_no_column_of_numbers_is_taken_for_categories(
    cases: Path, tmp_path: Path, name: str, found: dict, words: str
) -> None:
    dataset = ingest(cases / "tabular-silent-categorical" / name, tmp_path)
    assert kinds(dataset) == found
    assert words in said(dataset)
    table = pd.read_csv(cases / "tabular-silent-categorical" / name)
    assert dataset.card["found"] == len(table)
    assert dataset.card["accepted"] == len(table) - (2 if name == "missing.csv" else 0)


@pytest.mark.parametrize("name", ["inf.csv", "inf.parquet"])
def test_infinite_numbers_are_refused_by_name_or_taken_for_missing(
    cases: Path, tmp_path: Path, name: str
) -> None:
    path = cases / "tabular-silent-categorical" / name
    message = refusal(path, tmp_path)
    assert "'inf' in the numeric column 'a': it is infinite" in message
    assert """--set 'data.missing=["inf"]' makes it a missing value""" in message
    dataset = ingest(path, tmp_path, missing=("inf", "-inf"))
    assert kinds(dataset) == {"a": "numeric", "b": "numeric"}
    assert dataset.card["accepted"] == 60


def test_the_words_that_pandas_knows_are_missing_values(tmp_path: Path) -> None:
    words = sorted(pd._libs.parsers.STR_NA_VALUES - {""})
    path = write(tmp_path, a=[*words, *X[len(words) :]], c=["u", "v", "v"])
    dataset = ingest(path, tmp_path)
    assert kinds(dataset) == {"a": "numeric", "c": "categorical"}
    assert f"column 'a': numeric (all {60 - len(words)} cells are numbers, {len(words)} missing)" in said(
        dataset
    )
    assert dataset.card["accepted"] == 60


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([f"{i % 24}:{i % 60:02d}" for i in range(60)], "dates or times, as '0:00'"),
        ([f"{1 + i % 28:02d}/{1 + i % 12:02d}/2024" for i in range(60)], "dates or times"),
        ([f"{1 + i % 28} Mar 2024" for i in range(60)], "dates or times"),
        (["2024-01-01", "2024-01-02", "2024-01-03"], "dates or times"),
        ([f"2024-03-01T12:{i:02d}:00Z" for i in range(60)], "dates or times"),
        ([f"person {i}" for i in range(60)], "60 different values in 60 rows: names, IDs or free text"),
        ([f"{i:x}{i * 7919:08x}z" for i in range(60)], "names, IDs or free text"),
    ],
    ids=["times", "slashes", "months", "few dates", "ISO", "names", "hashes"],
)
def test_columns_nothing_is_learnt_from_are_left_out_by_name(tmp_path: Path, cells: list, words: str) -> None:
    path = write(tmp_path, odd=cells, x=X)
    found, told = settled(path)
    assert found == {"x": "numeric"}
    assert "warning: column 'odd': left out" in told
    assert words in told
    assert """--set 'data.columns={"odd": "categorical"}' keeps it""" in told
    assert settled(path, columns={"odd": "categorical"})[0] == {"odd": "categorical", "x": "numeric"}
    found, told = settled(path, {"input": "odd,x"})
    assert found == {"odd": "categorical", "x": "numeric"}
    assert "warning: column 'odd': categorical" in told
    alone = refusal(write(tmp_path, odd=cells), tmp_path)
    assert "no column of table t.csv" in alone
    assert words in alone


def test_numbers_among_much_else_are_refused_with_the_way_out(tmp_path: Path) -> None:
    cells = ["unknown" if place % 7 == 0 else str(value) for place, value in enumerate(X)]
    path = write(tmp_path, a=cells, b=X)
    message = refusal(path, tmp_path)
    assert "column 'a' mixes numbers and other values; got 51 of 60 cells are numbers" in message
    assert "'unknown' (9)" in message
    assert """--set 'data.missing=["unknown"]'""" in message
    assert settled(path, missing=("unknown",))[0] == {"a": "numeric", "b": "numeric"}
    assert settled(path, columns={"a": "ignored"})[0] == {"b": "numeric"}


def test_mixed_and_nearly_equal_categories_are_said(tmp_path: Path) -> None:
    path = write(
        tmp_path, size=["S", "M", "38"], city=["Paris", "paris", "Rome"], flag=["True", "true", "FALSE"]
    )
    found, told = settled(path)
    assert set(found.values()) == {"categorical"}
    assert "numbers and other things: 'M' (20), 'S' (20)" in told
    assert "nearly equal values count as different ones: 'Paris' and 'paris'" in told
    assert "column 'flag': categorical (true or false)" in told


def test_a_constant_is_said_and_is_no_input_alone(tmp_path: Path) -> None:
    assert "column 'a': numeric, always the same" in settled(write(tmp_path, a=[3], b=X))[1]
    assert "'a' numeric, always the same" in refusal(write(tmp_path, a=[3]), tmp_path)


def test_the_format_of_numbers_can_be_said_and_is_part_of_the_dataset(tmp_path: Path) -> None:
    path = write(tmp_path, a=[f"{2 + abs(value):.3f}".replace(".", ",") for value in X])
    assert "can be read in two ways" in refusal(path, tmp_path)
    first = ingest(path, tmp_path, numbers={"a": "1234,5"})
    other = ingest(path, tmp_path, numbers={"a": "1,234.5"})
    assert first.card["rules"]["numbers"] == {"a": "1234,5"}
    assert first.fingerprint != other.fingerprint
    with pytest.raises(ConfigError, match=r"does not show how to write 1234\.5"):
        recipe.check(RowRules, {"numbers": {"a": "12"}}, "data")
    with pytest.raises(ConfigError, match=r"data\.numbers names an unknown input"):
        ingest(path, tmp_path, numbers={"b": "1,234.5"})


def test_the_graph_reads_a_row_as_the_table_has_it(cases: Path, tmp_path: Path) -> None:
    path = cases / "tabular-silent-categorical" / "thousand.csv"
    dataset = ingest(path, tmp_path)
    rules = RowRules().as_settled(dataset.card)
    lines = sorted(dataset.frame["content"], key=lambda line: float(line.rpartition(b",")[2]))
    known = rows_columns.fit(lines, rules.columns, rules.missing_words, numbers=rules.numbers)
    columns = RowFeaturizer(known, rules.missing_words).cut(tf.constant(lines))
    wanted = pd.read_csv(path, thousands=",").sort_values("b")
    for name, values in zip(rules.columns, columns, strict=True):
        np.testing.assert_array_equal(values.numpy(), wanted[name].to_numpy(np.float32))
    assert known[0]["mean"] == pytest.approx(wanted["price"].mean())


# -- columns that index the rows ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "target", "found", "left"),
    [
        ("index.csv", None, {"a", "b"}, {"column_1"}),
        ("index_level.parquet", None, {"a", "b"}, {"__index_level_0__"}),
        ("exercise_third.csv", "kind", {"diet", "pulse", "time"}, {"column_1", "id"}),
    ],
)
def test_the_index_of_a_data_frame_is_no_input(
    cases: Path, tmp_path: Path, name: str, target: str | None, found: set, left: set
) -> None:
    path = cases / "tabular-index-column" / name
    dataset = ingest(path, tmp_path, ROW, {"target": target})
    assert set(kinds(dataset)) == found
    out = {d["name"] for d in dataset.card["decisions"] if d["choice"] == "left out as an index"}
    assert out == left
    first = sorted(left)[0]
    assert set(settled(path, {"target": target}, columns={first: "numeric"})[0]) == found | {first}


@pytest.mark.parametrize("name", ["Unnamed: 0", "index", "Id", "PassengerId", "customer_id", "row", "uuid"])
def test_names_of_indexes_and_what_numbers_the_rows(tmp_path: Path, name: str) -> None:
    frame = pd.DataFrame({"x": X, name: np.random.default_rng(1).permutation(60) + 100, "label": LABELS})
    frame.to_csv(tmp_path / "t.csv", index=False)
    assert set(settled(tmp_path / "t.csv")[0]) == {"x"}
    assert set(settled(tmp_path / "t.csv", {"input": f"x,{name}"})[0]) == {"x", name}
    # With values that occur again the name says nothing.
    frame.assign(**{name: [n % 5 for n in range(60)]}).to_csv(tmp_path / "t.csv", index=False)
    assert set(settled(tmp_path / "t.csv")[0]) == {"x", name}


def test_a_named_index_of_parquet_and_tables_by_split(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": X, "label": LABELS}, index=pd.Index(range(60), name="who"))
    frame.to_parquet(tmp_path / "t.parquet")
    assert kinds(ingest(tmp_path / "t.parquet", tmp_path)) == {"x": "numeric"}
    for number, split in enumerate(("train", "test")):
        # Each with an index that begins at 0.
        part = frame.iloc[30 * number : 30 * number + 30].reset_index(drop=True)
        (tmp_path / "parts").mkdir(exist_ok=True)
        part.to_csv(tmp_path / "parts" / f"{split}.csv")
    found = ingest(tmp_path / "parts", tmp_path)
    assert kinds(found) == {"x": "numeric"}
    assert "tables UTF-8, delimiter ',', quoting minimal: train.csv, test.csv" in said(found)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (range(7, 67), "it rises from row to row"),
        ([1_700_000_000.5 + 60 * n for n in range(60)], "it rises from row to row"),
        (np.random.default_rng(2).permutation(60), "a whole number of its own in every row"),
    ],
    ids=["counts", "timestamps", "shuffled"],
)
def test_a_column_that_numbers_the_rows_under_another_name_is_warned_of(
    tmp_path: Path, cells: Sequence, words: str
) -> None:
    found, told = settled(write(tmp_path, sample=cells, x=X))
    assert found == {"sample": "numeric", "x": "numeric"}
    assert f"warning: column 'sample': numeric (all 60 cells are numbers; {words}" in told
    assert "warning" not in settled(write(tmp_path, age=np.arange(60) % 37, x=X))[1]


# -- quotes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["strayquote.tsv", "strayquote2.tsv"])
def test_a_quote_in_a_tsv_swallows_nothing(cases: Path, tmp_path: Path, name: str) -> None:
    path = cases / "tsv-stray-quote" / name
    dataset = ingest(path, tmp_path, TEXT)
    assert dataset.card["accepted"] == 200
    header, *lines = path.read_text().splitlines()
    place = header.split("\t").index("text" if name == "strayquote.tsv" else "sentence")
    wanted = sorted(line.split("\t")[place] for line in lines)
    assert sorted(dataset.read(row).decode() for row in dataset.frame.itertuples()) == wanted
    assert "UTF-8, delimiter tab, quoting none (200 rows; no field spans lines)" in said(dataset)
    message = refusal(path, tmp_path, TEXT, quoting="minimal")
    assert "a quote opens on line 22 and closes on line 82, over what look like rows" in message


def texts(dataset: Dataset) -> list[str]:
    frame = dataset.frame.assign(row=dataset.frame["name"].str.rpartition(":")[2].astype(int))
    return [dataset.read(row).decode() for row in frame.sort_values("row").itertuples()]


PAIRS = [(f"text number {number}", "ab"[number % 2]) for number in range(60)]


@pytest.mark.parametrize(
    ("cell", "quoting"),
    [
        ('say "{n}"', "minimal"),
        ("a tab\there {n}", "minimal"),
        ('"stray {n}', "none"),
        ('5" disk {n}', "none"),
        ("plain {n}", "none"),
    ],
)
def test_a_tsv_has_quotes_where_a_program_wrote_them(tmp_path: Path, cell: str, quoting: str) -> None:
    wanted = [cell.replace("{n}", str(number)) for number in range(60)]
    if quoting == "none":
        lines = [f"{text}\t{label}" for text, (_, label) in zip(wanted, PAIRS, strict=True)]
        (tmp_path / "t.tsv").write_text("\n".join(["text\tlabel", *lines]) + "\n")
    else:
        write(tmp_path, "t.tsv", text=wanted, label=["a", "b"])
    dataset = ingest(tmp_path / "t.tsv", tmp_path, TEXT)
    assert texts(dataset) == wanted
    assert f"delimiter tab, quoting {quoting}" in said(dataset)


def test_a_tsv_with_every_field_in_quotes(tmp_path: Path) -> None:
    frame = pd.DataFrame(PAIRS, columns=["text", "label"])
    frame.to_csv(tmp_path / "t.tsv", sep="\t", index=False, quoting=1)
    assert texts(ingest(tmp_path / "t.tsv", tmp_path, TEXT)) == [text for text, _ in PAIRS]


def test_quotes_in_a_csv(tmp_path: Path) -> None:
    """Inside a field, over two lines as meant, over 40 rows as not meant, and with backslashes."""
    lines = [f"{text},{label}" for text, label in PAIRS]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["text,label", 'a 5" disk,b', '"two\nlines",a', *lines]) + "\n")
    dataset = ingest(path, tmp_path, TEXT)
    assert texts(dataset)[:2] == ['a 5" disk', "two\nlines"]
    assert "quoting 't.csv': fields span lines in 1 row (the longest from line 3 to line 4)" in said(dataset)
    stray = [*lines[:5], '"' + lines[5], *lines[6:50], lines[50].replace(",", '",'), *lines[51:]]
    path.write_text("\n".join(["text,label", *stray]) + "\n")
    message = refusal(path, tmp_path, TEXT)
    assert "a quote opens on line 7 and closes on line 52" in message
    assert "--set data.quoting=none" in message
    assert ingest(path, tmp_path, TEXT, quoting="none").card["accepted"] == 60
    path.write_text("text,label\n" + "".join(f'"said \\"hi {n}\\", yes",{"ab"[n % 2]}\n' for n in range(60)))
    dataset = ingest(path, tmp_path, TEXT)
    assert texts(dataset)[:2] == ['said "hi 0", yes', 'said "hi 1", yes']
    assert "quoting escaped" in said(dataset)


def test_a_fault_of_quotes_is_told_in_our_words(tmp_path: Path) -> None:
    lines = [f"{text},{label}" for text, label in PAIRS]
    odd = ['"x"y,a', "a\rb,a", '"he said \\"hi\\"",a']
    (tmp_path / "t.csv").write_text("\n".join(["text,label", *lines, *odd]) + "\n", newline="")
    dataset = ingest(tmp_path / "t.csv", tmp_path, TEXT, quoting="minimal")
    details = [entry["detail"] for entry in quarantine.read(dataset.quarantine)]
    assert [entry["reason"] for entry in quarantine.read(dataset.quarantine)] == ["bad_quoting"] * 3
    assert details[0].startswith("text follows a closing quote")
    assert details[1] == "a carriage return stands in a field without quotes"
    assert "--set data.quoting=escaped" in details[2]


@pytest.mark.parametrize("raw", [WORD, ROW])
def test_quotes_of_other_kinds_of_data(tmp_path: Path, raw: object) -> None:
    """A TSV of words or of rows swallows nothing either."""
    lines = [
        f"{'ab'[n % 2]}\t{value}\t{chr(34) if n in (10, 40) else ''}some words" for n, value in enumerate(X)
    ]
    (tmp_path / "t.tsv").write_text("\n".join(["label\tx\ttext", *lines]) + "\n")
    assert ingest(tmp_path / "t.tsv", tmp_path, raw).card["accepted"] == 60


# -- headers, delimiters, encodings ---------------------------------------------------------------


def test_empty_columns_without_a_name_are_ignored(cases: Path, tmp_path: Path) -> None:
    dataset = ingest(cases / "csv-empty-headers" / "trail.csv", tmp_path)
    assert kinds(dataset) == {"a": "numeric", "b": "numeric"}
    assert "columns left out, without a value: column_4, column_5, column_6" in said(dataset)
    path = cases / "csv-empty-headers" / "spam_kaggle_utf8.csv"
    dataset = ingest(path, tmp_path, TEXT, {"input": "v2", "target": "v1"})
    assert (dataset.card["accepted"], dataset.labels) == (40, ("ham", "spam"))
    assert texts(dataset) == list(pd.read_csv(path)["v2"])


def test_columns_of_one_name_are_told_apart_and_refused_where_asked_for(tmp_path: Path) -> None:
    rows = "".join(f"{value},{2 * value},{label}\n" for value, label in zip(X, LABELS, strict=True))
    (tmp_path / "t.csv").write_text("a,a,label\n" + rows)
    dataset = ingest(tmp_path / "t.csv", tmp_path)
    assert list(kinds(dataset)) == list(pd.read_csv(tmp_path / "t.csv").columns[:2]) == ["a", "a.1"]
    assert "warning: header 't.csv': columns of the same name: 'a'" in said(dataset)
    (tmp_path / "t.csv").write_text("a,label,label\n" + rows)
    assert "columns of the same name" in refusal(tmp_path / "t.csv", tmp_path)


def test_empty_fields_beyond_the_header_are_ignored(tmp_path: Path) -> None:
    rows = "".join(f"{value},{label},,\n" for value, label in zip(X, LABELS, strict=True))
    (tmp_path / "t.csv").write_text("a,label\n" + rows)
    dataset = ingest(tmp_path / "t.csv", tmp_path)
    assert dataset.card["accepted"] == 60
    assert "fields 't.csv': empty ones beyond the header ignored (60 rows)" in said(dataset)


def test_row_names_without_a_name_are_explained_and_blank_lines_before_a_header_passed_over(
    tmp_path: Path,
) -> None:
    rows = "".join(f"r{n},{value},{label}\n" for n, (value, label) in enumerate(zip(X, LABELS, strict=True)))
    (tmp_path / "t.csv").write_text("a,label\n" + rows)
    assert "as row names of R, begin the header with a delimiter" in refusal(tmp_path / "t.csv", tmp_path)
    (tmp_path / "t.csv").write_text("\n \n\n,a,label\n" + rows)
    assert settled(tmp_path / "t.csv")[0] == {"a": "numeric"}
    bad = ingest(write(tmp_path, a=X), tmp_path, missing=(str(X[0]),))
    assert "column 'a': numeric (all 59 cells are numbers, 1 missing)" in said(bad)


def test_the_sep_line_of_excel(cases: Path, tmp_path: Path) -> None:
    dataset = ingest(cases / "csv-messages" / "sep.csv", tmp_path)
    assert kinds(dataset) == {"a": "numeric", "b": "numeric"}
    assert dataset.card["accepted"] == 60
    assert "table 'sep.csv': UTF-8, delimiter ';', quoting minimal (60 rows" in said(dataset)


def test_a_table_without_a_header(cases: Path, tmp_path: Path) -> None:
    path = cases / "csv-messages" / "noheader.csv"
    assert "The first row looks like data: add --no-header" in refusal(path, tmp_path)
    assert "--no-header" in refusal(path, tmp_path, ROW, {"target": "label"})
    for target in ("3", "column_3"):
        dataset = ingest(path, tmp_path, ROW, {"target": target}, header=False)
        assert kinds(dataset) == {"column_1": "numeric", "column_2": "numeric"}
        assert dataset.card["accepted"] == len(pd.read_csv(path, header=None)) == 60
    (tmp_path / "t.csv").write_text("".join(f"{text},{label}\n" for text, label in PAIRS))
    assert "--no-header" in refusal(tmp_path / "t.csv", tmp_path, TEXT)
    dataset = ingest(tmp_path / "t.csv", tmp_path, TEXT, {"input": "1", "target": "2"}, header=False)
    assert texts(dataset) == [text for text, _ in PAIRS]
    assert "--no-header" not in refusal(write(tmp_path, kind=["u", "v"], label=LABELS), tmp_path, TEXT)


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_delimiters_and_decimal_commas(tmp_path: Path, mark: str) -> None:
    frame = pd.DataFrame({"first; one" if mark == "," else "first, one": X, "b": X, "label": LABELS})
    frame.to_csv(tmp_path / "t.csv", sep=mark, index=False, decimal="," if mark == ";" else ".")
    assert list(settled(tmp_path / "t.csv")[0].values()) == ["numeric", "numeric"]
    frame.to_csv(tmp_path / "t.csv", sep=":", index=False)
    assert len(settled(tmp_path / "t.csv", delimiter=":")[0]) == 2


@pytest.mark.parametrize(
    ("encoding", "given", "shown"),
    [
        ("utf-8-sig", "auto", "UTF-8"),
        ("utf-16", "auto", "UTF-16"),
        ("utf-32", "auto", "UTF-32"),
        ("utf-16-le", "utf-16-le", "UTF-16-LE"),
        ("cp1252", "cp1252", "CP1252"),
        ("latin-1", "latin-1", "ISO8859-1"),
        ("shift_jis", "shift_jis", "SHIFT_JIS"),
    ],
)
def test_encodings(tmp_path: Path, encoding: str, given: str, shown: str) -> None:
    word = "\u6771\u4eac" if encoding == "shift_jis" else "\u00a3 caf\u00e9"
    frame = pd.DataFrame({"text": [f"{word} {n}" for n in range(60)], "label": LABELS})
    (tmp_path / "t.csv").write_bytes(frame.to_csv(index=False).encode(encoding))
    dataset = ingest(tmp_path / "t.csv", tmp_path, TEXT, encoding=given)
    assert texts(dataset) == list(frame["text"])
    assert f"table 't.csv': {shown}, " in said(dataset)


def test_other_encodings_are_told_by_name(tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": [f"text {n}" + "\u00e9" * (n < 2) for n in range(60)], "label": LABELS})
    (tmp_path / "t.csv").write_bytes(frame.to_csv(index=False).encode("cp1252"))
    dataset = ingest(tmp_path / "t.csv", tmp_path, TEXT)
    assert dataset.card["reasons"] == {"bad_encoding": 2}
    assert "warning: encoding 't.csv': bytes that are not UTF-8 in 2 rows" in said(dataset)
    (tmp_path / "t.csv").write_bytes(
        frame.assign(text="caf\u00e9 " + frame["text"]).to_csv().encode("cp1252")
    )
    assert "in cp1252 it is '\u00e9', which --set data.encoding=cp1252 reads" in refusal(
        tmp_path / "t.csv", tmp_path, TEXT
    )
    (tmp_path / "t.csv").write_bytes("gr\u00f6\u00dfe,label\n1,a\n".encode("cp1252"))
    assert "data.encoding=cp1252" in refusal(tmp_path / "t.csv", tmp_path)
    (tmp_path / "t.csv").write_bytes(frame.to_csv(index=False).encode("utf-16-be"))
    assert "data.encoding=utf-16-be" in refusal(tmp_path / "t.csv", tmp_path, TEXT)
    (tmp_path / "t.csv").write_bytes(frame.to_csv(index=False).encode("utf-16") + b"\x00\xd8\n\x00")
    dataset = ingest(tmp_path / "t.csv", tmp_path, TEXT)
    assert dataset.card["reasons"] == {"bad_encoding": 1}
    assert quarantine.read(dataset.quarantine)[0]["detail"] == "bytes that are no UTF-16"
    for wrong in ("cp9999", "base64", ""):
        with pytest.raises(ConfigError, match="an encoding that Python knows"):
            recipe.check(TextRules, {"encoding": wrong}, "data")


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
def test_line_ends(tmp_path: Path, end: str) -> None:
    frame = pd.DataFrame({"x": X, "label": LABELS})
    (tmp_path / "t.csv").write_bytes(frame.to_csv(index=False, lineterminator=end).encode())
    dataset = ingest(tmp_path / "t.csv", tmp_path)
    assert sorted(float(row.content) for row in dataset.frame.itertuples()) == sorted(X)


# -- labels ---------------------------------------------------------------------------------------


def test_a_number_to_be_predicted_is_asked_about(cases: Path, tmp_path: Path) -> None:
    message = refusal(cases / "csv-messages" / "regress.csv", tmp_path)
    assert "the labels are 60 distinct numbers: a regression?" in message
    assert "pandas.cut" in message
    assert "merge" not in message
    message = refusal(write(tmp_path, x=X, label=[f"a text {n}" for n in range(60)]), tmp_path)
    assert "nearly every example has a label of its own: 60 in 60 examples" in message
    prices = write(tmp_path, x=X, label=[1000 * (n % 25) for n in range(60)])
    assert "25 distinct numbers: a regression?" in refusal(prices, tmp_path)


@pytest.mark.parametrize(
    ("found", "wanted", "words"),
    [
        (["1", "1.0", "0"], ("0", "1"), "label '1.0': read as an integer ('1', which others are)"),
        (["0.0", "1.0"], ("0", "1"), "labels read as an integer: 0.0, 1.0"),
        (["1.5", "2.0"], ("1.5", "2.0"), ""),
        ([" a", "a", "b "], ("a", "b"), "labels read without needless blanks:  a, b "),
        (["new  york", "new york", "b"], ("b", "new york"), "read without needless blanks"),
        (["caf\u00e9", "cafe\u0301", "tea"], ("caf\u00e9", "tea"), "read in composed Unicode"),
    ],
    ids=["1.0", "floats", "halves", "blanks", "inner blanks", "accents"],
)
def test_labels_that_surely_mean_the_same_are_one(
    tmp_path: Path, found: list, wanted: tuple, words: str
) -> None:
    dataset = ingest(write(tmp_path, x=X, label=found), tmp_path)
    assert dataset.labels == wanted
    assert words in said(dataset)
    assert dataset.card["accepted"] == 60


def test_floats_of_parquet_are_whole_numbers(tmp_path: Path) -> None:
    label = pd.Series(np.where(X > 0, 1.0, 0.0)).where(np.arange(60) > 1)
    dataset = ingest(write(tmp_path, "t.parquet", x=X, label=label), tmp_path)
    assert dataset.labels == ("0", "1")
    assert dataset.card["reasons"] == {"missing_value": 2}


@pytest.mark.parametrize(
    "found",
    [
        ["Yes", "yes", "no"],
        ["true", "TRUE", "x"],
        ["a-b", "a_b", "c"],
        ["new york", "New York", "b"],
        ["1", "01", "2"],
        ["1,5", "1", "01 "],
        ["a\u200bb", "ab", "c"],
    ],
)
def test_labels_that_differ_in_spelling_alone_are_refused_with_their_merge(
    tmp_path: Path, found: list
) -> None:
    message = refusal(write(tmp_path, x=X, label=found), tmp_path)
    assert "differ in case, spaces, hyphens or number format alone" in message
    merge = json.loads(message.partition("--set 'data.merge=")[2].partition("'; where")[0])
    assert len(ingest(tmp_path / "t.csv", tmp_path, merge=merge).labels) == len(found) - len(merge)


def test_grades_and_signs_are_labels_of_their_own(tmp_path: Path) -> None:
    assert ingest(write(tmp_path, x=X, label=["A", "A-", "A+"]), tmp_path).labels == ("A", "A+", "A-")
    assert ingest(write(tmp_path, x=X, label=["-1", "1", "0"]), tmp_path).labels == ("-1", "0", "1")


def test_missing_words_are_no_class_and_none_may_be_one(tmp_path: Path) -> None:
    path = write(tmp_path, x=X, label=["NA", *["a", "b"] * 29, "nan"])
    dataset = ingest(path, tmp_path)
    assert dataset.labels == ("a", "b")
    assert dataset.card["reasons"] == {"missing_value": 2}
    assert "warning: label 'NA': taken for a missing label (1 row; --set 'data.missing_labels=[]'" in said(
        dataset
    )
    assert ingest(write(tmp_path, x=X, label=["NA", "US"]), tmp_path, missing_labels=()).labels == (
        "NA",
        "US",
    )
    dataset = ingest(write(tmp_path, x=X, label=["None", "Apnea"]), tmp_path)
    assert dataset.labels == ("Apnea", "None")
    assert "warning: label 'None': taken for a class, not for a missing label (30 rows" in said(dataset)


# -- files that a table names ---------------------------------------------------------------------


@pytest.fixture
def photos(cases: Path, tmp_path: Path) -> Path:
    """The two tables of the case, with files as their owners had them."""
    for name in ("kaggle_labels.csv", "windows_labels.csv"):
        shutil.copy(cases / "csv-image-paths" / name, tmp_path / name)
    ids = pd.read_csv(tmp_path / "kaggle_labels.csv", dtype=str)["id"]
    plant(tmp_path, {f"train/{one}.jpg": encode(picture(n), "JPEG") for n, one in enumerate(ids)})
    plant(tmp_path, {f"images/{n}.jpg": encode(picture(n), "JPEG") for n in range(30)})
    return tmp_path


def test_names_without_an_ending_are_explained_and_found(photos: Path) -> None:
    columns = {"input": "id", "target": "breed"}
    message = refusal(photos / "kaggle_labels.csv", photos, IMAGE, columns)
    assert re.search(r"kaggle_labels\.csv line 2 \(\w+: there is no file '0{32}'", message), message
    assert "add --input-suffix .jpg --input-folder train" in message
    named = {"input_suffix": "jpg", "input_folder": "train"}
    dataset = ingest(photos / "kaggle_labels.csv", photos, IMAGE, columns, **named)
    assert (dataset.card["accepted"], dataset.labels) == (30, ("boxer", "pug"))
    assert "read with the ending .jpg (30 rows)" in said(dataset)


def test_backslashes_are_read_as_separators(photos: Path) -> None:
    dataset = ingest(photos / "windows_labels.csv", photos, IMAGE)
    assert dataset.card["accepted"] == 30
    assert "backslashes read as slashes (30 rows)" in said(dataset)


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("/home/ann/images/{n}.jpg", "'images/0.jpg' is there: write paths relative to the table"),
        ("C:\\Users\\ann\\images\\{n}.jpg", "'images/0.jpg' is there: write paths relative to the table"),
        ("file:///home/ann/images/{n}.jpg", "'images/0.jpg' is there: write paths relative to the table"),
        ("{n}.jpg", "'images/0.jpg' is there: add --input-folder images"),
        ("images/{n}", "'images/0.jpg' is there: add --input-suffix .jpg"),
        ("images/{n}.JPG", "'images/0.jpg' is there: capitals and small letters differ"),
        ("Images/{n}.jpg", "'images/0.jpg' is there: capitals and small letters differ"),
        ("images/{n}.png", "'images/0.jpg' is there, of another ending"),
        ("image%73/{n}.jpg", "'images/0.jpg' is there: the name is percent-encoded"),
        ("https://example.com/{n}.jpg", "download the files"),
        ("photos/p{n}.jpg", "files there are called as 'images/0.jpg' is"),
        ("images/v1.{n}", "there is no file"),
    ],
)
def test_a_missing_file_is_explained_by_one_that_is_there(tmp_path: Path, cell: str, words: str) -> None:
    plant(tmp_path, {f"images/{n}.jpg": encode(picture(n), "JPEG") for n in range(6)})
    plant(tmp_path, {f"images/v1.{n}.jpg": encode(picture(n), "JPEG") for n in range(6)})
    rows = "".join(f"{cell.replace('{n}', str(n))},{'ab'[n % 2]}\n" for n in range(6))
    (tmp_path / "t.csv").write_text("path,label\n" + rows)
    assert words in refusal(tmp_path / "t.csv", tmp_path, IMAGE)


@pytest.mark.parametrize(
    "cell", ["./images/{n}.jpg", " images/{n}.jpg", "images\\{n}.jpg", "images//{n}.jpg"]
)
def test_other_ways_to_write_a_path_are_read(tmp_path: Path, cell: str) -> None:
    plant(tmp_path, {f"images/{n}.jpg": encode(picture(n), "JPEG") for n in range(10)})
    rows = "".join(f"{cell.replace('{n}', str(n))},{'ab'[n % 2]}\n" for n in range(10))
    (tmp_path / "t.csv").write_text("path,label\n" + rows)
    assert ingest(tmp_path / "t.csv", tmp_path, IMAGE).card["accepted"] == 10
