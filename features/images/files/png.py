"""Check a PNG's structure and that its compressed pixels are whole (W3C PNG, third edition).

Pillow is lenient where libpng, in TensorFlow, is strict: about chunks that are missing, doubled or out of
order, about checksums, and about pixels that end early, whose rows it leaves black. So the strict rules
are applied here; the pixels are inflated piece by piece, and only counted.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from features.quarantine import RefusedError

_PIECE = 1 << 18
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
#: First column, first row, column step, row step of the seven Adam7 passes.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


@dataclass(frozen=True)
class Structure:
    """Size in pixels, bits a sample, colour type, whether interlaced, frames, (start, length) of IDATs."""

    width: int
    height: int
    depth: int
    kind: int
    interlaced: bool
    frames: int
    pixels: tuple[tuple[int, int], ...]


def read_structure(data: bytes) -> Structure:
    """Walk the chunks of a PNG; check their checksums, number, order and lengths.

    Raises:
        RefusedError: ``truncated`` or ``corrupt``.
        struct.error: the data end inside a chunk's head.
    """
    critical: list[bytes] = []
    pixels: list[tuple[int, int]] = []
    palette = frames = 0
    for name, start, length in _chunks(data):
        if name == b"PLTE":
            palette = length
        elif name == b"acTL" and b"IDAT" not in critical and length == 8:
            frames = struct.unpack_from(">I", data, start)[0]
        elif name == b"IDAT":
            pixels.append((start, length))
        # A lower-case first letter marks a chunk that decoders may ignore.
        if name[:1].isupper() and critical[-1:] != [name]:
            critical.append(name)
        elif name[:1].isupper() and name != b"IDAT":
            raise RefusedError("corrupt", f"PNG chunk {name!r} twice")
        elif name[:1].islower() and critical[-1:] == [b"IDAT"]:
            critical.append(b"")  # Whatever comes between the pixels' chunks divides them.
    order = [name for name in critical if name]
    if order not in ([b"IHDR", b"IDAT", b"IEND"], [b"IHDR", b"PLTE", b"IDAT", b"IEND"]):
        raise RefusedError("corrupt", f"PNG chunks out of order: {b' '.join(order)[:100].decode('ascii')}")
    return _header(data, palette, frames, tuple(pixels))


def _header(data: bytes, palette: int, frames: int, pixels: tuple[tuple[int, int], ...]) -> Structure:
    width, height, depth, kind, method, filtering, interlace = struct.unpack_from(">IIBBBBB", data, 16)
    if depth not in _DEPTHS.get(kind, ()) or method or filtering or interlace > 1:
        detail = f"colour type {kind}, {depth} bits, methods {method}, {filtering}, {interlace}"
        raise RefusedError("corrupt", f"PNG with {detail}")
    most = 3 * min(256, 2**depth) if kind == 3 else 768
    if palette % 3 or palette > most or ((palette > 0) != (kind == 3) and kind != 2 and kind != 6):
        raise RefusedError(
            "corrupt", f"PNG of colour type {kind}, {depth} bits, with a palette of {palette} bytes"
        )
    return Structure(width, height, depth, kind, bool(interlace), max(1, frames), pixels)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield (name, offset, length) of each chunk up to IEND; check names, lengths and checksums."""
    place, view, name = 8, memoryview(data), b""
    while name != b"IEND":
        length, name = struct.unpack_from(">I4s", data, place)
        start, place = place + 8, place + 12 + length
        if not name.isalpha() or (start == 16) != (name == b"IHDR") or (name == b"IHDR" and length != 13):
            raise RefusedError(
                "corrupt", f"unexpected PNG chunk {name!r} of {length} bytes at byte {start - 8}"
            )
        if place > len(data):
            raise RefusedError(
                "truncated", f"PNG chunk {name!r} needs {place} bytes, the file has {len(data)}"
            )
        checksum = struct.unpack_from(">I", data, place - 4)[0]
        if name[:1].isupper() and zlib.crc32(view[start - 4 : place - 4]) != checksum:
            raise RefusedError("corrupt", f"the checksum of PNG chunk {name!r} at byte {start - 8} is wrong")
        yield name, start, length


def check_pixels(data: bytes, structure: Structure) -> None:
    """Inflate the pixels and compare their number with what the header asks for.

    Args:
        data: the PNG.
        structure: what `read_structure` read of it, with a size within the limits.

    Raises:
        RefusedError: ``truncated`` or ``corrupt``.
    """
    bits = structure.depth * _SAMPLES[structure.kind]
    expected = sum(rows * (1 + (columns * bits + 7) // 8) for columns, rows in _passes(structure) if columns)
    view = memoryview(data)
    inflated, ended = _inflate((view[start : start + length] for start, length in structure.pixels), expected)
    if inflated > expected:
        raise RefusedError("corrupt", f"the PNG holds more than the {expected:,} bytes of its pixels")
    if inflated < expected or not ended:
        raise RefusedError("truncated", f"the PNG's pixels take {expected:,} bytes, {inflated:,} are there")


def _passes(structure: Structure) -> list[tuple[int, int]]:
    if not structure.interlaced:
        return [(structure.width, structure.height)]
    return [
        ((structure.width - left + right - 1) // right, (structure.height - top + down - 1) // down)
        for left, top, right, down in _PASSES
    ]


def _inflate(bodies: Iterable[memoryview], most: int) -> tuple[int, bool]:
    """Count the inflated bytes, and say whether the stream ended; stop soon after `most`."""
    inflater, length = zlib.decompressobj(), 0
    try:
        for body in bodies:
            rest: bytes | memoryview = body
            while rest and not inflater.eof and length <= most:
                length += len(inflater.decompress(rest, _PIECE))
                rest = inflater.unconsumed_tail
    except zlib.error as error:
        raise RefusedError("corrupt", f"the PNG's pixels cannot be inflated: {error}") from None
    return length, inflater.eof
