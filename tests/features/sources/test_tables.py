"""Tables as sources: CSV, TSV and Parquet, sound and damaged, against the writers of others."""

import csv
import io
import os
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.errors import DataError
from features.sources.files.candidates import Rejected, Skipped
from features.sources.tables.delimited import Broken, read_header, read_rows
from features.spec import TEXT
from tests.faults.corpus import plant
from tests.features.sources.opened import JPEG, candidates, open_source, refusal


def test_table_with_usual_column_names(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "img/1.jpg": JPEG,
            "img/2.jpg": JPEG,
            "t.csv": b"File,Label,Split,fold\nimg/1.jpg,a,train,0\nimg/2.jpg,b,val,1\n",
        },
    )
    source = open_source(tmp_path / "t.csv")
    assert source.layout == "table"
    entries = list(source)
    assert [(e.name, e.label, e.split, e.fold, e.row) for e in entries] == [
        ("img/1.jpg", "a", "train", "0", 1),
        ("img/2.jpg", "b", "validation", "1", 2),
    ]
    assert entries[0].path == os.fsencode(tmp_path / "img/1.jpg")


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
def test_table_kinds_agree(tmp_path: Path, ending: str) -> None:
    import pandas

    rows = pandas.DataFrame({"where": ["1.jpg", "sub/2.jpg"], "what": ["x,y", 'say "z"'], "other": [1, 2]})
    plant(tmp_path, {"1.jpg": JPEG, "sub/2.jpg": JPEG})
    path = tmp_path / f"t.{ending}"
    if ending == "parquet":
        rows.to_parquet(path)
    else:
        rows.to_csv(path, index=False, sep="\t" if ending == "tsv" else ",")
    source = open_source(path, input="where", target="what")
    assert candidates(source) == [("1.jpg", "x,y", None), ("sub/2.jpg", 'say "z"', None)]


def test_parquet_numbers_are_labels_and_nulls_are_missing(tmp_path: Path) -> None:
    import pandas

    plant(tmp_path, {"1.jpg": JPEG})
    frame = pandas.DataFrame(
        {"path": ["1.jpg", "1.jpg", None], "label": pandas.array([3, None, 4], dtype="Int64")}
    )
    frame.to_parquet(tmp_path / "t.parquet")
    entries = list(open_source(tmp_path / "t.parquet"))
    assert entries[0].label == "3"
    assert [(entry.reason, entry.row) for entry in entries[1:]] == [
        ("missing_value", 2),
        ("missing_value", 3),
    ]


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_csv_separators(tmp_path: Path, mark: str) -> None:
    plant(tmp_path, {"1.jpg": JPEG, "t.csv": f"path{mark}label\n1.jpg{mark}a\n".encode()})
    assert candidates(open_source(tmp_path / "t.csv")) == [("1.jpg", "a", None)]


def test_text_lives_in_the_table(tmp_path: Path) -> None:
    plant(tmp_path, {"t.tsv": "label\ttext\npos\tsch\u00f6n \U0001f600\nneg\tbad\n".encode()})
    entries = list(open_source(tmp_path / "t.tsv", TEXT))
    assert [(e.path, e.content.decode(), e.label, e.name) for e in entries] == [
        (None, "sch\u00f6n \U0001f600", "pos", "t.tsv:1"),
        (None, "bad", "neg", "t.tsv:2"),
    ]


def test_a_folder_with_one_usable_table(tmp_path: Path) -> None:
    plant(tmp_path / "data", {"t.csv": b"path,label\nimages/1.jpg,a\n", "images/1.jpg": JPEG})
    assert candidates(open_source(tmp_path / "data")) == [("images/1.jpg", "a", None)]
    plant(tmp_path / "data", {"u.csv": b"path,label\nimages/1.jpg,a\n"})
    assert "t.csv, u.csv" in refusal(tmp_path / "data")


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("/etc/passwd", "outside_folder"),
        ("../secret.jpg", "outside_folder"),
        ("sub/../../secret.jpg", "outside_folder"),
        ("..", "outside_folder"),
        ("nothing.jpg", "missing"),
        ("sub", "not_a_file"),
    ],
)
def test_paths_that_cannot_be_used(tmp_path: Path, cell: str, reason: str) -> None:
    plant(
        tmp_path,
        {"secret.jpg": JPEG, "data/sub/1.jpg": JPEG, "data/t.csv": f"path,label\n{cell},a\n".encode()},
    )
    (entry,) = open_source(tmp_path / "data/t.csv")
    assert isinstance(entry, Rejected)
    assert (entry.reason, entry.row, entry.line) == (reason, 1, 2)


def test_links_and_other_kinds_named_by_a_table_are_passed_over(tmp_path: Path) -> None:
    data = plant(tmp_path / "data", {"real/1.jpg": JPEG, "real/1.log": b"x"})
    (data / "link.jpg").symlink_to("real/1.jpg")
    (data / "linked").symlink_to("real")
    os.mkfifo(data / "pipe.jpg")
    rows = "path,label\nlink.jpg,a\nlinked/1.jpg,a\npipe.jpg,a\nreal/1.log,a\nreal/../real/1.jpg,a\n"
    (data / "t.csv").write_text(rows)
    source = open_source(data / "t.csv")
    reasons = [entry.reason for entry in source if isinstance(entry, Skipped)]
    assert reasons == ["symlink", "symlink", "special_file", "unsupported_extension"]
    assert candidates(source) == [("real/1.jpg", "a", None)]


@pytest.mark.parametrize(
    ("header", "columns", "words"),
    [
        ("a,b", {}, ["which column of t.csv is the input", "'a', 'b'", "--input-column"]),
        ("path,b", {}, ["which column of t.csv is the label", "--target-column"]),
        ("path,file,label", {}, ["several columns", "'path', 'file'"]),
        ("path,label", {"target": "klass"}, ["no column 'klass'", "'path', 'label'"]),
        ("path,label,path", {}, ["same name", "'path'"]),
    ],
)
def test_column_faults_name_what_is_there(
    tmp_path: Path, header: str, columns: dict, words: list[str]
) -> None:
    fields = ",".join("x" for _ in header.split(","))
    plant(tmp_path, {"t.csv": f"{header}\n{fields}\n".encode()})
    message = refusal(tmp_path / "t.csv", **columns)
    for word in words:
        assert word in message


def test_parquet_with_files_in_it_and_broken_parquet(tmp_path: Path) -> None:
    import pandas

    pandas.DataFrame({"path": [b"\xff\xd8"], "label": ["a"]}).to_parquet(tmp_path / "bytes.parquet")
    assert "type binary" in refusal(tmp_path / "bytes.parquet")
    plant(tmp_path, {"broken.parquet": b"PAR1 and then nothing"})
    assert "cannot be read" in refusal(tmp_path / "broken.parquet")
    pandas.DataFrame({"path": [], "label": []}).to_parquet(tmp_path / "empty.parquet")
    assert "no rows" in refusal(tmp_path / "empty.parquet")


def test_parquet_rows_obey_the_rules_of_csv_rows(tmp_path: Path) -> None:
    """Text that is not UTF-8, which pyarrow hands on unchecked; NUL; a field beyond the limit."""
    import pyarrow
    import pyarrow.parquet

    plant(tmp_path, {"1.jpg": JPEG})
    labels = pyarrow.array([b"a", b"\xff\xfe", b"a\0b", b"x" * 200_000, b"b"], pyarrow.binary())
    text = pyarrow.Array.from_buffers(pyarrow.string(), 5, labels.buffers())
    pyarrow.parquet.write_table(pyarrow.table({"path": ["1.jpg"] * 5, "label": text}), tmp_path / "t.parquet")
    entries = list(open_source(tmp_path / "t.parquet"))
    assert [(entry.row, getattr(entry, "reason", None)) for entry in entries] == [
        (1, None),
        (2, "bad_encoding"),
        (3, "nul"),
        (4, "line_too_long"),
        (5, None),
    ]


@pytest.mark.parametrize("kind", ["string", "large_string", "string_view", "dictionary"])
def test_parquet_text_of_every_type(tmp_path: Path, kind: str) -> None:
    import pyarrow
    import pyarrow.parquet

    kinds = {
        "string": pyarrow.string(),
        "large_string": pyarrow.large_string(),
        "string_view": pyarrow.string_view(),
        "dictionary": pyarrow.dictionary(pyarrow.int32(), pyarrow.string()),
    }
    plant(tmp_path, {"1.jpg": JPEG, "2.jpg": JPEG})
    label = pyarrow.array(["a", "b"], pyarrow.string()).cast(kinds[kind])
    table = pyarrow.table({"path": ["1.jpg", "2.jpg"], "label": label})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    assert candidates(open_source(tmp_path / "t.parquet")) == [("1.jpg", "a", None), ("2.jpg", "b", None)]


def test_damaged_parquet_is_refused_whole_or_row_by_row(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    plant(tmp_path, {"1.jpg": JPEG})
    table = pyarrow.table({"path": ["1.jpg"] * 50, "label": [f"label {row % 7}" for row in range(50)]})
    path = tmp_path / "t.parquet"
    pyarrow.parquet.write_table(table, path)
    whole, noise, refused = path.read_bytes(), random.Random(0), 0
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[noise.randrange(len(damaged))] = noise.randrange(256)
        path.write_bytes(damaged)
        try:
            list(open_source(path))
        except DataError as error:
            refused += "t.parquet" in str(error)
    assert refused > 100


CELLS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(CELLS.filter(bool), CELLS), min_size=1, max_size=8), st.booleans())
def test_every_row_that_csv_writes_is_read_back(tmp_path: Path, rows: list, mark: bool) -> None:
    """The standard library's writer is the oracle; quotes, commas and line ends inside cells survive."""
    text = io.StringIO()
    csv.writer(text).writerows([("path", "label"), *rows])
    path = tmp_path / "t.csv"
    path.write_bytes(b"\xef\xbb\xbf" * mark + text.getvalue().encode())
    assert read_header(path) == ["path", "label"]
    read = list(read_rows(path, 2))
    assert [row.number for row in read] == list(range(1, len(rows) + 1))
    assert [tuple(row.cells) for row in read] == rows


def test_damaged_csv_accounts_for_every_line(tmp_path: Path) -> None:
    """Of 200 damaged tables each is refused whole, or every line of it comes out once, sound or broken."""
    sound = b"path,label\n" + b"".join(b"%d.jpg,c%d\n" % (row, row % 3) for row in range(40))
    noise, whole = random.Random(1), 0
    path = tmp_path / "t.csv"
    for _ in range(200):
        damaged = bytearray(sound)
        place = noise.randrange(11, len(damaged))
        damaged[place : place + 1] = noise.choice([b"\0", b"\xff", b'"', b'x"y', b",", b"\r", b"", b"\n\n"])
        path.write_bytes(damaged)
        try:
            rows = list(read_rows(path, len(read_header(path))))
        except DataError:
            continue  # A quote that is never closed.
        whole += 1
        assert [row.number for row in rows] == list(range(1, len(rows) + 1))
        lines = bytes(damaged).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")[1:]
        broken = sum(isinstance(row, Broken) for row in rows)
        assert broken <= 2
        assert len(lines) - 2 <= len(rows) <= len(lines)
    assert whole > 150
