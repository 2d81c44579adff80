"""Read the names of an archive's members: as the archive declares them, else as they decode.

A zip declares UTF-8 by a flag, or repeats a name in the Unicode Path field (APPNOTE.TXT 4.6.9). Many programs
do neither: the Finder and Info-ZIP store UTF-8 without saying so, others the code page of the machine.
"""

import struct
import zipfile
import zlib
from collections import Counter

from features.decisions import Decisions
from features.errors import DataError
from features.names import escape

AUTO = "auto"

_UTF8_FLAG = 0x800
_UNICODE_PATH = 0x7075


class NameReader:
    """The names of one archive, and how they were read.

    Args:
        encoding: of names for which the archive declares none; ``auto`` reads UTF-8 where it decodes, else
            the zip format's own cp437.
    """

    def __init__(self, encoding: str = AUTO) -> None:
        self._encoding = encoding
        self.counts: Counter[str] = Counter()

    def zip_name(self, info: zipfile.ZipInfo) -> str:
        """Return a zip member's name, with ``/`` between its parts.

        Raises:
            DataError: the name does not have the encoding that was given.
        """
        name, encoding = self._decoded(info)
        if not name.isascii():
            self.counts[encoding] += 1
        # DOS and Windows programs write their own separator. In a name of unknown encoding that has slashes,
        # a backslash is more likely the second byte of an East Asian character.
        doubtful = encoding == "cp437" and not name.isascii() and "/" in name
        return name.replace("\\", "/") if info.create_system == 0 and not doubtful else name

    def _decoded(self, info: zipfile.ZipInfo) -> tuple[str, str]:
        if info.flag_bits & _UTF8_FLAG:
            return info.filename, "declared"
        raw = info.orig_filename.encode("cp437").partition(b"\0")[0]
        if (declared := _unicode_path(info.extra, raw)) is not None:
            return declared, "declared"
        if self._encoding != AUTO:
            return self._decode(raw), self._encoding
        try:
            return raw.decode("utf-8"), "UTF-8"
        except UnicodeDecodeError:
            return raw.decode("cp437"), "cp437"

    def _decode(self, raw: bytes) -> str:
        try:
            return raw.decode(self._encoding)
        except UnicodeDecodeError as error:
            raise DataError(
                "a name in the archive does not have the encoding of data.archive_names",
                got=f"{escape(raw[:200])}: {error.reason} at byte {error.start}",
                expected=self._encoding,
                todo="name another encoding, or auto",
            ) from None

    def tar_name(self, name: str) -> str:
        """Return a tar member's name as it is; count those that did not decode."""
        if not name.isascii():
            self.counts["undecodable" if any("\udc80" <= c <= "\udcff" for c in name) else "declared"] += 1
        return name

    @property
    def tar_encoding(self) -> str:
        """The encoding of a tar's names."""
        return "utf-8" if self._encoding == AUTO else self._encoding

    def decide(self, archive: str, decisions: Decisions) -> None:
        """Record how the names were read, where the archive left it open."""
        option = (
            "if names look wrong, name their encoding: --set data.archive_names=cp932 (or gbk, cp1252, ...)"
        )
        guesses = {encoding: count for encoding, count in self.counts.items() if encoding != "declared"}
        if not guesses:
            return
        summary = ", ".join(f"{count} as {encoding}" for encoding, count in guesses.items())
        doubtful = "cp437" in guesses or "undecodable" in guesses
        reason = f"the archive does not declare their encoding; {option}" if doubtful else "not declared"
        decisions.add("archive", archive, f"names beyond ASCII read: {summary}", reason, warning=doubtful)


def _unicode_path(extra: bytes, raw: bytes) -> str | None:
    """Return the name in the Unicode Path field, or None if there is none or it belongs to another name."""
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == _UNICODE_PATH and len(field) > 5 and field[0] == 1:
            (checksum,) = struct.unpack_from("<I", field, 1)
            return field[5:].decode("utf-8") if checksum == zlib.crc32(raw) else None
    return None
