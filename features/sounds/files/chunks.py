"""Sound files made of chunks (WAV, RF64, W64, AIFF, CAF): where the samples are, and how many.

libsndfile mends wrong sizes in silence, or reads nothing. Here they are judged: a plain size beyond the end
of the file is a file cut off, while a size that stands for "unknown", as a program writes it that cannot go
back in a pipe, means all there is. `whole` then writes the file again, with the sizes as they are.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from features.quarantine import RefusedError


@dataclass(frozen=True)
class Layout:
    """How chunks follow each other.

    Attributes:
        first: place of the first chunk.
        size: struct format of a chunk's size.
        samples: name of the chunk with the samples.
        kept: names of the chunks that a decoder needs beside it, in the order in which they are written.
        name: bytes of a chunk's name; the first 4 are its code.
        align: a chunk begins at a multiple of so many bytes.
        inclusive: whether a size counts the chunk's own header.
        before: bytes of the samples' chunk before the samples.
    """

    first: int
    size: str
    samples: bytes
    kept: tuple[bytes, ...]
    name: int = 4
    align: int = 2
    inclusive: bool = False
    before: int = 0

    @property
    def header(self) -> int:
        """Bytes of a chunk's header."""
        return self.name + struct.calcsize(self.size)

    def size_at(self, data: bytes, place: int) -> int:
        """Read the size of the body of the chunk that begins here; negative where the size makes no sense."""
        (size,) = struct.unpack_from(self.size, data, place + self.name)
        return int(size) - self.header if self.inclusive else int(size)


_WAVE = (b"fmt ", b"fact")
_RIFF = Layout(12, "<I", b"data", _WAVE)
LAYOUTS = {
    b"RIFF": _RIFF,
    b"RF64": _RIFF,
    b"BW64": _RIFF,
    b"RIFX": Layout(12, ">I", b"data", _WAVE),
    b"riff": Layout(40, "<Q", b"data", _WAVE, name=16, align=8, inclusive=True),
    b"FORM": Layout(12, ">I", b"SSND", (b"FVER", b"COMM"), before=8),
    b"caff": Layout(8, ">Q", b"data", (b"desc", b"kuki", b"pakt"), align=1, before=4),
}


@dataclass
class Chunks:
    """The chunks that a decoder needs.

    Attributes:
        magic: the first 4 bytes of the file.
        bodies: of the chunks beside the samples, by name.
        samples: body of the chunk with the samples.
        streamed: whether the header does not say how long it is.
    """

    magic: bytes
    bodies: dict[bytes, bytes] = field(default_factory=dict)
    samples: bytes = b""
    streamed: bool = False

    def whole(self) -> bytes:
        """Write a file of these chunks alone, with sizes that are right; W64 and RF64 become WAV."""
        order = ">" if self.magic in (b"RIFX", b"FORM", b"caff") else "<"
        size = order + ("Q" if self.magic == b"caff" else "I")
        layout = LAYOUTS[self.magic]
        pairs = [(name, self.bodies[name]) for name in layout.kept if name in self.bodies]
        body = b"".join(
            name + struct.pack(size, len(part)) + part + bytes(-len(part) % min(layout.align, 2))
            for name, part in [*pairs, (layout.samples, self.samples)]
        )
        if self.magic == b"caff":
            return b"caff\0\1\0\0" + body
        kind = b"WAVE" if layout.samples == b"data" else _form(self.bodies)
        magic = self.magic if order == ">" else b"RIFF"
        return magic + struct.pack(size, len(body) + 4) + kind + body


def _form(bodies: dict[bytes, bytes]) -> bytes:
    """Name the kind of AIFF: its common chunk is longer where samples can be compressed."""
    return b"AIFC" if len(bodies.get(b"COMM", b"")) >= 22 else b"AIFF"


def read(data: bytes) -> Chunks:
    """Read the chunks of a file whose first bytes are one of LAYOUTS.

    Raises:
        RefusedError: ``truncated`` where a plain size goes beyond the end of the file; ``empty_audio``.
    """
    layout = LAYOUTS[data[:4]]
    chunks = Chunks(data[:4])
    complete = False
    for name, body, size in _walk(data, layout):
        there = len(data) - body
        if name == layout.samples and not complete:
            if _unknown(size, there, data, body, layout):
                size, chunks.streamed = there, True
            if size > there:
                raise RefusedError("truncated", f"{size:,} bytes of samples declared, {there:,} there")
            chunks.samples, complete = data[body : body + size], True
        elif size <= there and name in layout.kept:
            chunks.bodies.setdefault(name, data[body : body + size])
        elif size > there and not complete:
            raise RefusedError("truncated", "the file ends inside its header")
        if chunks.streamed:
            break
    if len(chunks.samples) <= layout.before:
        raise RefusedError("empty_audio", "0 bytes of samples" if complete else "no block of samples")
    return chunks


def _walk(data: bytes, layout: Layout) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, place of the body and declared size of one chunk after the other."""
    place, long = layout.first, None
    while place + layout.header <= len(data):
        name, body = data[place : place + 4], place + layout.header
        size = layout.size_at(data, place)
        if name == b"ds64" and body + 16 <= len(data):
            long = struct.unpack_from("<Q", data, body + 8)[0]
        if name == layout.samples and size == 0xFFFFFFFF:
            size = long or size
        yield name, body, size
        place = _next(data, body + max(size, 0), layout)


def _next(data: bytes, end: int, layout: Layout) -> int:
    """Return where the chunk behind one that ends here begins: some writers forget to fill up an odd one."""
    place = end + -end % layout.align
    if place > end and not _is_name(data[place : place + 4]) and _is_name(data[end : end + 4]):
        return end
    return place


def _is_name(code: bytes) -> bool:
    return len(code) == 4 and all(0x20 <= byte < 0x7F for byte in code)


def _unknown(size: int, there: int, data: bytes, body: int, layout: Layout) -> bool:
    """Return whether the size of the data chunk means "unknown".

    What programs write into a pipe: 0 (hound, GStreamer), -1 (ffmpeg), the largest signed number or a little
    less, so that the file's own size still fits (SoX, eSpeak), 2 GiB (arecord), and 0x7F000000 with its
    header (SoX, AIFF).
    """
    if size <= layout.before:
        return there > max(layout.before, 1) and not _are_chunks(data, body + max(size, 0), layout)
    if size <= there:
        return False
    bits = 8 * struct.calcsize(layout.size)
    most = 1 << bits
    if size + layout.header * layout.inclusive == most - 1 or (1 << 31) - 4096 <= size <= 1 << 31:
        return True
    if 0x7F000000 <= size < 0x7F000000 + 4096 or size >= (1 << 63) - 4096:
        return True
    total = struct.unpack_from(layout.size, data, 4)[0] if layout.name == 4 else 0
    return most - 4096 <= size < most == total + 1


def _are_chunks(data: bytes, place: int, layout: Layout) -> bool:
    """Return whether chunks fill the data from here to the end."""
    while place + layout.header <= len(data):
        size = layout.size_at(data, place)
        if not _is_name(data[place : place + 4]) or not 0 <= size <= len(data) - place:
            return False
        place = _next(data, place + layout.header + size, layout)
    return place >= len(data)
