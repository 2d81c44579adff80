"""An iterative JSON parser with RapidJSON's grammar, words and offsets.

For what a plain parser refuses or reads otherwise: NaN and infinities are numbers, what follows the first
value is not looked at, the first of two equal keys counts, nesting has no bound, bytes of a string that
are not UTF-8 are kept (as surrogate escapes), and an integer beyond 64 bits is a double. Errors are those of
rapidjson/error/en.h.
"""

import math
import re
from typing import Any

from serving.errors import InvalidArgument

_BLANK = re.compile(rb"[ \t\r\n]*")
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(\.[0-9]*)?(?:([eE][+-]?)([0-9]*))?")
_WORD = re.compile(rb"true|false|null|-?NaN|-?Inf(?:inity)?")
_HEX = re.compile(rb"[0-9A-Fa-f]{4}")

_WORDS: dict[bytes, Any] = {
    b"true": True,
    b"false": False,
    b"null": None,
    b"NaN": math.nan,
    b"-NaN": math.nan,
    b"Inf": math.inf,
    b"Infinity": math.inf,
    b"-Inf": -math.inf,
    b"-Infinity": -math.inf,
}
_SPELLINGS = (b"true", b"false", b"null", b"NaN", b"Infinity")
_ESCAPES = {b'"': '"', b"\\": "\\", b"/": "/", b"b": "\b", b"f": "\f", b"n": "\n", b"r": "\r", b"t": "\t"}

NO_NAME = "Missing a name for object member."
NO_COLON = "Missing a colon after a name of object member."
NO_COMMA_IN_OBJECT = "Missing a comma or } after an object member."
NO_COMMA_IN_ARRAY = "Missing a comma or ] after an array element."
NO_VALUE = "Invalid value."


def refusal(words: str, offset: int) -> InvalidArgument:
    """Make the error that says what is wrong and where."""
    return InvalidArgument(f"JSON Parse error: {words} at offset: {offset}")


class Parser:
    """Reads one document.

    Args:
        body: its bytes.
    """

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 3 if body.startswith(b"\xef\xbb\xbf") else 0
        # Containers that are open, each with the key its next value gets; None in lists.
        self._open: list[tuple[Any, str | None]] = []

    def parse(self) -> Any:
        """Return the document's first value.

        Raises:
            InvalidArgument: there is none.
        """
        if self._peek() in (b"", b"\0"):
            raise refusal("The document is empty.", self._at)
        while True:
            opened, value = self._begin()
            if opened:
                continue
            while self._open:
                self._attach(value)
                if self._continues():
                    break
                value = self._open.pop()[0]
            else:
                return value

    def _peek(self) -> bytes:
        blank = _BLANK.match(self._body, self._at)
        assert blank is not None
        self._at = blank.end()
        return self._body[self._at : self._at + 1]

    def _begin(self) -> tuple[bool, Any]:
        """Read a value, or open a container that is not empty."""
        first = self._peek()
        if first == b"[":
            self._at += 1
            if self._peek() == b"]":
                self._at += 1
                return False, []
            self._open.append(([], None))
            return True, None
        if first == b"{":
            self._at += 1
            if self._peek() == b"}":
                self._at += 1
                return False, {}
            self._open.append(({}, self._key()))
            return True, None
        return False, self._string() if first == b'"' else self._scalar()

    def _attach(self, value: Any) -> None:
        container, key = self._open[-1]
        if key is None:
            container.append(value)
        else:
            container.setdefault(key, value)

    def _continues(self) -> bool:
        """Pass a comma, and the key behind it; False if the container ends."""
        container, key = self._open[-1]
        mark = self._peek()
        if mark == (b"]" if key is None else b"}"):
            self._at += 1
            return False
        if mark != b",":
            raise refusal(NO_COMMA_IN_ARRAY if key is None else NO_COMMA_IN_OBJECT, self._at)
        self._at += 1
        if key is not None:
            self._open[-1] = (container, self._key())
        return True

    def _key(self) -> str:
        if self._peek() != b'"':
            raise refusal(NO_NAME, self._at)
        key = self._string()
        if self._peek() != b":":
            raise refusal(NO_COLON, self._at)
        self._at += 1
        return key

    def _string(self) -> str:
        self._at += 1
        parts = []
        while True:
            plain = _PLAIN.match(self._body, self._at)
            assert plain is not None
            parts.append(plain[0].decode("utf-8", "surrogateescape"))
            self._at = plain.end()
            mark = self._body[self._at : self._at + 1]
            if mark == b'"':
                self._at += 1
                return "".join(parts)
            if mark != b"\\":
                missing = mark in (b"", b"\0")
                words = (
                    "Missing a closing quotation mark in string."
                    if missing
                    else "Invalid encoding in string."
                )
                raise refusal(words, self._at)
            parts.append(self._escape())

    def _escape(self) -> str:
        begin = self._at
        letter = self._body[begin + 1 : begin + 2]
        if letter != b"u":
            if letter not in _ESCAPES:
                raise refusal("Invalid escape character in string.", begin)
            self._at += 2
            return _ESCAPES[letter]
        point = self._hex(begin)
        if 0xD800 <= point <= 0xDFFF:
            low = self._hex(begin) if self._body[self._at : self._at + 2] == b"\\u" else 0
            if point > 0xDBFF or not 0xDC00 <= low <= 0xDFFF:
                raise refusal("The surrogate pair in string is invalid.", begin)
            point = 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00)
        return chr(point)

    def _hex(self, begin: int) -> int:
        digits = _HEX.match(self._body, self._at + 2)
        if digits is None:
            raise refusal("Incorrect hex digit after \\u escape in string.", begin)
        self._at = digits.end()
        return int(digits[0], 16)

    def _scalar(self) -> Any:
        word = _WORD.match(self._body, self._at)
        if word is not None:
            self._at = word.end()
            if word[0].endswith(b"Inf") and self._body[self._at : self._at + 1] == b"i":
                raise refusal(NO_VALUE, self._at + 1)
            return _WORDS[word[0]]
        number = _NUMBER.match(self._body, self._at)
        if number is None:
            raise refusal(NO_VALUE, self._at + self._spelt())
        begin, self._at = self._at, number.end()
        if number[1] == b".":
            raise refusal("Miss fraction part in number.", self._at)
        if number[3] == b"":
            raise refusal("Miss exponent in number.", self._at)
        return self._value(number, begin)

    def _spelt(self) -> int:
        """Count the bytes that begin a word as it should be."""
        rest = self._body[self._at : self._at + 8]
        for word in _SPELLINGS:
            if rest[:1] == word[:1]:
                return next((n for n in range(len(word)) if rest[n : n + 1] != word[n : n + 1]), 0)
        return 1 if rest[:1] == b"-" else 0

    def _value(self, number: re.Match[bytes], begin: int) -> int | float:
        text = number[0]
        if number[1] is None and number[2] is None and len(text) <= 20:
            whole = int(text)
            if -(2**63) <= whole < 2**64:
                return whole
        value = float(text)
        if math.isinf(value):
            raise refusal("Number too big to be stored in double.", begin)
        return value
