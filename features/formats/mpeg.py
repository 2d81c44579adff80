"""MPEG audio (MP3, MP2, MP1) as the chain of frames that it is.

A file of frames has no header of its own. How long it is stands in a tag that many encoders put into a first
frame without sound (Xing or Info, VBRI), or follows from counting. libsndfile guesses instead, from the sizes
of the file and of the first frame, and stops there: of a sound whose bit rate varies it may lose the rest.

The layout of frames is that of ISO/IEC 11172-3 and 13818-3, with the lower rates known as MPEG 2.5.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from features.quarantine import RefusedError

#: Bytes before the first frame that are searched for it.
JUNK = 1 << 16

_SYNC = re.compile(rb"\xff[\xe2-\xff]")
_RATES = (44_100, 48_000, 32_000)
#: kbit/s by index 1 to 14, for (lower rates, layer).
_KBPS = {
    (False, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (False, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (False, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (True, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (True, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (True, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
#: Bytes that no frame exceeds.
_LARGEST = 2_048
#: An empty ID3 tag: libsndfile looks for a resource fork on disk before it takes bare frames for MPEG.
_PREFIX = b"ID3\3\0\0\0\0\0\x0a" + bytes(10)


@dataclass(frozen=True)
class Frame:
    """One frame's header.

    Attributes:
        start: its place, in bytes.
        version: bits of the version: 3 for MPEG 1, 2 for MPEG 2, 0 for MPEG 2.5.
        layer: 1 to 3.
        rate: Hz.
        mono: whether it has one channel.
        size: in bytes; 0 in the free format, which does not say.
    """

    start: int
    version: int
    layer: int
    rate: int
    mono: bool
    size: int

    @property
    def end(self) -> int:
        """Place of the next frame."""
        return self.start + self.size

    @property
    def samples(self) -> int:
        """Samples of each channel."""
        if self.layer == 1:
            return 384
        return 576 if self.layer == 3 and self.version != 3 else 1152

    def continues(self, other: "Frame") -> bool:
        """Return whether both frames can belong to one stream."""
        return (self.version, self.layer, self.rate) == (other.version, other.layer, other.rate)


@dataclass(frozen=True)
class Stream:
    """Frames as libsndfile reads them to their end.

    Attributes:
        content: the frames alone.
        length: bytes to claim for the content, so that a guess from them is not too low.
        counted: whether a tag says how long the sound is, and libsndfile goes by it.
        samples: of each channel in a frame.
    """

    content: bytes
    length: int
    counted: bool
    samples: int


def stream(data: bytes) -> Stream:
    """Cut the frames out of a file's content.

    What stands before the first and behind the last is left out, as other tags and a frame cut off are.

    Raises:
        RefusedError: ``corrupt`` if there is no frame, ``too_short`` where there is only one,
            ``truncated`` where a tag counts at least two more than there are.
    """
    first = find(data)
    if first is None:
        raise RefusedError("corrupt", "no MPEG audio frame")
    if not first.size:
        return _plain(data[first.start :], first, 0, _Tag.read(data, first) is not None)
    tag = _Tag.read(data, first)
    count, end = _walk(data, first)
    frames = count - (tag is not None)
    declared = tag.frames if tag else None
    if declared is not None and frames + 1 < declared:
        raise RefusedError("truncated", f"{declared:,} frames declared, {max(frames, 0):,} there")
    if frames < 2:
        raise RefusedError("too_short", f"{max(frames, 0)} whole frames of MPEG audio; a decoder needs 2")
    if tag is None or declared is None or tag.kind == b"VBRI":
        return _plain(data[first.end if tag else first.start : end], first, frames, False)
    content = tag.corrected(data[first.start : end], first, max(frames, declared))
    return _plain(content, first, 0, frames <= declared)


def _plain(content: bytes, first: Frame, frames: int, counted: bool) -> Stream:
    content = _PREFIX + content
    return Stream(content, max(len(content), (frames + 2) * _LARGEST), counted, first.samples)


def after_tags(data: bytes) -> int:
    """Return where the ID3v2 tags at the beginning end, at most the length of the data."""
    place = 0
    while data.startswith(b"ID3", place) and place + 10 <= len(data):
        size = 0
        for byte in data[place + 6 : place + 10]:
            size = size << 7 | byte & 0x7F
        footer = 10 if data[place + 5] & 0x10 else 0
        place += 10 + size + footer
    return min(place, len(data))


def find(data: bytes) -> Frame | None:
    """Return the first frame, behind ID3v2 tags and at most `JUNK` other bytes; None if there is none.

    Where a frame is expected its header is enough (of layers 1 and 2, which begin as a text in UTF-16 may,
    another must follow); elsewhere three must follow each other, or fill the data.
    """
    start = after_tags(data)
    if start == len(data):
        start = min(10, len(data))  # A tag that claims to be longer than the file.
    for match in _SYNC.finditer(data, start, start + JUNK):
        frame = frame_at(data, match.start())
        if frame is None:
            continue
        expected = frame.start == start
        if (expected and frame.layer == 3) or _follow(data, frame, 2 if expected else 3):
            return frame
    return None


def frame_at(data: bytes, place: int) -> Frame | None:
    """Read a frame's header; None if there is none."""
    header = data[place : place + 4]
    if len(header) < 4 or header[0] != 0xFF or header[1] < 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    bits, rate, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version == 1 or layer == 4 or bits == 15 or rate == 3:
        return None
    hertz = _RATES[rate] >> {3: 0, 2: 1, 0: 2}[version]
    size = 0
    if bits:
        kbps = _KBPS[version != 3, layer][bits - 1]
        size = _size(version, layer, hertz, kbps, padding)
    return Frame(place, version, layer, hertz, header[3] >> 6 == 3, size)


def _size(version: int, layer: int, rate: int, kbps: int, padding: int) -> int:
    if layer == 1:
        return (12_000 * kbps // rate + padding) * 4
    return (72_000 if layer == 3 and version != 3 else 144_000) * kbps // rate + padding


def _follow(data: bytes, frame: Frame, count: int) -> bool:
    """Return whether this many consecutive frames start here, or frames fill the data."""
    for _ in range(count - 1):
        if not frame.size:
            return False
        following = frame_at(data, frame.end)
        if following is None or not following.continues(frame):
            return frame.end == len(data)
        frame = following
    return True


def _walk(data: bytes, first: Frame) -> tuple[int, int]:
    """Count the whole frames of a stream; return also where the last one ends."""
    count, end = 0, first.start
    for frame in _frames(data, first):
        count, end = count + 1, frame.end
    return count, end


def _frames(data: bytes, first: Frame) -> Iterator[Frame]:
    frame: Frame | None = first
    while frame is not None and frame.end <= len(data):
        yield frame
        following = frame_at(data, frame.end)
        if following is None or not following.size or not following.continues(first):
            following = _resume(data, frame.end, first)
        frame = following


def _resume(data: bytes, place: int, first: Frame) -> Frame | None:
    """Find where a stream continues behind damage, or tags, in its middle."""
    for match in _SYNC.finditer(data, place):
        frame = frame_at(data, match.start())
        if frame and frame.size and frame.continues(first) and _follow(data, frame, 3):
            return frame
    return None


def _side(frame: Frame) -> int:
    """Return the bytes between a frame's header and its tag: what a decoder's side information would take."""
    if frame.version == 3:
        return 17 if frame.mono else 32
    return 9 if frame.mono else 17


@dataclass(frozen=True)
class _Tag:
    """What a first frame says of the others."""

    kind: bytes
    place: int
    flags: int
    frames: int | None

    @classmethod
    def read(cls, data: bytes, first: Frame) -> "_Tag | None":
        end = min(first.end, len(data)) if first.size else len(data)
        side = first.start + 4 + _side(first)
        for place in (side, side + 2):  # A checksum stands before it.
            kind = data[place : place + 4]
            if kind in (b"Xing", b"Info") and place + 12 <= end:
                flags = int.from_bytes(data[place + 4 : place + 8], "big")
                frames = int.from_bytes(data[place + 8 : place + 12], "big") if flags & 1 else None
                return cls(kind, place, flags, frames)
        place = first.start + 36
        if data[place : place + 4] == b"VBRI" and place + 18 <= end:
            return cls(b"VBRI", place, 1, int.from_bytes(data[place + 14 : place + 18], "big"))
        return None

    def corrected(self, stream: bytes, first: Frame, frames: int) -> bytes:
        """Return the stream with a tag that counts its frames and bytes as they are."""
        numbers = frames.to_bytes(4, "big")
        if self.flags & 2:
            numbers += len(stream).to_bytes(4, "big")
        place = self.place - first.start + 8
        return stream[:place] + numbers + stream[place + len(numbers) :]
