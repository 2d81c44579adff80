"""Read a BMP's header: the Windows and OS/2 kinds, their colour tables, and where the pixels begin.

Files in the wild name a wrong place of their pixels, or none, and leave their last row unpadded. What has one
meaning is read; what the served graph would read differently is no plain form and is rewritten at ingest.
"""

import struct
from dataclasses import dataclass

from features.quarantine import RefusedError

#: Sizes of the headers that Pillow reads: OS/2 1.x; Windows, versions 2 and 3; OS/2 2.x; versions 4 and 5.
_HEADERS = (12, 40, 52, 56, 64, 108, 124)
_OS2_1, _WINDOWS, _OS2_2 = 12, 40, 64
_BITS = (1, 4, 8, 16, 24, 32)
_PLAIN, _RUNS_8, _RUNS_4, _FIELDS = range(4)
_KINDS = {_PLAIN: _BITS, _RUNS_8: (8,), _RUNS_4: (4,), _FIELDS: (16, 24, 32)}
_NOT_GREY = b"\1\0\0\0"
_NAMES = {4: "a JPEG inside", 5: "a PNG inside", 6: "bit fields with alpha in a header of 40 bytes"}


@dataclass(frozen=True)
class Structure:
    """What a BMP's header says, and what follows from it.

    Attributes:
        width: pixels.
        height: pixels.
        variant: kind of header, bits a pixel, compression.
        colors: entries of the colour table before the pixels; None without one.
    """

    width: int
    height: int
    variant: str
    colors: int | None


@dataclass(frozen=True)
class _Fields:
    """The header's fields; the height is negative if rows are stored from the top down."""

    size: int
    width: int
    height: int
    bits: int
    compression: int
    colors: int
    offset: int

    @property
    def indexed(self) -> bool:
        return self.bits <= 8

    @property
    def entry(self) -> int:
        """Bytes of one colour in the table."""
        return 3 if self.size == _OS2_1 else 4

    @property
    def declared(self) -> int:
        """Colours that the table is said to have."""
        return (self.colors or 1 << self.bits) if self.indexed else 0

    @property
    def table(self) -> int:
        """Where the colour table begins."""
        masks = 12 if self.size == _WINDOWS and self.compression == _FIELDS else 0
        return 14 + self.size + masks

    @property
    def end(self) -> int:
        """Where the colour table ends, as declared."""
        return self.table + self.entry * self.declared

    @property
    def pixels(self) -> int:
        """Where the pixels begin: the place is left out by some writers, or counted without the table."""
        forgotten = self.offset == 0 or (self.indexed and self.offset == self.table)
        return self.end if forgotten else self.offset

    @property
    def available(self) -> int:
        """Colours that stand before the pixels."""
        return min(self.declared, (self.pixels - self.table) // self.entry)

    @property
    def row(self) -> int:
        """Bytes of one row, without what pads it to a multiple of four."""
        return (self.width * self.bits + 7) // 8


def read_structure(data: bytes) -> Structure:
    """Read the header of a BMP.

    Raises:
        RefusedError: ``truncated``, ``corrupt`` or ``unsupported_variant``.
        struct.error: the data end inside the header.
    """
    fields = _fields(data)
    _require_readable(fields)
    if fields.pixels < fields.table or (fields.offset == 0 and fields.colors and not fields.indexed):
        raise RefusedError("corrupt", f"the BMP's pixels begin at byte {fields.offset}, inside its header")
    height = abs(fields.height)
    padded = fields.pixels + (fields.row + 3) // 4 * 4 * height
    _require_whole(fields, padded, len(data))
    return Structure(
        fields.width,
        height,
        f"header of {fields.size} bytes, {fields.bits} bits, compression {fields.compression}",
        fields.available if fields.indexed else None,
    )


def _fields(data: bytes) -> _Fields:
    offset, size = struct.unpack_from("<II", data, 10)
    if size not in _HEADERS:
        raise RefusedError(
            "unsupported_variant", f"BMP with a header of {size} bytes; {_HEADERS} can be read"
        )
    if size == _OS2_1:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        return _Fields(size, width, height, bits, 0, 0, offset)
    width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    (colors,) = struct.unpack_from("<I", data, 46)
    return _Fields(size, width, height, bits, compression, colors, offset)


def _require_readable(fields: _Fields) -> None:
    bits, compression = fields.bits, fields.compression
    if compression not in _KINDS or (fields.size == _OS2_2 and compression == _FIELDS):
        name = _NAMES.get(compression, f"compression {compression}") if fields.size != _OS2_2 else ""
        raise RefusedError(
            "unsupported_variant", f"BMP with {name or f'OS/2 compression {compression}'}; save it as PNG"
        )
    if bits not in _KINDS[compression]:
        raise RefusedError(
            "unsupported_variant",
            f"BMP with {bits} bits a pixel and compression {compression}; save it as PNG",
        )
    if fields.width < 1 or fields.height == 0:
        raise RefusedError("corrupt", f"the BMP header says {fields.width} x {fields.height} pixels")


def _require_whole(fields: _Fields, padded: int, size: int) -> None:
    runs = fields.compression in (_RUNS_8, _RUNS_4)
    # Some writers leave the last row as it is.
    needed = fields.pixels + 2 if runs else padded - (-fields.row % 4)
    if needed > size:
        raise RefusedError("truncated", f"the BMP needs {needed} bytes, the file has {size}")


def for_pillow(data: bytes) -> bytes:
    """Rewrite a BMP with indexed pixels: a Windows header, a whole colour table, the pixels behind it.

    Pillow takes a table of black and white, or of grey levels alone, for a sign that each pixel is stored in
    1 or 8 bits, whatever the header says, and refuses tables that are too long. The colours added are unused.
    """
    fields = _fields(data)
    if not fields.indexed:
        return data
    most, begin = 1 << fields.bits, fields.pixels
    colors = min(fields.available, most)
    entries = data[fields.table : fields.table + fields.entry * colors]
    table = [entries[at : at + 3] + b"\0" for at in range(0, len(entries), fields.entry)]
    table += [_NOT_GREY] * (most - colors + (fields.bits == 4))
    start = 14 + _WINDOWS + 4 * len(table)
    info = (_WINDOWS, fields.width, fields.height, 1, fields.bits, fields.compression, 0, 0, 0, len(table), 0)
    head = b"BM" + struct.pack("<IHHI", start + len(data) - begin, 0, 0, start)
    return b"".join([head, struct.pack("<IiiHHIIiiII", *info), *table, data[begin:]])
