"""Rows of tables: text that TensorFlow reads as Python wrote it, kinds of columns, quarantine, features."""

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from features import quarantine
from features.datasets.dataset import Dataset
from features.errors import ConfigError, DataError
from features.ingest.ingest import ingest as make_dataset
from features.rows import check, column_kinds, column_survey
from features.rows import columns as rows_columns
from features.rows.featurizer import RowFeaturizer
from features.rows.rules import RowRules
from features.sources.files.candidates import Columns, Source
from features.sources.tables import cells as rows
from features.sources.tables import number_format
from features.spec import ROW

#: No NUL and no lone surrogates, which ingest refuses.
CELLS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)


@given(st.lists(CELLS, min_size=2, max_size=5))
@settings(max_examples=100, deadline=None)
def test_tensorflow_reads_the_cells_that_were_written(cells: list[str]) -> None:
    found = tf.io.decode_csv(tf.constant([rows.line(cells).encode()]), [[""]] * len(cells))
    assert [cell.numpy()[0].decode() for cell in found] == cells
    assert rows.cells(rows.line(cells)) == [cell.strip(" \t\n\r\f\v") for cell in cells]


@pytest.mark.parametrize("text", ["1", "-1.5", "+.5", "2.", "1e3", "-4.2E-7", "007", "3.4e38"])
def test_numbers_are_what_tensorflow_reads(text: str) -> None:
    assert number_format.PLAIN.number(text) == float(text)
    assert np.float32(number_format.PLAIN.number(text)) == tf.strings.to_number(text).numpy()


@pytest.mark.parametrize(
    "text", ["", "a", "1,5", "1_000", "0x1A", "inf", "nan", "1e39", "٣", "1 2", "--1", "."]
)
def test_other_cells_are_no_numbers(text: str) -> None:
    assert number_format.PLAIN.number(text) is None


def test_a_column_is_numeric_but_for_few_odd_cells() -> None:
    cells = [[str(n) if n > 4 else "x", "x" if n < 6 else "1", "NA", str(n % 2)] for n in range(100)]
    found = column_survey.survey(map(rows.line, cells), ["few", "many", "none", "given"], ["NA"])
    source = Source("table", "t", b"/", (), (), lambda: iter(()), ("few", "many", "none", "given"))
    chosen = column_kinds.choose(found, column_kinds.Wish({"given": "categorical"}, {}, 0.05, source))
    kinds = {name: one.kind for name, one in chosen.items()}
    assert kinds == {"few": "numeric", "many": "categorical", "none": None, "given": "categorical"}


def test_inputs_have_names_of_their_own() -> None:
    names = ["petal length (cm)", "petal_length_cm", "größe", "素", "class", "2nd", "a"]
    found = rows.identifiers(names)
    assert found[2:] == ("groe", "column", "class_", "column_2nd", "a")
    assert len(set(found)) == len(names)
    assert all(name.isidentifier() and name.isascii() for name in found)


def ingest(path: Path, named: str | None = None, **rules: object) -> Dataset:
    wanted = RowRules(**({"max_bad_fraction": 0.5} | rules))
    found = make_dataset(path, raw=ROW, columns=Columns(named), rules=wanted, root=path.parent / "datasets")
    card = found.card
    assert card["found"] == card["accepted"] + card["quarantined"] + card["skipped"]
    return found


GOOD = [f"{n}.5,{'red' if n % 3 else 'blue'},{n % 7},{'ab'[n % 2]}" for n in range(40)]


def table(path: Path, *bad: bytes) -> Path:
    path.write_bytes(b"\n".join([b"size,colour,x,label", *(row.encode() for row in GOOD), *bad]) + b"\n")
    return path


def test_bad_rows_are_quarantined_with_reason_and_line(tmp_path: Path) -> None:
    bad = {
        b"oops,red,1,a": "not_a_number",
        b"1e99,red,1,a": "not_a_number",
        b"1,red,1": "ragged_row",
        b"1,r\0d,1,a": "nul",
        b"1,r\xffd,1,a": "bad_encoding",
        b",,,a": "missing_value",
        b"NA,?, ,a": "missing_value",
        b"1,red,1,": "missing_value",
        b'1,"red"x,1,a': "bad_quoting",
    }
    found = ingest(table(tmp_path / "rows.csv", *bad, b""))
    refused = {entry["line"]: entry["reason"] for entry in quarantine.read(found.quarantine)}
    assert refused == dict(enumerate(bad.values(), start=42))
    assert found.card["accepted"] == 40
    assert found.card["skip_reasons"] == {"blank_row": 1}
    assert found.card["rules"]["columns"] == {"size": "numeric", "colour": "categorical", "x": "numeric"}
    assert {row.content for row in found.frame.itertuples()} == {row[:-2].encode() for row in GOOD}


@pytest.mark.parametrize(
    ("content", "reason"), [(b"\xff\xd8", "bad_encoding"), (b'"a"x,1', "bad_quoting"), (b"", "ragged_row")]
)
def test_a_row_of_another_making_is_refused_with_a_reason(content: bytes, reason: str) -> None:
    with pytest.raises(quarantine.RefusedError) as caught:
        check.check(content, "", {"columns": {"a": "categorical", "b": "numeric"}, "missing": []})
    assert caught.value.reason == reason


def test_kinds_and_columns_can_be_set(tmp_path: Path) -> None:
    path = table(tmp_path / "rows.csv")
    found = ingest(path, columns={"x": "categorical", "colour": "ignored"})
    assert found.card["rules"]["columns"] == {"size": "numeric", "x": "categorical"}
    other = ingest(path, "x, size")
    assert other.card["rules"]["columns"] == {"x": "numeric", "size": "numeric"}
    assert other.fingerprint != found.fingerprint
    with pytest.raises(ConfigError, match="'colours'"):
        ingest(path, columns={"colours": "categorical"})
    with pytest.raises(DataError, match="no such input column"):
        ingest(path, "x,label")


def test_the_names_of_columns_are_part_of_the_dataset(tmp_path: Path) -> None:
    first = ingest(table(tmp_path / "rows.csv"))
    renamed = tmp_path / "renamed.csv"
    renamed.write_text((tmp_path / "rows.csv").read_text().replace("size", "length"))
    assert ingest(renamed).fingerprint != first.fingerprint


def test_parquet_and_tsv_hold_the_same_rows(tmp_path: Path) -> None:
    frame = pd.read_csv(table(tmp_path / "rows.csv"))
    frame.to_parquet(tmp_path / "rows.parquet")
    frame.to_csv(tmp_path / "rows.tsv", sep="\t", index=False)
    wanted = ingest(tmp_path / "rows.csv").fingerprint
    assert ingest(tmp_path / "rows.parquet").fingerprint == wanted
    assert ingest(tmp_path / "rows.tsv").fingerprint == wanted


def test_equal_values_share_a_split_and_two_labels_are_no_fault(tmp_path: Path) -> None:
    rows_of = [f"{n}{'.0' * (n % 2)},{'ab'[n % 2]}" for n in range(10) for _ in range(2)]
    twins = [f"{n}{'' if n % 2 else '.0'},b" for n in range(10)]
    (tmp_path / "rows.csv").write_text("\n".join(["x,label", *rows_of, *twins]) + "\n")
    found = ingest(tmp_path / "rows.csv")
    assert found.card["accepted"] == 30
    number = found.frame["content"].map(lambda content: float(content.decode()))
    assert (found.frame.groupby(number)["split"].nunique() == 1).all()


def test_tables_of_splits_have_the_same_columns(tmp_path: Path) -> None:
    table(tmp_path / "train.csv")
    (tmp_path / "test.csv").write_text("colour,size,x,label\nred,1,2,a\nblue,2,3,b\n")
    with pytest.raises(DataError, match="different columns"):
        ingest(tmp_path)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    random = np.random.default_rng(0)
    made = pd.DataFrame({"a": random.normal(50, 9, 60).round(3), "b": random.normal(-3, 0.1, 60).round(4)})
    made["colour"] = random.choice(["red", "größe", 'a "b", c'], 60)
    return made


def lines(frame: pd.DataFrame) -> list[bytes]:
    return [rows.line(["" if cell != cell else str(cell) for cell in row]).encode() for row in frame.values]


KINDS = {"a": "numeric", "b": "numeric", "colour": "categorical"}


def featurizer(frame: pd.DataFrame, **options: int) -> RowFeaturizer:
    return RowFeaturizer(rows_columns.fit(lines(frame), KINDS, ["NA"], **options), ["NA"])


def test_features_are_those_of_scikit_learn(frame: pd.DataFrame) -> None:
    found = featurizer(frame)
    values = found(tf.constant(lines(frame))).numpy()
    scaled = StandardScaler().fit_transform(frame[["a", "b"]])
    np.testing.assert_allclose(values[:, :2], scaled, atol=2e-4)
    order = list(found.columns[2]["vocabulary"])
    hot = OneHotEncoder(categories=[order], sparse_output=False).fit_transform(frame[["colour"]])
    np.testing.assert_array_equal(values[:, 4:], hot)
    assert not values[:, 2:4].any()
    assert found.names[:4] == ("a", "b", "colour = [unknown]", "colour = [missing]")


def test_what_is_missing_or_unknown_has_features_of_its_own_and_is_named(frame: pd.DataFrame) -> None:
    gappy = frame.assign(a=frame["a"].where(frame.index % 4 > 0))
    found = featurizer(gappy)
    columns = found.cut(tf.constant([b"NA,-3,pink", b" 50 ,-3, ", b"50, NA ,[unknown]"]))
    values, noted = found.features(columns).numpy(), found.noted(columns)
    assert found.names[2] == "a is missing"
    assert values[:, 2].tolist() == [1, 0, 0]
    assert values[0, 0] == values[2, 1] == 0
    assert values[:, 3].tolist() == [1, 0, 1]
    assert values[:, 4].tolist() == [0, 1, 0]
    assert [name.decode() for name in noted["missing"].numpy()] == ["a", "colour", "b"]
    assert [name.decode() for name in noted["unknown"].numpy()] == ["colour", "", "colour"]
    mean = gappy["a"].mean()
    assert values[1, 0] == pytest.approx((50 - mean) / gappy["a"].std(ddof=0), abs=1e-4)


def test_rare_values_are_unknown_and_a_constant_is_zero(frame: pd.DataFrame) -> None:
    odd = frame.assign(b=7.0, colour=["once", *["often"] * 59])
    found = featurizer(odd, min_count=2)
    assert found.columns[2]["vocabulary"] == ["often"]
    values = found(tf.constant(lines(odd))).numpy()
    assert not values[:, 1].any()
    assert values[0, 2] == 1


@pytest.mark.parametrize(
    ("row", "said"),
    [(b"1,2", "Expect 3 fields"), (b"1,two,red", "column 'b' holds numbers"), (b"1e99,2,red", "column 'a'")],
)
def test_other_rows_are_refused_in_the_graph(frame: pd.DataFrame, row: bytes, said: str) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        featurizer(frame)(tf.constant([row]))
    assert said in str(caught.value).replace("\\'", "'")


def test_a_row_of_one_line_is_read_with_its_end(frame: pd.DataFrame) -> None:
    found = featurizer(frame)
    np.testing.assert_array_equal(found(tf.constant([b"50,-3,red\r\n"])), found(tf.constant([b"50,-3,red"])))
    assert json.loads(json.dumps(found.get_config()["columns"])) == list(found.columns)
    assert next(csv.reader(["50,-3,red"])) == rows.cells("50,-3,red")
