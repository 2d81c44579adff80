"""Rows of a ``.npy`` file, read one by one: neither its content nor a map of it takes memory."""

import functools
import math
import os
from pathlib import Path

import numpy as np

from features.errors import StorageError

#: Files that are kept open; a process may have some 1,000.
_OPEN = 128


class ShardFile:
    """An array in a ``.npy`` file, indexed by arrays of positions along its first axis.

    Args:
        path: of the file, whose array is in C order and holds no objects.

    Attributes:
        shape: of the array.
        dtype: of the array.
        nbytes: of the array.

    Raises:
        StorageError: the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        with open(path, "rb") as file:
            version = np.lib.format.read_magic(file)
            read = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            self.shape, fortran, self.dtype = read(file)
            assert not fortran, "the store writes rows in C order"
            self._begin = file.tell()
        self._row = self.dtype.itemsize * math.prod(self.shape[1:])
        self.nbytes = self._row * self.shape[0]

    def __getitem__(self, positions: np.ndarray) -> np.ndarray:
        rows = np.empty((len(positions), *self.shape[1:]), self.dtype)
        if not rows.size:
            return rows
        flat = rows.reshape(len(positions), -1).view(np.uint8)
        handle = _handle(self._path)
        for place in np.argsort(positions, kind="stable"):  # disks like ascending offsets
            self._read(handle, flat[place], int(positions[place]))
        return rows

    def _read(self, handle: "Handle", row: np.ndarray, position: int) -> None:
        view, offset = row.data, self._begin + position * self._row
        while view:
            count = os.preadv(handle.number, [view], offset)
            if count == 0:
                raise StorageError(f"{self._path} ends too early", todo="repeat: it is then computed again")
            view, offset = view[count:], offset + count


class Handle:
    """An open file, closed when nobody refers to it any more."""

    def __init__(self, path: str) -> None:
        self.number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        os.close(self.number)


@functools.lru_cache(maxsize=_OPEN)
def _handle(path: str) -> Handle:
    return Handle(path)
