"""JSON as TensorFlow Serving reads it, and as its messages repeat it.

orjson takes what is plain JSON, at its speed. What it refuses, or would read otherwise, goes to a parser
with RapidJSON's grammar: NaN and infinities, keys that come twice, numbers beyond a double, and whatever
is wrong.
"""

import json
import re
from typing import Any

import orjson

from serving.errors import InvalidArgument
from serving.rest.json_parser import Parser

#: Bytes of a value that a message repeats.
EXCERPT = 256

_KEYS = (b'"instances"', b'"inputs"', b'"signature_name"', b'"examples"', b'"context"')
_LONG_EXPONENT = re.compile(rb"[eE]\+?[0-9]{3}")
_LONG_DIGITS = re.compile(rb"[0-9]{300}")


def parse(body: bytes) -> Any:
    """Parse a document; what follows its first value is not looked at.

    Raises:
        InvalidArgument: it is empty or no JSON.
    """
    if not body:
        raise InvalidArgument("JSON Parse error: The document is empty")
    if _is_plain(body):
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            pass
    return Parser(body).parse()


def _is_plain(body: bytes) -> bool:
    twice = any(body.count(key) > 1 for key in _KEYS)
    return not (twice or _LONG_EXPONENT.search(body) or _LONG_DIGITS.search(body))


def type_name(value: Any) -> str:
    """Name a value's JSON type as the real server's messages do."""
    if value is None:
        return "Null"
    if isinstance(value, bool):
        return str(value)
    names: tuple[tuple[type, str], ...] = ((dict, "Object"), (list, "Array"), (str, "String"))
    return next((name for kind, name in names if isinstance(value, kind)), "Number")


def excerpt(value: Any) -> str:
    """Write a value for a message: objects over lines, lists in one, cut at 256 bytes."""
    pieces: list[str] = []
    _write(value, 1, pieces, [EXCERPT])
    return "".join(pieces)[:EXCERPT]


def _write(value: Any, depth: int, pieces: list[str], left: list[int]) -> None:
    if left[0] <= 0:
        return
    if isinstance(value, dict) and value:
        _write_object(value, depth, pieces, left)
    elif isinstance(value, list):
        _put("[", pieces, left)
        for position, below in enumerate(value):
            if left[0] <= 0:
                return
            _put(", " if position else "", pieces, left)
            _write(below, depth, pieces, left)
        _put("]", pieces, left)
    else:
        _put(_scalar(value), pieces, left)


def _write_object(value: dict[str, Any], depth: int, pieces: list[str], left: list[int]) -> None:
    for position, (key, below) in enumerate(value.items()):
        if left[0] <= 0:
            return
        opening = "," if position else "{"
        _put(f"{opening}\n{'    ' * depth}{json.dumps(key[:EXCERPT], ensure_ascii=False)}: ", pieces, left)
        _write(below, depth + 1, pieces, left)
    _put(f"\n{'    ' * (depth - 1)}}}", pieces, left)


def _scalar(value: Any) -> str:
    return json.dumps(value[:EXCERPT] if isinstance(value, str) else value, ensure_ascii=False)


def _put(piece: str, pieces: list[str], left: list[int]) -> None:
    pieces.append(piece)
    left[0] -= len(piece)
