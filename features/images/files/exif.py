r"""The EXIF orientation of an encoded image, by two regular expressions that the graph and ingest share.

Cameras and phones store pixels as the sensor lies and write the turn that makes them upright into tag 274
(CIPA DC-008, TIFF 6.0): in a JPEG's APP1 segment, a PNG's eXIf chunk or a WebP's EXIF chunk. The expressions
are RE2's, where ``\C`` is any byte; they find what cameras write: the block within the first 128 KiB, its
first directory at byte 8, the tag among the first 16 entries. Ingest rewrites the rare image whose
orientation stands elsewhere.
"""

import re

#: Bytes of an image that are searched for an EXIF block, and bytes of a block that are read.
SEARCHED, BLOCK = 1 << 17, 256

_PLACE = r"(?:Exif\x00\x00|eXIf|EXIF\C{4})"
#: Everything before the block.
PREFIX = rf"^\C*?{_PLACE}"
_ENTRIES = r"\C\C(?:\C{12}){0,15}?"
_LITTLE = r"II\*\x00\x08\x00\x00\x00" + _ENTRIES + r"\x12\x01[\x03\x04]\x00\x01\x00\x00\x00([\x01-\x08])\x00"
_BIG = (
    r"MM\x00\*\x00\x00\x00\x08"
    + _ENTRIES
    + r"\x01\x12\x00(?:\x03\x00\x00\x00\x01|\x04\x00\x00\x00\x01\x00\x00)\x00([\x01-\x08])"
)
#: A block, whose groups hold its orientation as a byte, one or both of them empty; and what it is replaced
#: by: the orientation, and a 1 that comes first if there is none.
BLOCK_PATTERN, DIGITS = rf"^(?:(?:Exif\x00\x00)?(?:{_LITTLE}|{_BIG}))?\C*$", b"\\1\\2\1"


def orientation(data: bytes) -> int:
    """Read the orientation of an encoded image, 1 to 8, as the graph reads it; 1 if there is none."""
    head = data[:SEARCHED]
    if not mentions(head):
        return 1
    place = _BEGIN.search(head)
    block = (head[place.end() :] if place else head)[:BLOCK]
    return _BLOCK.sub(DIGITS, block, count=1)[0]


def mentions(data: bytes) -> bool:
    """Return False if an image certainly has no EXIF block."""
    return b"Exif" in data or b"eXIf" in data or b"EXIF" in data


def _bytes_pattern(pattern: str) -> re.Pattern[bytes]:
    return re.compile(pattern.replace(r"\C", r"[\x00-\xff]").replace("$", r"\Z").encode("ascii"))


_BEGIN, _BLOCK = _bytes_pattern(_PLACE), _bytes_pattern(BLOCK_PATTERN)
