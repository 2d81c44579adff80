"""Cross-validation: one dataset seen as many, each with another fold as its test split."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from features.datasets.dataset import Dataset
from features.datasets.splits import position
from features.errors import DataError


def values(dataset: Dataset) -> list[str]:
    """Return the folds of a dataset, numbers in the order of numbers.

    Raises:
        DataError: an example has no fold, or there is one fold alone.
    """
    folds = dataset.frame["fold"]
    lacking = folds.isna() | (folds == "")
    if lacking.any():
        first = dataset.frame.loc[lacking, "name"].iloc[0]
        raise DataError(
            "examples without a fold cannot be cross-validated",
            got=f"{int(lacking.sum())} of {len(folds)}, the first is {first}",
            expected="a value in the fold column of every row",
            todo="fill the column, or leave --fold-column out",
        )
    distinct = sorted(set(folds), key=lambda fold: (0, int(fold), "") if fold.isdecimal() else (1, 0, fold))
    if len(distinct) < 2:
        raise DataError(
            "too few folds to cross-validate",
            got=f"only fold {distinct[0]}",
            expected="two or more folds",
        )
    return distinct


def fingerprint(whole: str, fold: Mapping[str, Any]) -> str:
    """Name a view of a dataset: 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps([whole, dict(fold)], sort_keys=True).encode()).hexdigest()[:16]


def view(dataset: Dataset, fold: Mapping[str, Any]) -> Dataset:
    """See a dataset with other splits; what the data say of splits does not count.

    Args:
        dataset: the whole.
        fold: ``value``, the fold that is the test split, or None for a view without one, in which a model is
            trained on everything; ``validation``, the share of the rest that is held out to watch the
            training, chosen by content; ``seed`` of that choice.

    Raises:
        DataError: a class has no training example.
    """
    frame = dataset.frame.copy()
    # Copies follow the first of them: what is trained on is never tested.
    places = frame.groupby("sha256")["fold"].transform("first")
    positions = frame["sha256"].map(lambda content: position(content, fold["seed"]))
    held_out = positions < fold["validation"]
    split = np.where(held_out, "validation", "train").astype(object)
    # A class is never held out as a whole.
    rest = pd.Series(np.where(places == fold["value"], "test", split), index=frame.index)
    trained = set(frame.loc[rest == "train", "label"])
    rest[(rest == "validation") & ~frame["label"].isin(trained)] = "train"
    frame["split"] = rest
    lacking = sorted(set(dataset.labels) - set(frame.loc[rest == "train", "label"]))
    if lacking:
        raise DataError(
            f"fold {fold['value']} holds all examples of a class",
            got=", ".join(lacking[:5]),
            expected="every class in at least two folds",
            todo="spread the classes over the folds, or leave the class out with data.drop",
        )
    return replace(dataset, frame=frame, fingerprint=fingerprint(dataset.fingerprint, fold))
