"""Read an image's size and variant from its header, before anything is decoded.

The formats are those of the served model's decoders (TensorFlow's JPEG, PNG, BMP, GIF and WebP
kernels). A variant these kernels refuse, or would read wrongly, is told apart here, so that whatever
ingest accepts can be trained on and served.
"""

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from features.images.files import bmp
from features.images.files.forms import color_table, is_plain
from features.images.files.png import Structure, read_structure
from features.quarantine import RefusedError


@dataclass(frozen=True)
class Header:
    """Width and height in pixels as stored (before EXIF orientation), and the frames of an animation.

    ``pixels`` counts those of all frames where a decoder holds them together, ``colors`` the entries
    of the first frame's colour table where the pixels are indices into one; ``png`` is a PNG's structure.
    ``variant`` says what of the format decides how it is decoded, ``odd`` whether decoders may differ about
    it. ``box`` is where the first frame lies (left, top,
    right, bottom); None if it is the picture.
    """

    format: str
    width: int
    height: int
    frames: int = 1
    pixels: int = 0
    colors: int | None = None
    png: Structure | None = None
    variant: str = ""
    odd: bool = False
    box: tuple[int, int, int, int] | None = None

    @property
    def decoded_pixels(self) -> int:
        """Pixels a decoder holds: those of the picture, or of all frames where they are decoded together."""
        return max(self.width * self.height, self.pixels)


def read_header(kind: str, data: bytes) -> Header:
    """Read the header of an image whose type `content_type.sniff` named.

    Raises:
        RefusedError: ``truncated``, ``corrupt``, or ``unsupported_variant``.
    """
    try:
        header = HEADERS[kind](data)
    except (struct.error, IndexError):
        raise RefusedError("truncated", f"the {kind} ends inside its header ({len(data)} bytes)") from None
    if header.width < 1 or header.height < 1:
        raise RefusedError("corrupt", f"the {kind} header says {header.width} x {header.height} pixels")
    return header


# -- JPEG (ITU T.81, annex B) ---------------------------------------------------------------------

_SOF_KINDS = {
    0xC3: "lossless",
    0xC5: "hierarchical",
    0xC6: "hierarchical",
    0xC7: "hierarchical lossless",
    0xC9: "arithmetic coding",
    0xCA: "progressive arithmetic coding",
    0xCB: "lossless arithmetic coding",
    0xCD: "hierarchical arithmetic coding",
    0xCE: "hierarchical arithmetic coding",
    0xCF: "hierarchical lossless arithmetic coding",
}
_SOF = frozenset(_SOF_KINDS) | {0xC0, 0xC1, 0xC2}


#: In entropy-coded data 0xFF is followed by 0 (a data byte 0xFF), by a fill 0xFF, or begins a marker.
_MARKER = re.compile(rb"\xff[^\x00\xff]", re.DOTALL)
_EOI, _SOS = 0xD9, 0xDA
_RESTARTS = range(0xD0, 0xD8)


def _jpeg(data: bytes) -> Header:
    header, odd = None, False
    for marker, start, clean in _jpeg_segments(data):
        odd |= not clean
        if marker in _SOF and header is None:
            header = _jpeg_frame(marker, data, start)
        elif marker == _SOS and header is None:
            break
    if header is None:
        raise RefusedError("corrupt", "the JPEG has no frame header before its first scan")
    return replace(header, odd=odd)


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, bool]]:
    """Yield the segments up to the end marker; step over the scans.

    Yields:
        The marker, the offset of the segment's length field, and whether the marker stood where the segment
        before it ended. libjpeg, and so every decoder here, skips whatever else stands between them.
    """
    place, marker = 2, 0
    while marker != _EOI:
        match = _MARKER.search(data, place)
        if match is None:
            raise RefusedError("truncated", "the JPEG ends without its end marker")
        clean = not data[place : match.start()].strip(b"\xff")
        marker, place = data[match.end() - 1], match.end()
        if 0x01 < marker < 0xC0:
            raise RefusedError("corrupt", f"unknown JPEG marker 0x{marker:02x} at byte {place - 2}")
        yield marker, place, clean
        if marker != _EOI and marker != 0x01 and marker not in _RESTARTS:
            place += struct.unpack_from(">H", data, place)[0]
        if marker == _SOS:
            place = _end_of_scan(data, place)


def _end_of_scan(data: bytes, place: int) -> int:
    expected = 0
    for match in _MARKER.finditer(data, place):
        marker = data[match.end() - 1]
        if marker not in _RESTARTS:
            return match.start()
        if marker != 0xD0 + expected:
            raise RefusedError(
                "corrupt", f"JPEG restart {marker - 0xD0} at byte {match.start()}, expected {expected}"
            )
        expected = (expected + 1) % 8
    raise RefusedError("truncated", "the JPEG ends inside a scan, without its end marker")


def _jpeg_frame(marker: int, data: bytes, start: int) -> Header:
    _, precision, height, width, components = struct.unpack_from(">HBHHB", data, start)
    if marker in _SOF_KINDS:
        kind = f"JPEG with {_SOF_KINDS[marker]} (marker 0x{marker:02x})"
        raise RefusedError("unsupported_variant", f"{kind}; save it as a baseline JPEG or as PNG")
    if precision != 8:
        raise RefusedError(
            "unsupported_variant",
            f"JPEG with {precision} bits a sample; 8 can be decoded: save it as a baseline JPEG or as PNG",
        )
    if components not in (1, 3, 4):
        raise RefusedError(
            "unsupported_variant", f"JPEG with {components} components; 1, 3 or 4 can be decoded"
        )
    return Header("JPEG", width, height, variant=f"frame 0x{marker:02x}, {components} components")


def _png(data: bytes) -> Header:
    structure = read_structure(data)
    return Header(
        "PNG",
        structure.width,
        structure.height,
        structure.frames,
        png=structure,
        variant=f"colour type {structure.kind}, {structure.depth} bits"
        + ", interlaced" * structure.interlaced,
    )


# -- GIF (89a specification) ----------------------------------------------------------------------


def _gif(data: bytes) -> Header:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    place = 13 + color_table(flags)
    frames = pixels = 0
    colors = color_table(flags)
    while data[place] != 0x3B:
        if data[place] == 0x21:
            place = _skip_blocks(data, place + 2)
        elif data[place] == 0x2C:
            frame_width, frame_height, flags = struct.unpack_from("<HHB", data, place + 5)
            frames, pixels = frames + 1, pixels + frame_width * frame_height
            if frames == 1:
                first, colors = (frame_width, frame_height), color_table(flags) or colors
                left, top = struct.unpack_from("<HH", data, place + 1)
            place = place + 10 + color_table(flags)
            if not 1 <= data[place] <= 8:
                raise RefusedError("corrupt", f"GIF pixels of {data[place]} bits; 1 to 8 can be decoded")
            place = _skip_blocks(data, place + 1)
        else:
            raise RefusedError("corrupt", f"unknown GIF block 0x{data[place]:02x} at byte {place}")
    if not frames:
        raise RefusedError("corrupt", "the GIF contains no image")
    if 0 in first:
        raise RefusedError("corrupt", f"the GIF's first frame has {first[0]} x {first[1]} pixels")
    if not colors:
        raise RefusedError("unsupported_variant", "GIF without a colour table")
    box = (left, top, left + first[0], top + first[1])
    return _framed(Header("GIF", width, height, frames, pixels, colors // 3), box)


def _framed(header: Header, box: tuple[int, int, int, int]) -> Header:
    """Note where the first frame lies."""
    whole = box == (0, 0, header.width, header.height)
    variant = "several frames" if header.frames > 1 else "one frame"
    if whole:
        return replace(header, variant=variant)
    return replace(header, variant=f"{variant}, not the whole picture", odd=True, box=box)


def _skip_blocks(data: bytes, place: int) -> int:
    while data[place]:
        place += data[place] + 1
    return place + 1


# -- BMP ------------------------------------------------------------------------------------------


def _bmp(data: bytes) -> Header:
    structure = bmp.read_structure(data)
    return Header(
        "BMP",
        structure.width,
        structure.height,
        colors=structure.colors,
        variant=structure.variant,
        odd=not is_plain(data),
    )


# -- WebP (RFC 9649) ------------------------------------------------------------------------------


def _webp(data: bytes) -> Header:
    size = struct.unpack_from("<I", data, 4)[0] + 8
    if size > len(data):
        raise RefusedError("truncated", f"the WebP needs {size} bytes, the file has {len(data)}")
    name = data[12:16]
    if name == b"VP8 ":
        if data[23:26] != b"\x9d\x01\x2a":
            raise RefusedError("corrupt", "the WebP's key frame has no start code")
        width, height = struct.unpack_from("<HH", data, 26)
        return Header("WEBP", width & 0x3FFF, height & 0x3FFF, variant="lossy")
    if name == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return Header("WEBP", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, variant="lossless")
    if name == b"VP8X":
        return _webp_extended(data)
    raise RefusedError("corrupt", f"unknown first WebP chunk {name!r}")


def _webp_extended(data: bytes) -> Header:
    width = int.from_bytes(data[24:27], "little") + 1
    height = int.from_bytes(data[27:30], "little") + 1
    if not data[20] & 0x02:
        return Header("WEBP", width, height, variant=f"extended, flags 0x{data[20]:02x}")
    frames = [start for name, start in _webp_chunks(data) if name == b"ANMF"]
    if not frames:
        raise RefusedError("corrupt", "the animated WebP contains no frame")
    # Pillow skips a frame it cannot read and gives the next one.
    if (kind := data[frames[0] + 16 : frames[0] + 20]) not in (b"ALPH", b"VP8 ", b"VP8L"):
        raise RefusedError("corrupt", f"the first frame of the animated WebP begins with {kind!r}")
    left, top = (2 * int.from_bytes(data[frames[0] + at :][:3], "little") for at in (0, 3))
    right, bottom = (1 + int.from_bytes(data[frames[0] + at :][:3], "little") for at in (6, 9))
    return _framed(Header("WEBP", width, height, len(frames)), (left, top, left + right, top + bottom))


def _webp_chunks(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield (name, offset of the payload) of each chunk."""
    place, end = 12, 8 + struct.unpack_from("<I", data, 4)[0]
    while place + 8 <= end:
        name, size = struct.unpack_from("<4sI", data, place)
        yield name, place + 8
        # RIFF chunks begin at even positions.
        place += 8 + size + size % 2


HEADERS: dict[str, Callable[[bytes], Header]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "GIF": _gif,
    "BMP": _bmp,
    "WebP": _webp,
}
