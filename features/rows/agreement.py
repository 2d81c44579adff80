"""Compare the cells that Python's csv module reads with the featurizer's columns."""

import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from features.rows import check
from features.sources.tables import cells

#: Largest relative difference of two numbers that counts as agreement.
_SHARE = 1e-6


def difference(own: bytes, kept: bytes, rules: Mapping[str, Any]) -> str | None:
    """Compare the cells that Python's csv module cuts with the featurizer's columns."""
    import tensorflow as tf

    columns, missing = rules["columns"], tuple(rules["missing"])
    written = tuple((name, kind, rules.get("numbers", {}).get(name)) for name, kind in columns.items())
    cut = _row_featurizer(written, missing).cut(tf.constant([kept]))
    written_cells = cells.cells(kept.decode("utf-8"))
    for (name, kind, number), cell, column in zip(written, written_cells, cut, strict=True):
        decoded, expected = column.numpy()[0], check.reader(kind, missing, number).read(cell)
        if kind == "numeric":
            reference = np.float32(math.nan if expected is None else expected)
            same = np.isclose(decoded, reference, rtol=_SHARE, equal_nan=True)
        else:
            same = decoded.decode("utf-8", "replace").strip() == cell.strip()
        if not same:
            return f"column {name!r} is {decoded!r} in the served graph, {cell!r} at ingest"
    return None


@functools.lru_cache(maxsize=1)
def _row_featurizer(columns: tuple[tuple[str, str, str | None], ...], missing: tuple[str, ...]) -> Any:
    from features.rows.featurizer import RowFeaturizer

    neutral = {"mean": 0.0, "deviation": 1.0, "gaps": False, "vocabulary": ["-"]}
    described = [
        {"name": name, "kind": kind, "written": written, **neutral} for name, kind, written in columns
    ]
    return RowFeaturizer(described, missing)
