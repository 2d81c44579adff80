"""Check one text: its encoding first, then what no text holds; text itself is never changed."""

import hashlib
import unicodedata
from collections.abc import Mapping
from typing import Any

from features.ingest.verdicts.facts import Facts
from features.quarantine import RefusedError

_BOM = b"\xef\xbb\xbf"
#: Longest first: UTF-32's mark begins like UTF-16's.
_WIDE = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
#: Control characters that plain text has.
_PLAIN = frozenset("\t\n\r\f\v")


def check(data: bytes, suffix: str, rules: Mapping[str, Any]) -> Facts:
    """Decode a text strictly.

    Args:
        data: the file's content, or the table's cell.
        suffix: the file name's ending; nothing depends on it.
        rules: ``max_characters``, and ``bad_text`` ("reject" or "replace").

    Returns:
        Facts with the measure ``characters``; what is stored differs from the file by a byte order mark
        dropped, and by what was replaced where the rules say so.

    Raises:
        RefusedError: ``bad_encoding``, ``nul``, ``too_long``, ``empty_text``.
    """
    body = data.removeprefix(_BOM)
    text = _decoded(data, len(data) - len(body), rules["bad_text"] == "replace")
    if len(text) > rules["max_characters"]:
        raise RefusedError("too_long", f"{len(text):,} characters; at most {rules['max_characters']:,}")
    if not text.strip():
        raise RefusedError("empty_text", f"{len(text):,} characters, all of them blank")
    encoded = text.encode()
    notes = {
        "byte_order_mark": body is not data and len(body) < len(data),
        "replaced": encoded != body,
        "control_characters": any(c < " " and c not in _PLAIN for c in text),
    }
    return Facts(
        "TEXT",
        _identity(text),
        {"characters": len(text)},
        tuple(note for note, holds in notes.items() if holds),
        encoded if encoded != data else None,
        "ASCII" if text.isascii() else "",
    )


def _decoded(data: bytes, skipped: int, replace: bool) -> str:
    for mark, name in _WIDE.items():
        if data.startswith(mark):
            raise RefusedError("bad_encoding", f"the content is {name}; save it as UTF-8", 0)
    try:
        text = data[skipped:].decode("utf-8")
    except UnicodeDecodeError as error:
        if not replace:
            place = skipped + error.start
            raise RefusedError(
                "bad_encoding", f"byte 0x{data[place]:02x} at offset {place:,} is not UTF-8", place
            ) from None
        text = data[skipped:].decode("utf-8", "replace")
    if "\0" in text:
        if not replace:
            place = data.index(b"\0")
            raise RefusedError("nul", f"a NUL character at offset {place:,}", place)
        text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return text


def _identity(text: str) -> str:
    """Hash a text without regard to case, width, accents' encoding and runs of blanks."""
    plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return hashlib.sha256(plain.encode()).hexdigest()
