"""What the training split of a dataset is like, as settings that adapt to it read it."""

from typing import Any

import numpy as np

from features.datasets.snapshot import Snapshot
from features.settings import Survey


def survey(dataset: Snapshot, rules: Any) -> Survey:
    """Survey a training split by its manifest alone; of a corpus, only the number of lines is known."""
    frame = getattr(dataset, "frame", None)
    if frame is None:
        return Survey(dataset.size("train"), rules)
    rows = frame[frame["split"] == "train"].select_dtypes("number")
    return Survey(len(rows), rules, {str(name): np.asarray(rows[name]) for name in rows})
