"""Fault cases I16 to I19 and I21 for texts: encodings, control characters, endless lines, broken tables."""

import json
import resource
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.datasets.dataset import Dataset
from features.errors import DataError
from features.ingest.ingest import ingest as make_dataset
from features.quarantine import RefusedError
from features.sources.files.candidates import Columns
from features.spec import TEXT
from features.texts.check import check
from features.texts.rules import TextRules

RULES = TextRules().verdict_rules()


def ingest(data: Path, **rules: object) -> Dataset:
    dataset = make_dataset(
        data,
        raw=TEXT,
        columns=Columns(),
        rules=TextRules(**{"max_bad_fraction": 1.0} | rules),
        root=data.parent / "datasets",
    )
    card = dataset.card
    assert card["found"] == card["accepted"] + card["quarantined"] + card["skipped"]
    return dataset


def folders(root: Path, **texts: bytes) -> Path:
    """Write each text as a file of class a, beside four sound ones of each class."""
    for label in ("a", "b"):
        (root / label).mkdir(parents=True)
        for number in range(4):
            (root / label / f"sound-{number}.txt").write_text(f"sound text {label} {number}")
    for name, content in texts.items():
        (root / "a" / f"{name}.txt").write_bytes(content)
    return root


def refused(dataset: Dataset) -> dict[str, dict]:
    lines = dataset.quarantine.read_text("utf-8").splitlines()
    return {Path(entry["path"]).stem: entry for entry in map(json.loads, lines)}


def test_i16_encodings_are_told_with_the_byte(tmp_path: Path) -> None:
    source = folders(
        tmp_path / "texts",
        latin="caf\xe9".encode("latin-1"),
        utf16="text".encode("utf-16"),
        utf32="text".encode("utf-32"),
        marked=b"\xef\xbb\xbfmarked text",
        crlf=b"two\r\nlines\r\n",
    )
    dataset = ingest(source)
    found = refused(dataset)
    assert {name: entry["reason"] for name, entry in found.items()} == dict.fromkeys(
        ("latin", "utf16", "utf32"), "bad_encoding"
    )
    assert "0xe9 at offset 3" in found["latin"]["detail"]
    assert "UTF-16" in found["utf16"]["detail"]
    assert "UTF-32" in found["utf32"]["detail"]
    kept = {Path(row.name).name: dataset.read(row) for row in dataset.frame.itertuples(index=False)}
    assert kept["marked.txt"] == b"marked text"
    assert kept["crlf.txt"] == b"two\r\nlines\r\n"


def test_i16_bad_bytes_are_replaced_when_asked() -> None:
    facts = check(b"caf\xe9 \0!", ".txt", RULES | {"bad_text": "replace"})
    assert facts.stored == "caf\ufffd \ufffd!".encode()
    assert "replaced" in facts.notes


def test_i16_a_mark_is_no_part_of_a_column_name(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_bytes(
        b"\xef\xbb\xbftext,label\r\n"
        + b"".join(b"text %d,%s\r\n" % (n, b"ab"[n % 2 :][:1]) for n in range(8))
    )
    assert len(ingest(table).frame) == 8


def test_i17_nul_is_refused_and_control_characters_noted() -> None:
    with pytest.raises(RefusedError, match="nul: a NUL character at offset 2"):
        check(b"ab\0c", ".txt", RULES)
    facts = check("a\x1b[31mb \u202e \u200d".encode(), ".txt", RULES)
    assert facts.notes == ("control_characters",)
    assert facts.stored is None


def test_i17_nothing_but_blanks(tmp_path: Path) -> None:
    found = refused(ingest(folders(tmp_path / "texts", blank=b" \n\t", none=b"")))
    assert {name: entry["reason"] for name, entry in found.items()} == {
        "blank": "empty_text",
        "none": "empty",
    }


@given(
    st.lists(
        st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1), min_size=25
    )
)
@settings(max_examples=8, deadline=None)
def test_i17_every_text_is_read_back_as_it_was(texts: list[str]) -> None:
    """200 texts of any script and more, eight times 25, through a table's cells and back."""
    import tempfile

    import pandas as pd

    wanted = {f"{text}{number}": "ab"[number % 2] for number, text in enumerate(texts)}
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "table.parquet"
        pd.DataFrame({"text": list(wanted), "label": list(wanted.values())}).to_parquet(table)
        dataset = ingest(table)
        read = [dataset.read(row).decode() for row in dataset.frame.itertuples()]
        assert sorted(read) == sorted(wanted)


def test_i18_an_endless_line_is_refused_with_its_number(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    with table.open("wb") as file:
        file.write(b"text,label\n")
        file.writelines(b"short text %d,%s\n" % (number, b"ab"[number % 2 :][:1]) for number in range(6))
        file.write(b"x" * 10_000_000 + b",a\n")
        file.write(b"y" * 200_000 + b",b\n")
        file.write(b"the last,b\n")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    dataset = ingest(table)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    entries = [json.loads(line) for line in dataset.quarantine.read_text().splitlines()]
    assert [(entry["reason"], entry["line"]) for entry in entries] == [
        ("line_too_long", 8),
        ("line_too_long", 9),
    ]
    assert len(dataset.frame) == 7
    assert grown * (1024 if sys.platform == "linux" else 1) < 30 << 20


def test_i18_a_text_beyond_the_limit(tmp_path: Path) -> None:
    found = refused(ingest(folders(tmp_path / "texts", long=b"word " * 300), max_characters=1000))
    assert found["long"]["reason"] == "too_long"
    assert "1,500 characters; at most 1,000" in found["long"]["detail"]


def test_i19_a_row_fault_costs_the_row(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    rows = [f"text {number},{'ab'[number % 2]}" for number in range(6)]
    table.write_text("\n".join(["text,label", *rows, "no label", "one,two,three", ",a", "", "the last,a"]))
    dataset = ingest(table)
    entries = [json.loads(line) for line in dataset.quarantine.read_text().splitlines()]
    assert sorted((entry["reason"], entry["line"]) for entry in entries) == [
        ("missing_value", 10),
        ("ragged_row", 8),
        ("ragged_row", 9),
    ]
    assert dataset.card["skipped"] == 1


def test_i21_one_text_under_two_labels(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    rows = [f"text {number},{'ab'[number % 2]}" for number in range(8)]
    table.write_text("\n".join(["text,label", *rows, "twice,a", "twice,b", "again,a", "Again ,a"]) + "\n")
    dataset = ingest(table)
    assert dataset.card["reasons"] == {"conflicting_labels": 2}
    again = dataset.frame[dataset.frame["characters"].isin([5, 6])]
    again = again[[dataset.read(row).decode().strip().lower() == "again" for row in again.itertuples()]]
    assert len(again) == 2
    assert again["split"].nunique() == 1
    kept = ingest(table, conflicts="keep")
    assert kept.card["accepted"] == 12
    twice = kept.frame[kept.frame["sha256"].duplicated(keep=False)]
    assert list(twice["label"]) in (["a", "b"], ["b", "a"])
    assert twice["split"].nunique() == 1


def test_tables_by_split_are_one_source(tmp_path: Path) -> None:
    for split, count in (("train", 6), ("dev", 2), ("test", 4)):
        rows = [f"{'ab'[n % 2]}\t{split} text {n}" for n in range(count)]
        (tmp_path / f"{split}.tsv").write_text("\n".join(["label\ttext", *rows]))
    dataset = ingest(tmp_path)
    assert dataset.card["layout"] == "split-tables"
    assert dataset.card["splits"] == {"train": 6, "validation": 2, "test": 4}
    with pytest.raises(DataError, match="the split is given twice"):
        make_dataset(
            tmp_path, raw=TEXT, columns=Columns(split="label"), rules=TextRules(), root=tmp_path / "datasets"
        )
    (tmp_path / "other.tsv").write_text("label\ttext\na\tb\n")
    with pytest.raises(DataError, match="does not contain exactly one table"):
        ingest(tmp_path)
