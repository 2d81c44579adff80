"""The forms of encoded images that TensorFlow's decoders read right and safely, told by the first bytes.

One table for the graph and for ingest: the graph decodes a plain form and refuses every other by its name;
ingest and our client rewrite the others once, as PNG.
"""

import re
import struct
from dataclasses import dataclass

import numpy as np

#: Bytes of an image that tell its form and size.
HEAD = 34

#: The decoders of the graph.
JPEG, PNG, GIF, BMP, WEBP = range(5)


@dataclass(frozen=True)
class Number:
    """A number in the head: ``sign * the bytes // divisor % modulus + plus``.

    Attributes:
        start: place of its first byte.
        count: its bytes; negative if the most significant comes first.
    """

    start: int = 0
    count: int = 1
    divisor: int = 1
    modulus: int = 2**32
    plus: int = 0
    sign: int = 1

    @property
    def weights(self) -> np.ndarray:
        """What each byte of the head counts, int64 [HEAD]."""
        weights = np.zeros(HEAD, np.int64)
        powers = self.sign * 256 ** np.arange(abs(self.count))
        weights[self.start : self.start + len(powers)] = powers[:: np.sign(self.count)]
        return weights


@dataclass(frozen=True)
class Form:
    """One form.

    Attributes:
        head: the bytes expected first; a question mark stands for any byte.
        decoder: which reads it.
        height: in pixels, as `width`; a JPEG's stand behind its head.
        bit: place and value of a bit that must be set besides.
        refusal: why it is not decoded; empty for a plain form.
    """

    head: bytes
    decoder: int = JPEG
    height: Number = Number()
    width: Number = Number()
    bit: tuple[int, int] = (0, 0)
    refusal: str = ""

    @property
    def bits(self) -> np.ndarray:
        """The bits of the head that count, and what they are: uint8 [2, HEAD]."""
        head = np.frombuffer(self.head.ljust(HEAD, b"?"), np.uint8)
        bits = np.where(head == ord("?"), 0, [np.full(HEAD, 255), head]).astype(np.uint8)
        bits[:, self.bit[0]] |= self.bit[1]
        return bits


_PNG, _WEBP = b"\x89PNG\r\n\x1a\n????IHDR", b"RIFF????WEBP"
#: Behind a header of one of these sizes, 24 or 32 bits a pixel. A set sign bit of the height, of which the
#: magnitude counts, says that rows are stored from the top down.
_PLAIN_BMP = [
    Form(
        b"BM????????" + struct.pack("<II", 14 + header, header) + b"?" * 10 + struct.pack("<HI", bits, 0),
        BMP,
        Number(22, 4, sign=sign),
        Number(18, 4),
        bit,
    )
    for header in (40, 52, 56, 108, 124)
    for bits in (24, 32)
    for sign, bit in ((-1, (25, 0x80)), (1, (0, 0)))
]

#: All forms, the first that matches counts; the last one matches everything.
FORMS = (
    Form(b"\xff\xd8\xff"),
    Form(_PNG + b"????????\x08", PNG, Number(20, -4), Number(16, -4)),
    Form(_PNG, refusal="the PNG has another number of bits a sample than 8: save it with 8 bits"),
    Form(b"GIF8?a", GIF, Number(8, 2), Number(6, 2)),
    *_PLAIN_BMP,
    Form(
        b"BM",
        refusal="the BMP is not plain: 24 or 32 bits without compression or palette are expected: "
        "save it as PNG",
    ),
    Form(
        _WEBP + b"VP8X",
        bit=(20, 2),
        refusal="the WebP is animated, and a still picture is expected: save its first frame as PNG",
    ),
    Form(_WEBP + b"VP8X", WEBP, Number(27, 3, plus=1), Number(24, 3, plus=1)),
    Form(_WEBP + b"VP8 ", WEBP, Number(28, 2, modulus=2**14), Number(26, 2, modulus=2**14)),
    Form(_WEBP + b"VP8L", WEBP, Number(21, 4, 2**14, 2**14, 1), Number(21, 4, 1, 2**14, 1)),
    Form(b"", refusal="the data are no image: JPEG, PNG, GIF, BMP or WebP is expected"),
)
#: The bits of a head that count for each form, and what they are: uint8 [forms, HEAD].
MASKS, VALUES = np.stack([form.bits for form in FORMS], axis=1)


def form_of(data: bytes) -> Form:
    """Find the form of an encoded image."""
    head = np.frombuffer(data[:HEAD].ljust(HEAD, b"\0"), np.uint8)
    return FORMS[int(((head & MASKS) == VALUES).all(axis=1).argmax())]


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
        return _is_plain_gif(data)
    return not form.refusal and (form.decoder != BMP or _is_whole_bmp(data))


def _is_whole_bmp(data: bytes) -> bool:
    """Return whether every row is complete: some writers omit the padding of the last one."""
    if len(data) < HEAD:
        return False
    start, _, width, height, _, bits = struct.unpack_from("<IIIiHH", data, 10)
    return bool(start + (width * bits // 8 + 3) // 4 * 4 * abs(height) <= len(data))


def color_table(flags: int) -> int:
    """Return the bytes of a GIF's colour table by the flags of its screen or frame."""
    return 3 * 2 ** (flags % 8 + 1) if flags >= 128 else 0


def _is_plain_gif(data: bytes) -> bool:
    """Return whether a GIF has a single opaque frame that fills its screen."""
    place = _past_extensions(data, 13 + color_table(data[10])) if len(data) > 10 else 0
    if data[place : place + 9] != b",\0\0\0\0" + data[6:10] or len(data) < place + 12:
        return False
    place += 11 + color_table(data[place + 9])
    while place < len(data) and data[place]:
        place += data[place] + 1
    end = _past_extensions(data, place + 1)
    return data[end : end + 1] == b";"


def _past_extensions(data: bytes, place: int) -> int:
    match = _EXTENSIONS.match(data, place)
    return match.end() if match else place
