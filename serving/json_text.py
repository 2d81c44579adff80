"""JSON as TensorFlow Serving's parser reads it: RapidJSON with NaN and infinities allowed.

orjson takes what is plain JSON, at its speed. What it refuses, or would read otherwise, goes to the
standard library's parser: NaN and infinities, keys that come twice (the first counts), numbers beyond a
double, and whatever is wrong, which is told with RapidJSON's words and offset.
"""

import json
import math
import re
from typing import Any, NoReturn

import orjson

from serving.errors import InvalidArgument

#: Bytes of a value that a message repeats.
EXCERPT = 256

_KEYS = (b'"instances"', b'"inputs"', b'"signature_name"', b'"examples"', b'"context"')
_LONG_EXPONENT = re.compile(rb"[eE]\+?[0-9]{3}")
_LONG_DIGITS = re.compile(rb"[0-9]{300}")
_STRING_OR_INF = re.compile(r'"(?:[^"\\]|\\.)*"|Inf(?!inity)', re.DOTALL)

_WORDS = (
    ("Expecting property name", "Missing a name for object member."),
    ("Illegal trailing comma before end of object", "Missing a name for object member."),
    ("Expecting ':'", "Missing a colon after a name of object member."),
    ("Unterminated string", "Missing a closing quotation mark in string."),
    ("Invalid \\escape", "Invalid escape character in string."),
    ("Invalid \\u", "Incorrect hex digit after \\u escape in string."),
    ("Invalid control character", "Invalid encoding in string."),
)


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
    return _tolerant(body)


def _is_plain(body: bytes) -> bool:
    twice = any(body.count(key) > 1 for key in _KEYS)
    return not (twice or _LONG_EXPONENT.search(body) or _LONG_DIGITS.search(body))


def _tolerant(body: bytes) -> Any:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _refusal("Invalid encoding in string.", error.start) from None
    text = _STRING_OR_INF.sub(lambda found: "Infinity" if found[0] == "Inf" else found[0], text)
    start = len(text) - len(text.lstrip(" \t\r\n"))
    if start == len(text):
        raise _refusal("The document is empty.", start)
    try:
        value, _ = _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise _refusal(_words(error, text), len(text[: error.pos].encode())) from None
    except RecursionError:
        raise _refusal("the document is nested too deeply", start) from None
    _check_surrogates(value, text)
    return value


def _words(error: json.JSONDecodeError, text: str) -> str:
    if error.msg.startswith("Expecting ','"):
        return f"Missing a comma or {_innermost(text[: error.pos])}"
    return next((words for start, words in _WORDS if error.msg.startswith(start)), "Invalid value.")


def _innermost(text: str) -> str:
    opened: list[str] = []
    for found in re.finditer(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', text):
        if found[0] in "[{":
            opened.append(found[0])
        elif found[0] in "]}" and opened:
            opened.pop()
    return "] after an array element." if opened[-1:] == ["["] else "} after an object member."


def _check_surrogates(value: Any, text: str) -> None:
    if "\\u" not in text:
        return
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise _refusal("The surrogate pair in string is invalid.", text.find("\\u")) from None


def _refusal(words: str, offset: int) -> InvalidArgument:
    return InvalidArgument(f"JSON Parse error: {words} at offset: {offset}")


def _too_big() -> NoReturn:
    raise InvalidArgument("JSON Parse error: Number too big to be stored in double.")


def _float(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _too_big()


def _int(text: str) -> int | float:
    # An integer beyond 64 bits is a double to RapidJSON.
    if len(text) > 20:
        return _float(text)
    number = int(text)
    return number if -(2**63) <= number < 2**64 else _float(text)


def _first(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(reversed(pairs)) if len({key for key, _ in pairs}) < len(pairs) else dict(pairs)


_DECODER = json.JSONDecoder(object_pairs_hook=_first, parse_float=_float, parse_int=_int)


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
