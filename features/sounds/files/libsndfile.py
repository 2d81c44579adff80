"""The one place that decodes with libsndfile: from the first sample to the last, without a step back.

Importing it loads the library. soundfile's own `read` and `blocks` seek after every block, which some codecs
cannot, and hand out a whole block whatever was read into it: what stood in memory before becomes sound.
"""

import io
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import soundfile

#: Errors of libsndfile that mean "a format I read, in an encoding I do not": SF_ERR_UNSUPPORTED_ENCODING and
#: SFE_UNIMPLEMENTED of its sources.
_UNSUPPORTED = frozenset({4, 18})
#: From here on a length stands for "unknown", as of a FLAC stream that was written to a pipe.
_ENDLESS = 1 << 62
#: Bytes of an ID3v1 tag.
_TAG = 128


class DecodingError(Exception):
    """libsndfile refuses the content.

    Args:
        message: its words.
        unsupported: whether they say that it does not know the encoding.
    """

    def __init__(self, message: str, unsupported: bool) -> None:
        super().__init__(message)
        self.unsupported = unsupported

    @classmethod
    def of(cls, error: Exception) -> "DecodingError":
        """Put one of soundfile's errors into words without the name of its file object."""
        words = getattr(error, "error_string", None) or str(error)
        return cls(words.rstrip("."), getattr(error, "code", None) in _UNSUPPORTED)


class _Content(io.BytesIO):
    """A file in memory that may claim to be longer than it is.

    Its end comes where the content ends; only where a decoder looks for a tag in the last bytes of the length
    that is claimed, there are zeros.
    """

    def __init__(self, content: bytes, length: int) -> None:
        super().__init__(content)
        self._end, self._length = len(content), length

    @property
    def exhausted(self) -> bool:
        return self.tell() >= self._end

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self._length}[whence]
        return super().seek(max(0, start + offset))

    def readinto(self, buffer: Any) -> int:
        if max(self._end, self._length - _TAG) <= self.tell() < self._length:
            count = min(len(buffer), self._length - self.tell())
            buffer[:count] = bytes(count)
            self.seek(count, os.SEEK_CUR)
            return count
        return super().readinto(buffer)


class _Sequential(soundfile.SoundFile):
    """A sound file that is never sought in."""

    def seekable(self) -> bool:
        return False


class Reader:
    """A sound as libsndfile decodes it.

    Args:
        content: of the file.
        length: bytes that the content claims to have; None for as many as it has.

    Attributes:
        rate: Hz.
        channels: their number.
        frames: samples of each channel that are expected; None if the content does not say.

    Raises:
        DecodingError: libsndfile refuses the content; by `blocks` also.
    """

    def __init__(self, content: bytes, length: int | None = None) -> None:
        self._source = _Content(content, length or len(content))
        try:
            self._file = _Sequential(self._source)
        except (soundfile.SoundFileError, RuntimeError) as error:
            raise DecodingError.of(error) from None
        self.rate, self.channels = self._file.samplerate, self._file.channels
        self.frames = self._file.frames if self._file.frames < _ENDLESS else None

    @property
    def exhausted(self) -> bool:
        """Whether the content has been read to its end."""
        return self._source.exhausted

    def blocks(self, size: int) -> Iterator[np.ndarray]:
        """Yield float32 [frames, channels], at most so many frames; each block is overwritten by the next."""
        block = np.zeros((size, self.channels), np.float32)
        with self._file:
            while count := self._fill(block):
                yield block[:count]

    def _fill(self, block: np.ndarray) -> int:
        try:
            return self._file.buffer_read_into(block, dtype="float32")
        except (soundfile.SoundFileError, RuntimeError) as error:
            raise DecodingError.of(error) from None
