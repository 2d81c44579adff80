"""Which files of a source are meant as examples of a raw kind: by their ending or else their content."""

import os
import stat
from dataclasses import dataclass

from features.formats.content_type import sniff
from features.names import suffix_of
from features.spec import RawKind

#: How a user says that links are meant.
FOLLOW = "follow symbolic links with --set data.follow_symlinks=true (those of an archive: unpack it first)"

#: Bytes that tell what a file is.
_HEAD = 4096
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class Selection:
    """What is taken out of a source.

    Attributes:
        raw: the raw kind of its examples.
        follow_symlinks: whether symbolic links stand for what they lead to.
    """

    raw: RawKind
    follow_symlinks: bool = False

    def names(self, name: bytes) -> bool:
        """Return whether a file's name alone says that it is meant: its ending, or that it has none."""
        suffix = suffix_of(name)
        return not suffix or suffix in self.raw.suffixes

    def shows(self, path: bytes) -> bool:
        """Return whether a file's content is of the raw kind, decodable or not; reads its first bytes."""
        return bool(self.raw.contents) and sniff(_head(path)) in self.raw.contents

    def takes(self, path: bytes) -> bool:
        """Return whether a file is an example; what has another ending is opened, once."""
        return self.names(path) or self.shows(path)

    def resembles(self, path: bytes) -> bool:
        """Return whether a file looks like an example, whether or not it is taken for one."""
        suffix = suffix_of(path)
        return suffix in self.raw.suffixes or suffix in self.raw.lookalikes or self.shows(path)


def _head(path: bytes) -> bytes:
    """Read a regular file's first bytes; none of what cannot be read, and never wait for a FIFO."""
    try:
        handle = os.open(path, _OPEN)
    except OSError:
        return b""
    try:
        return os.read(handle, _HEAD) if stat.S_ISREG(os.fstat(handle).st_mode) else b""
    except OSError:
        return b""
    finally:
        os.close(handle)
