"""Undo the Content-Encoding of a request's body piece by piece: a small body cannot become a large one."""

import zlib
from collections.abc import Iterator

from serving.errors import InvalidArgument

#: Bytes that one piece has at most.
PIECE = 1 << 20
#: Window bits of zlib by encoding: a gzip header, a zlib header.
_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
#: What programs that call it deflate send without a zlib header.
_RAW = -15


class Inflater:
    """Decompresses a body that comes in parts.

    Args:
        encoding: the Content-Encoding header; nothing or ``identity`` leaves the body as it is.

    Raises:
        InvalidArgument: no such encoding is known.
    """

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding.strip().lower()
        self._stream: zlib._Decompress | None = None
        if self._encoding not in ("", "identity", *_WINDOWS):
            raise InvalidArgument(
                f"Content-Encoding {encoding[:64]!r} is not supported; send gzip, deflate or identity"
            )

    def pieces(self, part: bytes) -> Iterator[bytes]:
        """Decompress the next part of the body, in pieces of at most PIECE bytes.

        Raises:
            InvalidArgument: it is not what the encoding says.
        """
        if self._encoding not in _WINDOWS:
            yield part
            return
        more = bool(part)
        while more:
            stream = self._opened(part)
            try:
                piece = stream.decompress(part, PIECE)
            except zlib.error as error:
                raise InvalidArgument(f"the body is not {self._encoding} data: {error}") from None
            yield piece
            part = stream.unused_data if stream.eof else stream.unconsumed_tail
            # A full piece may leave some behind even where all of the part was taken in.
            more = bool(part) or (len(piece) == PIECE and not stream.eof)

    def _opened(self, part: bytes) -> "zlib._Decompress":
        """Return the current stream; gzip data may be several streams in sequence."""
        if self._stream is None or self._stream.eof:
            bits = _WINDOWS[self._encoding]
            headless = self._encoding == "deflate" and part[0] & 15 != zlib.DEFLATED
            self._stream = zlib.decompressobj(_RAW if headless else bits)
        return self._stream

    def end(self) -> None:
        """Check that nothing is missing at the end of the body.

        Raises:
            InvalidArgument: the data end too early.
        """
        if self._stream is not None and not self._stream.eof:
            raise InvalidArgument(f"the body is not {self._encoding} data: it ends prematurely")
