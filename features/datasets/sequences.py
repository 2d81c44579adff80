"""Sequences of varying length as rows: padded to the longest of those that are asked for."""

from collections.abc import Sequence
from typing import Any

import numpy as np


class Sequences:
    """Rows of numbers, [rows, the longest of those asked for].

    Args:
        rows: one-dimensional arrays.
        padding: what fills the shorter ones.

    Attributes:
        lengths: of each row.
    """

    def __init__(self, rows: Sequence[np.ndarray], padding: int = 0) -> None:
        self._rows, self.padding = list(rows), padding
        self.lengths = np.array([len(row) for row in rows], np.int64)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, positions: Any) -> np.ndarray:
        """Return one row, or those of an array of positions."""
        if np.ndim(positions) == 0 and not isinstance(positions, slice):
            return self._rows[int(positions)]
        indices = np.arange(len(self))[positions]
        longest = int(np.max(self.lengths[indices], initial=1))
        padded = np.full((len(indices), longest), self.padding, np.int32)
        for place, row in enumerate(indices):
            padded[place, : self.lengths[row]] = self._rows[row]
        return padded
