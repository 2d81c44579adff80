"""What is typed after ``servable predict``: a file's name is never taken for a text."""

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from features.errors import AccessError, DataError, NoInputError, UsageError
from features.quarantine import REASONS
from flows import cli
from flows.queries import question as predict
from flows.queries.reading import raw_inputs
from serving.client.commands import FileBytes
from serving.server.server import Server
from tests.flows.test_text_answers import server

__all__ = ["server"]

TEXT = "awful cold dull sad broken nasty film"


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, list[Any], str]:
    """Run ``servable predict echo`` in this process: exit code, answers, standard error."""
    with pytest.raises(SystemExit) as left:
        cli.main(["predict", "echo", "--json", *map(str, arguments)])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return int(left.value.code or 0), [json.loads(line) for line in captured.out.splitlines()], captured.err


def contents(*arguments: str | Path, argument: str = "text") -> list[bytes]:
    return [one.content for one in raw_inputs.read(arguments, argument)]


@pytest.mark.parametrize("name", ["review.md", "review.txt"])
def test_a_text_file_of_any_ending_is_classified_by_its_content(
    cases: Path, server: Server, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    path = cases / "predict-path" / name
    assert path.read_text() == TEXT
    code, (of_file, of_text), err = run(capsys, path, TEXT, "--target", server.target)
    assert code == 0, err
    assert of_file["input"] == str(path)
    assert of_file["tokens"] == of_text["tokens"] == len(TEXT)
    assert of_file["scores"] == of_text["scores"]


@pytest.mark.parametrize("ending", ["", ".md", ".rst", ".log", ".TXT", ".json", ".review", ".html"])
def test_text_files_are_read_whatever_their_ending(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"review{ending}"
    path.write_text("good\n")
    assert contents(str(path)) == contents(path) == [b"good\n"]
    assert [one.shown for one in raw_inputs.read([str(path)], "text")] == [str(path)]


@pytest.mark.parametrize(
    "argument",
    [
        "reviw.md", "nosuch.txt", "nosuch.MD", "nosuch/review", "./review", "../review", "/nosuch/review",
        "*.md", "reviews/*", "my review.md", "nosuch\\review.txt", "review.pdf", "cat.jpg", "rows.csv",
    ],
)  # fmt: skip
def test_a_path_that_does_not_exist_is_an_error_with_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], argument: str
) -> None:
    monkeypatch.chdir(tmp_path)
    # The address is never asked: the mistake is found before.
    code, answers, err = run(capsys, argument, "--target", "127.0.0.1:9")
    assert (code, answers) == (66, [])
    assert f"no such file; got {argument}" in err
    assert "--text" in err
    assert ("matched no file" in err) is ("*" in argument)


def test_what_lies_in_a_folder_that_exists_is_a_path_even_with_blanks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my reviews").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NoInputError, match="no such file; got my reviews/one"):
        raw_inputs.read(["my reviews/one"], "text")


@pytest.mark.parametrize(
    "text",
    [
        "good", "a good film", "good/bad, I cannot say", "I rate it 5/10", "What a film!", "great.", "so.so",
        "see http://a.example/x for more", "x" * 5000, "Well, I read notes.txt", "-", "naïve 😀",
        "one\ntwo.md",
    ],
)  # fmt: skip
def test_everything_else_is_the_text_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    typed = raw_inputs.Typed(text) if text == "-" else text
    assert contents(typed) == [text.encode()]


def test_a_text_can_be_forced(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good").write_text("a b c")
    where = ("--target", server.target)
    code, answers, err = run(capsys, "--text", "nosuch.md", "--text", "good", "--text", "a/b", *where)
    assert code == 0, err
    assert [answer["input"] for answer in answers] == ["nosuch.md", "good", "a/b"]
    assert [answer["tokens"] for answer in answers] == [9, 4, 3]
    # The name of a file is read, and that is said where it looks like a word.
    code, (answer,), err = run(capsys, "good", *where)
    assert (code, answer["tokens"]) == (0, 5)
    assert "good is read as a file; --text sends it as text" in err


def test_standard_input_is_read_once(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a b")))
    code, answers, err = run(capsys, "-", "a b c", "--target", server.target)
    assert code == 0, err
    assert [(one["input"], one["tokens"]) for one in answers] == [("-", 3), ("a b c", 5)]
    code, _, err = run(capsys, "-", "-", "--target", server.target)
    assert code == 2
    assert "standard input can be read only once" in err


#: Content to the reason ingest refuses it for, and a word of the message.
REFUSED = {
    "empty": (b"", "empty", "0 bytes"),
    "blank": (b" \n\t", "empty_text", "all of them blank"),
    "utf-16": ("gut".encode("utf-16"), "bad_encoding", "UTF-16"),
    "utf-16-be": (b"\xfe\xff\0g", "bad_encoding", "UTF-16"),
    "utf-32": ("gut".encode("utf-32"), "bad_encoding", "UTF-32"),
    "utf-16-no-mark": ("gut".encode("utf-16-le"), "nul", "offset 1"),
    "latin-1": ("schön".encode("latin-1"), "bad_encoding", "0xf6"),
    "nul": (b"a\0b", "nul", "offset 1"),
    "jpeg": (b"\xff\xd8\xff\xe0\0\x10JFIF", "bad_encoding", "looks like JPEG"),
    "gzip": (b"\x1f\x8b\x08\0", "bad_encoding", "looks like gzip data"),
    "docx": (b"PK\3\4\x14\0\6\0", "nul", "looks like ZIP archive"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_ingest_refuses_is_refused_with_its_reason(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    content, reason, word = REFUSED[name]
    assert reason in REASONS
    path = tmp_path / "review.md"
    path.write_bytes(content)
    code, (answer, refused), err = run(capsys, "a good film", path, "--target", server.target)
    assert (code, answer["tokens"]) == (65, 11)
    assert refused["input"] == str(path)
    assert f"review.md cannot be sent; got {reason}: " in refused["error"]
    assert word in refused["error"]
    # The middle of a long path is left out.
    assert "1 of 2 inputs failed; first: " in err
    assert "review.md cannot be sent" in err


def test_a_byte_order_mark_is_left_out_as_at_ingest(tmp_path: Path) -> None:
    path = tmp_path / "review.txt"
    path.write_bytes(b"\xef\xbb\xbfgood")
    (one,) = raw_inputs.read([path], "text")
    assert one.content == b"good"
    assert not isinstance(one.content, FileBytes)


def test_a_typed_text_that_is_not_utf_8_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError, match="bad_encoding"):
        raw_inputs.read([os.fsdecode(b"sch\xf6n")], "text")
    with pytest.raises(DataError, match="empty_text"):
        raw_inputs.read([""], "text")


@pytest.mark.parametrize("argument", ["text", "word", "image_bytes"])
def test_a_folder_is_named_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argument: str) -> None:
    (tmp_path / "good").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NoInputError, match=r"a folder is not an example; got good.*good/\*.*--text") as error:
        raw_inputs.read(["good"], argument)
    assert error.value.exit_code == 66


def test_broken_links_and_files_without_permission_are_no_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "good").symlink_to(tmp_path / "nosuch")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NoInputError, match="cannot read the file; got good: No such file"):
        raw_inputs.read(["good"], "text")

    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "secret").write_text("x")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(AccessError, match="secret: Permission denied"):
        raw_inputs.read(["secret"], "text")


def test_a_pipe_is_read_like_a_file(tmp_path: Path) -> None:
    source, sink = os.pipe()
    os.write(sink, b"a b")
    os.close(sink)
    try:
        assert contents(f"/dev/fd/{source}") == [b"a b"]
    finally:
        os.close(source)


def test_a_file_of_words_or_rows_stands_for_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(b"\xef\xbb\xbfking\r\n\r\n queen \n")
    found = raw_inputs.read([str(path), "man"], "word")
    assert [one.content for one in found] == [b"king", b"queen", b"man"]
    assert [one.shown for one in found] == [f"{path}:1", f"{path}:3", "man"]
    path.write_text("5.1,3.5\n4.9,3.0\n")
    assert contents(path, argument="row") == [b"5.1,3.5", b"4.9,3.0"]
    assert contents("2024/01/02,5", "N/A,1", argument="row") == [b"2024/01/02,5", b"N/A,1"]
    with pytest.raises(UsageError, match="row takes one value"):
        raw_inputs.read_one(path, "row")


def test_images_and_sounds_are_always_files(tmp_path: Path) -> None:
    path = tmp_path / "cat"
    path.write_bytes(b"\xff\xd8\xff")
    (one,) = raw_inputs.read([path], "image_bytes")
    assert one.content == b"\xff\xd8\xff"
    with pytest.raises(NoInputError, match="no such file; got cat photo"):
        raw_inputs.read(["cat photo"], "image_bytes")
    path.write_bytes(b"")
    with pytest.raises(DataError, match="empty: 0 bytes"):
        raw_inputs.read([path], "image_bytes")


def test_an_input_by_name_follows_the_same_rule(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "review.md"
    path.write_text("a b")

    def tokens(value: str) -> list[int]:
        question = predict.Question("echo", inputs={"text": value})
        return [answer["tokens"] for answer in predict.answers(question, server.target)]

    assert tokens(str(path)) == [3]
    assert tokens("a c b") == [5]
    with pytest.raises(NoInputError, match=r"no such file; got reviw\.md"):
        tokens("reviw.md")
