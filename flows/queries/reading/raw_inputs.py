"""Turn what is typed on the command line into raw examples: files, standard input, or the texts themselves.

What exists is read, whatever its ending; what looks like a path and does not exist is an error, so that no
file's name is ever taken for a text.
"""

import glob
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from features.errors import AccessError, DataError, NoInputError, UsageError
from features.formats.content_type import sniff
from features.names import printable
from features.quarantine import RefusedError
from features.sources.tables import tables
from features.spec import RAW_KINDS, WORD, RawKind
from features.texts import check
from flows.console import terminal
from flows.queries.reading import downloads
from serving.client.commands import FileBytes

#: Stands for standard input.
STDIN = "-"

#: Names of the inputs that take raw examples.
NAMES = frozenset(kind.input for kind in RAW_KINDS.values())
#: Raw kinds whose examples can be typed, by the name of the input that takes them.
TYPED = {kind.input: kind for kind in RAW_KINDS.values() if kind.cells} | dict.fromkeys(
    ("words", "positive", "negative"), WORD
)

_DOCUMENTS = """
    .adoc .csv .doc .docx .eml .epub .htm .html .json .jsonl .log .markdown .md .mdx .ndjson .odt .pdf .rst
    .rtf .srt .tex .text .tsv .txt .vtt .xml .yaml .yml .gz .bz2 .xz .zst .zip .tar .tgz .heic .tif .tiff .svg
    .m4a .aac
"""
#: Endings of file names: a word that ends in one of them is no text.
ENDINGS = (
    frozenset(_DOCUMENTS.split())
    | frozenset(tables.SUFFIXES)
    | {suffix for kind in RAW_KINDS.values() for suffix in kind.suffixes}
)

#: A recipe limits the length of texts; a served model does not know that limit.
_RULES = {"max_characters": sys.maxsize, "bad_text": "reject"}


@dataclass(frozen=True)
class RawInput:
    """One raw example.

    Attributes:
        shown: what names it in an answer: the file's path, or the text.
        content: what is sent; FileBytes where a file holds exactly this.
    """

    shown: str
    content: bytes


class Typed(str):
    """An argument that is a text, even if a file has the same name."""

    __slots__ = ()


def read(arguments: Sequence[str | Path], argument: str) -> list[RawInput]:
    """Read the arguments of a command as the examples that one input takes.

    Args:
        arguments: paths, ``-`` for standard input, or texts, words and rows where the input takes these.
        argument: name of the input, such as ``image_bytes`` or ``text``.

    Returns:
        One example for each argument; of words and rows, one for each line of a file that is not blank.

    Raises:
        NoInputError: a file does not exist, or is a folder.
        AccessError: a file may not be read.
        DataError: ingest would refuse the content too; gives the same reason.
        UsageError: standard input is named twice.
    """
    require(arguments)
    kind = TYPED.get(argument)
    missing = [str(one) for one in arguments if is_missing(one)]
    if missing:
        raise no_such_file(missing)
    return [example for one in arguments for example in given(one, kind)]


def read_one(value: str | Path, argument: str) -> RawInput:
    """Read the argument of a command as one example; raises as `read`, and UsageError for several lines."""
    inputs = read([value], argument)
    if len(inputs) != 1:
        raise UsageError(f"{argument} takes one value", got=f"{value}, {len(inputs)} lines")
    return inputs[0]


def require(arguments: Sequence[str | Path]) -> None:
    """Check that the arguments do not all name files that do not exist, before a server is asked anything.

    Raises:
        NoInputError: each looks like a path, and does not exist.
        UsageError: standard input is named twice.
    """
    if sum(map(is_stdin, arguments)) > 1:
        raise UsageError("standard input can be read only once", got=f"{STDIN} more than once")
    if arguments and all(map(is_missing, arguments)):
        raise no_such_file(list(map(str, arguments)))


def is_stdin(argument: str | Path) -> bool:
    """Return whether an argument stands for standard input."""
    return str(argument) == STDIN and not isinstance(argument, Typed)


def is_missing(argument: str | Path) -> bool:
    """Return whether an argument must be meant as a path, and nothing is there or matches it."""
    return looks_like_path(argument) and not is_there(argument) and not matches(argument)


def matches(pattern: str | Path) -> list[str]:
    """Return what a pattern of file names stands for, sorted; ``**`` goes into folders."""
    if isinstance(pattern, Typed) or not any(character in str(pattern) for character in "*?["):
        return []
    return sorted(glob.glob(str(pattern), recursive=True))  # noqa: PTH207 - of a pattern with a root as well


def is_there(argument: str | Path) -> bool:
    """Return whether an argument is standard input or an existing file or folder."""
    if isinstance(argument, Typed):
        return False
    try:
        path = Path(argument)
        return str(argument) == STDIN or (argument != "" and (path.is_symlink() or path.exists()))
    except (OSError, ValueError):  # a text longer than a file's name can be
        return False


def looks_like_path(argument: str | Path) -> bool:
    """Return whether an argument must be meant as a path, whether or not it exists.

    A word with a separator or the ending of a file is; a text with blanks or commas is where it begins as
    paths do, where the folder it names exists, or where it ends as a file does.
    """
    if isinstance(argument, Typed) or downloads.is_url(str(argument)):
        return False
    if isinstance(argument, Path):
        return True
    ends = Path(argument).suffix.lower() in ENDINGS
    if not re.search(r"[\s,;]", argument):
        return ends or "/" in argument or "\\" in argument
    if argument.startswith(("/", "./", "../", "~/")):
        return True
    folder = Path(argument).parent
    return (folder != Path() and is_there(folder)) or (ends and not re.search(r"[,;\n]", argument))


def is_table(argument: str | Path) -> bool:
    """Return whether an argument names a table."""
    return not isinstance(argument, Typed) and tables.is_table(Path(argument))


def no_such_file(paths: Sequence[str]) -> NoInputError:
    """Make the error for paths that do not exist."""
    matched = " (a pattern that matched no file)" if any(c in paths[0] for c in "*?[") else ""
    return NoInputError(
        "no such file",
        got=", ".join(paths[:5]) + matched,
        todo="check the paths; --text sends a text that looks like a path",
    )


def given(argument: str | Path, kind: RawKind | None) -> Iterator[RawInput]:
    """Read one argument: a file or standard input where it names one, else the text that it is.

    Args:
        argument: as typed.
        kind: of the examples, where they can be typed; None for files alone.

    Raises:
        NoInputError, AccessError, DataError: as of `read`.
    """
    display_name = str(argument)
    if is_there(argument):
        content = sys.stdin.buffer.read() if display_name == STDIN else content_of(Path(display_name))
        if kind is not None and display_name != STDIN and not looks_like_path(display_name):
            terminal.note(f"{display_name} is read as a file; --text sends it as text")
        yield from of_content(display_name, content, kind)
    elif kind is None:
        raise no_such_file([display_name])
    else:
        yield RawInput(display_name, _checked(display_name, os.fsencode(display_name)))


def of_content(shown: str, content: bytes, kind: RawKind | None) -> Iterator[RawInput]:
    """Return the examples that a file's content holds: one, or one for each line of words and rows.

    Raises:
        DataError: ingest would refuse it.
    """
    if not content:
        raise _refused(shown, RefusedError("empty", "0 bytes"))
    if kind is None:
        yield RawInput(shown, content)
        return
    text = _checked(shown, content)
    if not (kind.lines or kind.rows):
        yield RawInput(shown, text)
        return
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield RawInput(f"{shown}:{number}", line.strip())


def content_of(path: Path) -> bytes:
    """Read a file.

    Raises:
        NoInputError: it does not exist, or is a folder.
        AccessError: it may not be read.
    """
    try:
        content = path.read_bytes()
        # A pipe cannot be read again.
        return FileBytes(content, path) if path.is_file() else content
    except IsADirectoryError:
        raise NoInputError(
            "a folder is not an example",
            got=path,
            expected="files",
            todo=f"name the files in it, as {path}/*; --text sends a text that is the name of a folder",
        ) from None
    except PermissionError as error:
        raise AccessError("cannot read the file", got=f"{path}: {error.strerror}") from None
    except OSError as error:
        raise NoInputError("cannot read the file", got=f"{path}: {error.strerror}") from None


def _checked(display_name: str, content: bytes) -> bytes:
    """Return a text as ingest keeps it, without a byte order mark.

    Raises:
        DataError: ingest refuses it.
    """
    try:
        facts = check.check(content, "", _RULES)
    except RefusedError as refusal:
        raise _refused(display_name, refusal, sniff(content)) from None
    return facts.stored if facts.stored is not None else content


def _refused(display_name: str, refusal: RefusedError, looks: str = "text") -> DataError:
    hint = "" if looks in ("text", "binary data") else f"; the content looks like {looks}"
    # Of a path the end says most, of a text the beginning.
    name = printable(
        display_name if len(display_name) <= 80 else f"{display_name[:40]}...{display_name[-40:]}"
    )
    return DataError(f"{name} cannot be sent", got=f"{refusal.reason}: {refusal.detail}{hint}")
