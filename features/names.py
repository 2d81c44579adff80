"""File names: their ending, and how they are shown."""

import difflib
import json
import os
import shlex
from collections.abc import Iterable


def suffix_of(name: bytes) -> str:
    """Return the extension of a file name, lower case with dot, or an empty string."""
    stem, dot, ending = os.path.basename(name).rpartition(b".")  # noqa: PTH119 - bytes
    return (dot + ending).lower().decode("ascii", "backslashreplace") if stem.strip(b".") else ""


def stem_of(name: bytes) -> bytes:
    """Return a file name without its folder and its extension."""
    last = os.path.split(name)[1]
    return last.rpartition(b".")[0] or last


def escape(name: bytes | str) -> str:
    """Show a file name unambiguously in printable, valid Unicode.

    Bytes that are not UTF-8, control characters, bidirectional overrides and the backslash become
    Python escapes; everything else stays.
    """
    text = os.fsdecode(name)
    if text.isprintable() and "\\" not in text:
        return text
    return "".join("\\\\" if character == "\\" else _escape_character(character) for character in text)


def printable(text: str) -> str:
    """Escape what cannot be printed, and nothing else: for sentences that quote file content."""
    return text if text.isprintable() else "".join(map(_escape_character, text))


def _escape_character(character: str) -> str:
    if 0xDC80 <= ord(character) <= 0xDCFF:
        return f"\\x{ord(character) - 0xDC00:02x}"
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")


def setting(key: str, value: object) -> str:
    """Write the command-line option that gives a recipe's setting a value."""
    return f"--set {shlex.quote(f'{key}={json.dumps(value, ensure_ascii=False)}')}"


def counted(count: int, noun: str) -> str:
    """Write a number of things: ``1 row``, ``2,000 rows``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def near(name: str, names: Iterable[str]) -> str | None:
    """Ask whether a similar name was meant: ``did you mean 'pets'?``; None where none is similar."""
    similar = difflib.get_close_matches(name, list(names), n=1)
    return f"did you mean {similar[0]!r}?" if similar else None
