"""The forms of encoded images that TensorFlow's decoders read right and safely, told by the first bytes.

One table for the graph and for ingest: the graph decodes a plain form and refuses every other by its name;
ingest and our client rewrite the others once, as PNG.
"""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

#: Bytes of an image that tell its form and size.
HEAD = 34

#: The decoders of the graph.
JPEG, PNG, GIF, BMP, WEBP = range(5)


@dataclass(frozen=True)
class Number:
    """A number in the head: ``sign * (the bytes // 2**shift % 2**bits) + plus``.

    Attributes:
        start: place of its first byte.
        count: its bytes; negative if the most significant comes first.
    """

    start: int = 0
    count: int = 0
    shift: int = 0
    bits: int = 32
    plus: int = 0
    sign: int = 1

    @property
    def weights(self) -> np.ndarray:
        """What each byte of the head counts, int64 [HEAD]."""
        weights = np.zeros(HEAD, np.int64)
        powers = [256**place for place in range(abs(self.count))]
        weights[self.start : self.start + len(powers)] = powers if self.count > 0 else powers[::-1]
        return weights

    def read(self, data: bytes) -> int:
        """Read the number of an encoded image."""
        part = data[self.start : self.start + abs(self.count)]
        number = int.from_bytes(part, "little" if self.count > 0 else "big")
        return self.sign * (number // 2**self.shift % 2**self.bits) + self.plus

    @property
    def rule(self) -> list[int]:
        """Divisor, modulus, sign and summand."""
        return [2**self.shift, 2**self.bits, self.sign, self.plus]


@dataclass(frozen=True)
class Form:
    """One form.

    Attributes:
        bits: offset in the head to the bytes expected there.
        masks: offset to the bits of a byte that count; all of them elsewhere.
        decoder: which reads it.
        height: in pixels, as `width`; a JPEG's stand behind its head.
        start: of the blocks behind the head and colour table of a GIF, of the pixels of a BMP.
        samples: bytes of a BMP's pixel.
        upward: whether a BMP's rows are stored from the bottom up.
        refusal: why it is not decoded; empty for a plain form.
    """

    bits: Mapping[int, bytes]
    decoder: int = JPEG
    height: Number = Number()
    width: Number = Number()
    start: Number = Number()
    samples: int = 0
    upward: bool = False
    masks: Mapping[int, int] = field(default_factory=dict)
    refusal: str = ""

    @functools.cached_property
    def mask(self) -> np.ndarray:
        """The bits of the head that count, uint8 [HEAD]."""
        mask = np.zeros(HEAD, np.uint8)
        for start, values in self.bits.items():
            mask[start : start + len(values)] = 255
        for start, bits in self.masks.items():
            mask[start] = bits
        return mask

    @functools.cached_property
    def value(self) -> np.ndarray:
        """What they are, uint8 [HEAD]."""
        value = np.zeros(HEAD, np.uint8)
        for start, values in self.bits.items():
            value[start : start + len(values)] = list(values)
        return value

    def matches(self, head: bytes) -> bool:
        """Return whether an image that begins with these bytes has this form."""
        padded = np.frombuffer(head[:HEAD].ljust(HEAD, b"\0"), np.uint8)
        return bool(((padded & self.mask) == self.value).all())


_PNG = {0: b"\x89PNG\r\n\x1a\n", 12: b"IHDR"}
_WEBP = {0: b"RIFF", 8: b"WEBP"}


def _png() -> list[Form]:
    return [
        Form(_PNG | {24: b"\x08"}, PNG, Number(20, -4), Number(16, -4)),
        Form(_PNG, refusal="the PNG has another number of bits a sample than 8: save it with 8 bits"),
    ]


def _gif() -> list[Form]:
    """One form for each size of the colour table, which stands in the flags; version 87a or 89a."""
    height, width = Number(8, 2), Number(6, 2)
    tables = [
        Form(
            {0: b"GIF8\0a", 10: bytes([0x80 | power])},
            GIF,
            height,
            width,
            start=Number(plus=13 + 3 * 2 ** (power + 1)),
            masks={4: 0, 10: 0x87},
        )
        for power in range(8)
    ]
    return [*tables, Form({0: b"GIF8\0a"}, GIF, height, width, start=Number(plus=13), masks={4: 0})]


def _bmp() -> list[Form]:
    plain = [
        Form(
            {
                0: b"BM",
                10: bytes([14 + header, 0, 0, 0, header, 0, 0, 0]),
                25: bytes([top_down]),
                28: bytes([bits, 0, 0, 0, 0, 0]),
            },
            BMP,
            Number(22, 4, sign=-1, plus=2**32) if top_down else Number(22, 4),
            Number(18, 4),
            Number(plus=14 + header),
            bits // 8,
            not top_down,
            {25: 0x80},
        )
        for header in (40, 52, 56, 108, 124)
        for bits in (24, 32)
        for top_down in (0, 0x80)
    ]
    refusal = (
        "the BMP is not plain: 24 or 32 bits without compression or palette are expected: save it as PNG"
    )
    return [*plain, Form({0: b"BM"}, refusal=refusal)]


def _webp() -> list[Form]:
    extended = {12: b"VP8X", 20: b"\0"}
    animated = {12: b"VP8X", 20: b"\2"}
    refusal = "the WebP is animated, and a still picture is expected: save its first frame as PNG"
    return [
        Form(_WEBP | animated, masks={20: 2}, refusal=refusal),
        Form(_WEBP | extended, WEBP, Number(27, 3, plus=1), Number(24, 3, plus=1), masks={20: 2}),
        Form(_WEBP | {12: b"VP8 "}, WEBP, Number(28, 2, bits=14), Number(26, 2, bits=14)),
        Form(_WEBP | {12: b"VP8L"}, WEBP, Number(21, 4, 14, 14, 1), Number(21, 4, 0, 14, 1)),
    ]


#: All forms, the first that matches counts; the last one matches everything.
FORMS = (
    Form({0: b"\xff\xd8\xff"}),
    *_png(),
    *_gif(),
    *_bmp(),
    *_webp(),
    Form({}, refusal="the data are no image: JPEG, PNG, GIF, BMP or WebP is expected"),
)


def form_of(data: bytes) -> Form:
    """Find the form of an encoded image."""
    return next(form for form in FORMS if form.matches(data))


# -- GIF (89a specification) ----------------------------------------------------------------------

#: Extension blocks with nothing that changes the picture, in RE2's syntax, where ``\C`` is any byte: a
#: graphic control without transparency, the loop count, comments of up to 127 bytes a block.
_LENGTHS = "|".join(rf"\x{count:02x}\C{{{count}}}" for count in range(1, 128) if count != 4)
_CONTROL = r"\x04[\x00\x02\x04\x06\x08\x0a\x0c\x0e\x10\x12\x14\x16\x18\x1a\x1c\x1e]\C{3}"
GIF_EXTENSIONS = rf"(?:!\C(?:{_CONTROL}|{_LENGTHS})*\x00)*"
"""Extension blocks in a row, maybe none."""

_EXTENSIONS = re.compile(GIF_EXTENSIONS.replace(r"\C", r"[\x00-\xff]").encode("ascii"))


def is_plain(data: bytes) -> bool:
    """Return whether the graph decodes an encoded image, if it is sound."""
    form = form_of(data)
    if form.decoder == GIF:
        return _is_plain_gif(data, form.start.plus)
    return not form.refusal and (form.decoder != BMP or _is_whole_bmp(data, form))


def _is_whole_bmp(data: bytes, form: Form) -> bool:
    """Return whether every row is complete: some writers omit the padding of the last one."""
    row = (form.width.read(data) * form.samples + 3) // 4 * 4
    return form.start.read(data) + row * form.height.read(data) <= len(data)


def _is_plain_gif(data: bytes, start: int) -> bool:
    """Return whether a GIF has a single opaque frame that fills its screen."""
    place = _past_extensions(data, start)
    if data[place : place + 9] != b",\0\0\0\0" + data[6:10] or len(data) < place + 12:
        return False
    flags = data[place + 9]
    place += 11 + (3 * 2 ** (flags % 8 + 1) if flags >= 128 else 0)
    while place < len(data) and data[place]:
        place += data[place] + 1
    end = _past_extensions(data, place + 1)
    return data[end : end + 1] == b";"


def _past_extensions(data: bytes, place: int) -> int:
    match = _EXTENSIONS.match(data, place)
    return match.end() if match else place
