"""Lines of text become a corpus: every line accounted for, none changed, never more than one in memory."""

import gzip
import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.datasets import dataset as datasets
from features.datasets.corpus import Corpus
from features.errors import DataError
from features.ingest.ingest import ingest as make_dataset
from features.ingest.rules import CorpusRules
from features.sources.recognise import Columns
from features.spec import WORD


def ingest(path: Path, root: Path, columns: Columns | None = None, **rules) -> Corpus:
    return make_dataset(path, raw=WORD, columns=columns or Columns(), rules=CorpusRules(**rules), root=root)


def quarantined(corpus: Corpus) -> list[dict]:
    return [json.loads(line) for line in corpus.quarantine.read_text().splitlines()]


def test_every_line_of_every_file_is_accounted_for(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "below").mkdir(parents=True)
    (data / "a.txt").write_bytes(b"\xef\xbb\xbfone two\r\n\r\n  \nthr\xc3\xa9e\n")
    (data / "b.txt").write_bytes(b"good\nb\xffd\nnul\0l\nlast without an end")
    (data / "below" / "c.txt.gz").write_bytes(gzip.compress("packed \U0001f600\n".encode()))
    (data / "d.txt").write_bytes("wide".encode("utf-16"))
    (data / "e.pdf").write_bytes(b"%PDF")
    (data / ".hidden.txt").write_bytes(b"not read\n")
    (data / "f.txt").symlink_to(data / "a.txt")
    corpus = ingest(data, tmp_path / "root", max_bad_fraction=0.5)
    wanted = ["one two", "thrée", "good", "last without an end", "packed \U0001f600"]
    assert [line.decode() for line in corpus.examples()] == wanted
    card = corpus.card
    assert card["accepted"] == corpus.size() == 5
    assert card["reasons"] == {"bad_encoding": 2, "nul": 1}
    assert card["skip_reasons"] == {
        "blank_line": 2,
        "hidden": 1,
        "symlink": 1,
        "unsupported_extension": 1,
    }
    assert card["found"] == 5 + 3 + 5
    found = {
        (record["path"], record["reason"]): (record.get("line"), record.get("offset"))
        for record in quarantined(corpus)
    }
    assert found == {
        ("b.txt", "bad_encoding"): (2, 6),
        ("b.txt", "nul"): (3, 12),
        ("d.txt", "bad_encoding"): (None, 0),
    }
    assert datasets.load(corpus.directory) == corpus


def test_bad_text_is_replaced_where_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"b\xffd\nn\0l\n")
    corpus = ingest(tmp_path / "a.txt", tmp_path / "root", bad_text="replace")
    assert [line.decode() for line in corpus.examples()] == ["b\ufffdd", "n\ufffdl"]


def test_i18_a_line_beyond_the_limit_is_passed_over_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with path.open("wb") as stream:
        stream.write(b"before\n")
        for _ in range(10):
            stream.write(b"x" * (1 << 20))
        stream.write(b"\nafter\n")
    tracemalloc.start()
    corpus = ingest(path, tmp_path / "root", max_bad_fraction=0.5)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert list(corpus.examples()) == [b"before", b"after"]
    (record,) = quarantined(corpus)
    assert (record["reason"], record["line"], record["offset"]) == ("line_too_long", 2, 7)
    assert peak < 8 << 20


def test_a_line_of_just_the_limit_is_taken(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"12345\r\n1234567\r\n12345")
    corpus = ingest(tmp_path / "a.txt", tmp_path / "root", max_line_bytes=5, max_bad_fraction=0.5)
    assert list(corpus.examples()) == [b"12345", b"12345"]


def test_a_column_of_a_table_is_a_corpus(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    path.write_text('id,review,stars\n1,"two\nlines",5\n2,,1\n3,plain,2\n4,too,many,cells\n')
    corpus = ingest(path, tmp_path / "root", max_bad_fraction=0.5)
    assert list(corpus.examples()) == [b"two lines", b"plain"]
    assert corpus.card["reasons"] == {"ragged_row": 1}
    other = ingest(path, tmp_path / "root", Columns(input="stars"), max_bad_fraction=0.5)
    assert list(other.examples()) == [b"5", b"1", b"2"]
    with pytest.raises(DataError, match="no column 'text'"):
        ingest(path, tmp_path / "root", Columns(input="text"))


def test_wrapped_lines_run_on_until_a_blank_one_or_the_end_of_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    lines = (
        "",
        "",
        "one two",
        "thrée four",
        "",
        "",
        "five",
        "a line too long for a page",
        "six",
        "seven",
        "",
    )
    (folder / "a.txt").write_text("\n".join(lines))
    (folder / "b.txt").write_text("eight\nnine")
    corpus = ingest(folder, tmp_path / "root")
    assert [line.decode() for line in corpus.texts(wrapped=10)] == [
        *("one two thrée four", "five", "a line too long for a page", "six seven", "eight nine"),
    ]
    assert list(corpus.texts()) == list(corpus.examples())
    assert len(list(corpus.texts())) == corpus.size() == corpus.card["accepted"] == 8
    assert list(corpus.texts(wrapped=9)) != list(corpus.texts(wrapped=10))
    table = tmp_path / "table.csv"
    table.write_text("text\none\ntwo\n")
    rows = ingest(table, tmp_path / "root", Columns(input="text"))
    assert list(rows.texts(wrapped=80)) == [b"one", b"two"]


def test_the_same_lines_are_the_same_corpus_wherever_they_lie(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\ntwo\n")
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"\r\none\r\ntwo"))
    first, second = (ingest(tmp_path / name, tmp_path / "root") for name in ("a.txt", "b.txt.gz"))
    assert first.fingerprint == second.fingerprint
    (tmp_path / "a.txt").write_bytes(b"two\none\n")
    assert ingest(tmp_path / "a.txt", tmp_path / "root").fingerprint != first.fingerprint


def test_gzip_cut_off_keeps_what_came_before_and_a_bomb_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress(b"".join(b"line %d\n" % number for number in range(30_000)))
    (tmp_path / "cut.txt.gz").write_bytes(whole[: len(whole) // 2])
    corpus = ingest(tmp_path / "cut.txt.gz", tmp_path / "root")
    assert corpus.card["reasons"] == {"truncated": 1}
    assert 1000 < corpus.size() < 30_000
    assert list(corpus.examples())[:2] == [b"line 0", b"line 1"]
    (tmp_path / "bomb.txt.gz").write_bytes(gzip.compress(b"line\n" * 2_000_000))
    with pytest.raises(DataError, match="is too large when unpacked"):
        ingest(tmp_path / "bomb.txt.gz", tmp_path / "root")


def test_too_much_bad_or_nothing_at_all_stops_the_run(tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_bytes(b"good\n\xff\n")
    with pytest.raises(
        DataError, match=r"lines of bad\.txt: 1 of 2 lines are unusable .*: bad_encoding 1"
    ) as caught:
        ingest(tmp_path / "bad.txt", tmp_path / "root")
    assert Path(str(caught.value).partition("Read ")[2].partition(",")[0]).is_file()
    (tmp_path / "blank.txt").write_bytes(b"\n \n\t\n")
    with pytest.raises(DataError, match=r"no text in lines of blank\.txt; got only blank_line 3"):
        ingest(tmp_path / "blank.txt", tmp_path / "root")
    (tmp_path / "picture.jpg").write_bytes(b"\xff\xd8")
    with pytest.raises(DataError, match="not a source of text"):
        ingest(tmp_path / "picture.jpg", tmp_path / "root")
    assert not list((tmp_path / "root").glob(".*.partial"))


def test_verify_tells_of_lines_that_changed(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\ntwo\n")
    corpus = ingest(tmp_path / "a.txt", tmp_path / "root")
    assert corpus.verify() == []
    corpus.lines.write_bytes(b"one\ntwx\n")
    assert [record["reason"] for record in corpus.verify()] == ["hash_mismatch"]
    corpus.lines.write_bytes(b"one\n")
    with pytest.raises(DataError, match="damaged"):
        datasets.load(corpus.directory)


LINE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\n"), min_size=1)


@settings(max_examples=50, deadline=None)
@given(st.lists(LINE, min_size=1, max_size=8))
def test_i17_lines_come_out_as_they_went_in(tmp_path_factory: pytest.TempPathFactory, lines) -> None:
    folder = tmp_path_factory.mktemp("lines")
    (folder / "a.txt").write_bytes("\n".join(["first", *lines]).encode())
    corpus = ingest(folder / "a.txt", folder / "root")
    # A carriage return before the line's end is part of the end.
    kept = [line.rstrip("\r").encode() for line in lines if line.strip()]
    assert list(corpus.examples()) == [b"first", *kept]
