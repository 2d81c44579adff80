"""Which layout is recognised, what each source yields, and what is refused as ambiguous."""

import csv
import io
import os
import random
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.candidates import Candidate, Columns, Rejected, Skipped, Source
from features.delimited import Broken, read_header, read_rows
from features.errors import AccessError, DataError, NoInputError
from features.sources import recognise
from features.spec import IMAGE, RawKind
from tests.faults.corpus import classes, encode, picture, plant

TEXT = RawKind("text", "text", "string", frozenset())
JPEG = encode(picture(0, 8, 8), "JPEG")


def open_source(path: Path, raw: RawKind = IMAGE, scratch: Path | None = None, **columns: str) -> Source:
    return recognise(path, raw, Columns(**columns), scratch or path.parent / "scratch")


def candidates(source: Source) -> list[tuple[str, str, str | None]]:
    return sorted((entry.name, entry.label, entry.split) for entry in source if isinstance(entry, Candidate))


def skipped(source: Source) -> list[tuple[str, str]]:
    return sorted((entry.name, entry.reason) for entry in source if isinstance(entry, Skipped))


def refusal(path: Path, **columns: str) -> str:
    with pytest.raises(DataError) as caught:
        list(open_source(path, **columns))
    return str(caught.value)


# -- folders --------------------------------------------------------------------------------------


def test_class_folders(tmp_path: Path) -> None:
    plant(tmp_path / "data", classes(ants=2, bees=1))
    source = open_source(tmp_path / "data")
    assert source.layout == "class-folders"
    assert source.classes == ("ants", "bees")
    assert candidates(source) == [
        ("ants/000.png", "ants", None),
        ("ants/001.png", "ants", None),
        ("bees/000.png", "bees", None),
    ]
    paths = {entry.path for entry in source if isinstance(entry, Candidate)}
    assert os.fsencode(tmp_path / "data/ants/001.png") in paths


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("train", "val", "test"), {"train", "validation", "test"}),
        (("Training", "VALID", "testing"), {"train", "validation", "test"}),
        (("train", "dev"), {"train", "validation"}),
        (("train", "validation"), {"train", "validation"}),
        (("train",), {"train"}),
    ],
)
def test_split_folders(tmp_path: Path, names: tuple[str, ...], expected: set[str]) -> None:
    for name in names:
        plant(tmp_path / "data" / name, classes(ants=1, bees=1))
    source = open_source(tmp_path / "data")
    assert source.layout == "split-folders"
    assert set(source.splits) == expected
    assert {split for _, _, split in candidates(source)} == expected
    assert {label for _, label, _ in candidates(source)} == {"ants", "bees"}


def test_folders_that_only_wrap_another_are_stepped_into(tmp_path: Path) -> None:
    plant(tmp_path / "data", {"README.md": b"about", "outer/inner/LICENSE": b"free"})
    plant(tmp_path / "data/outer/inner/train", classes(ants=1, bees=1))
    source = open_source(tmp_path / "data")
    assert source.layout == "split-folders"
    assert candidates(source)[0] == ("outer/inner/train/ants/000.png", "ants", "train")
    assert skipped(source) == [
        ("README.md", "unsupported_extension"),
        ("outer/inner/LICENSE", "outside_class_folder"),
    ]


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    plant(tmp_path / "data", classes(train=1, plane=1, bus=1))
    source = open_source(tmp_path / "data")
    assert source.layout == "class-folders"
    assert source.classes == ("bus", "plane", "train")


def test_folders_below_a_class_belong_to_it(tmp_path: Path) -> None:
    plant(tmp_path / "data", {"ants/red/old/a.jpg": JPEG, "ants/b.jpg": JPEG, "bees/c.jpg": JPEG})
    assert candidates(open_source(tmp_path / "data")) == [
        ("ants/b.jpg", "ants", None),
        ("ants/red/old/a.jpg", "ants", None),
        ("bees/c.jpg", "bees", None),
    ]


def test_what_is_passed_over_is_named_with_its_reason(tmp_path: Path) -> None:
    data = plant(
        tmp_path / "data",
        classes(ants=1, bees=1)
        | {
            "photo.jpg": JPEG,
            "notes.txt": b"x",
            "ants/.DS_Store": b"x",
            "ants/Thumbs.db": b"x",
            "ants/scan.TIF": b"x",
            "ants/noext": JPEG,
            "__MACOSX/ants/._a.jpg": b"x",
            ".git/config": b"x",
        },
    )
    (data / "ants/link.jpg").symlink_to(data / "bees/000.png")
    (data / "linked").symlink_to(data / "bees")
    os.mkfifo(data / "bees/pipe.jpg")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(data / "bees/socket.jpg"))
        source = open_source(data)
        assert skipped(source) == [
            (".git", "hidden"),
            ("__MACOSX", "system_file"),
            ("ants/.DS_Store", "hidden"),
            ("ants/Thumbs.db", "system_file"),
            ("ants/link.jpg", "symlink"),
            ("ants/scan.TIF", "unsupported_extension"),
            ("bees/pipe.jpg", "special_file"),
            ("bees/socket.jpg", "special_file"),
            ("linked", "symlink"),
            ("notes.txt", "unsupported_extension"),
            ("photo.jpg", "outside_class_folder"),
        ]
    assert ("ants/noext", "ants", None) in candidates(source)
    assert source.classes == ("ants", "bees")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (
            {"train/a/1.jpg": JPEG, "train/b/1.jpg": JPEG, "extra/1.jpg": JPEG},
            ["ambiguous", "train/", "extra/"],
        ),
        ({"train/a/1.jpg": JPEG, "test/1.jpg": JPEG}, ["ambiguous", "train/", "test/"]),
        ({"train/1.jpg": JPEG, "test/1.jpg": JPEG}, ["without class folders", "train/<class>/<file>"]),
        ({"val/a/1.jpg": JPEG, "test/a/1.jpg": JPEG}, ["no training split", "test/, val/"]),
        ({"val/a/1.jpg": JPEG, "valid/a/1.jpg": JPEG, "train/a/1.jpg": JPEG}, ["two folders for one split"]),
        ({"1.jpg": JPEG, "2.jpg": JPEG}, ["no source", "2 x .jpg", "one folder for each class"]),
        ({"photos.zip": b"PK"}, ["no source", "1 x .zip", "--data", "photos.zip"]),
        ({"list.csv": b"a,b\n1,2\n"}, ["no source", "1 x .csv", "--input-column"]),
    ],
)
def test_other_layouts_are_refused_with_what_was_found(tmp_path: Path, files: dict, words: list[str]) -> None:
    message = refusal(plant(tmp_path / "data", files))
    for word in words:
        assert word in message


def test_class_folders_beside_a_table_are_ambiguous(tmp_path: Path) -> None:
    data = plant(tmp_path / "data", classes(ants=1, bees=1) | {"meta.csv": b"path,label\nants/000.png,x\n"})
    message = refusal(data)
    assert "ambiguous" in message
    assert "meta.csv" in message
    assert "2 class folders" in message
    assert open_source(data, input="path", target="label").layout == "table"
    assert open_source(data / "meta.csv").layout == "table"


def test_a_table_of_other_columns_beside_class_folders_is_passed_over(tmp_path: Path) -> None:
    data = plant(tmp_path / "data", classes(ants=1, bees=1) | {"meta.csv": b"camera,date\nx,y\n"})
    source = open_source(data)
    assert source.layout == "class-folders"
    assert skipped(source) == [("meta.csv", "unsupported_extension")]


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(NoInputError, match="does not exist") as caught:
        open_source(tmp_path / "nowhere")
    assert caught.value.exit_code == 66


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    plant(tmp_path, {"photo.jpg": JPEG})
    assert "a file .jpg" in refusal(tmp_path / "photo.jpg")


def test_a_root_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The tests may run as root, whom no mode stops.
    def denied(path: bytes) -> None:
        raise PermissionError(13, "Permission denied", path)

    (tmp_path / "data").mkdir()
    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(AccessError) as caught:
        open_source(tmp_path / "data")
    assert caught.value.exit_code == 77


def test_a_source_named_by_a_link_is_followed_once(tmp_path: Path) -> None:
    plant(tmp_path / "data", classes(ants=1, bees=1))
    (tmp_path / "link").symlink_to(tmp_path / "data")
    assert len(candidates(open_source(tmp_path / "link"))) == 2


# -- tables ---------------------------------------------------------------------------------------


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
    data = plant(tmp_path / "data", {"real/1.jpg": JPEG})
    (data / "link.jpg").symlink_to("real/1.jpg")
    (data / "linked").symlink_to("real")
    os.mkfifo(data / "pipe.jpg")
    rows = "path,label\nlink.jpg,a\nlinked/1.jpg,a\npipe.jpg,a\nreal/1.tif,a\nreal/../real/1.jpg,a\n"
    (data / "t.csv").write_text(rows)
    source = open_source(data / "t.csv")
    reasons = [entry.reason for entry in source if isinstance(entry, Skipped)]
    assert reasons == ["symlink", "symlink", "special_file", "unsupported_extension"]
    assert candidates(source) == [("real/1.jpg", "a", None)]


@pytest.mark.parametrize(
    ("header", "columns", "words"),
    [
        ("a,b", {}, ["no input column", "'a', 'b'", "--input-column"]),
        ("path,b", {}, ["no target column", "--target-column"]),
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


def test_a_chain_of_folders_too_deep_for_any_path_ends(tmp_path: Path) -> None:
    """I22: 3,000 folders that each only wrap the next."""
    data = tmp_path / "data"
    data.mkdir()
    handle = os.open(data, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=handle)
        below = os.open("d", os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = below
    os.close(handle)
    try:
        assert [reason for _, reason in skipped(open_source(data))] == ["too_deep"]
    finally:
        subprocess.run(["rm", "-rf", data], check=True, timeout=60)


def test_a_source_that_is_a_link_to_itself_or_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").write_bytes(b"")
    for place in ("loop", "file/below"):
        with pytest.raises(NoInputError, match=place.split("/")[0]):
            open_source(tmp_path / place)


def test_an_archive_of_class_folders(tmp_path: Path) -> None:
    plant(tmp_path / "data/photos", classes(ants=2, bees=2))
    shutil.make_archive(str(tmp_path / "photos"), "gztar", tmp_path / "data")
    source = open_source(tmp_path / "photos.tar.gz", scratch=tmp_path / "scratch")
    assert source.layout == "class-folders"
    assert candidates(source)[0] == ("photos/ants/000.png", "ants", None)
    assert "photos.tar.gz" in source.description
