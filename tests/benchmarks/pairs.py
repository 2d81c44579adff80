"""Join the splits of sentence pairs into one table, as ``servable train translation`` takes it.

python -m tests.benchmarks.pairs FOLDER pairs.tsv
"""

import sys
from pathlib import Path

import pandas as pd

SPLITS = {"train": "train", "val": "validation", "test": "test"}


def write(folder: Path, path: Path, limit: int | None = None) -> Path:
    """Write the tables of a folder, train.tsv, val.tsv and test.tsv, as one with a column ``split``.

    Args:
        folder: of the tables.
        path: of the table to write.
        limit: rows of each split; None for all.
    """
    # Quotes are characters of the sentences.
    options = {"sep": "\t", "quoting": 3, "keep_default_na": False, "dtype": str}
    parts = [pd.read_csv(folder / f"{name}.tsv", nrows=limit, **options) for name in SPLITS]
    table = pd.concat([part.assign(split=split) for part, split in zip(parts, SPLITS.values(), strict=True)])
    table.to_csv(path, sep="\t", index=False, quoting=3)
    return path


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]))
