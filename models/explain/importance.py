"""Which columns of a row matter: how much worse the answers are where a column is shuffled."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import tensorflow as tf

if TYPE_CHECKING:
    from models.network import Network

#: How often each column is shuffled.
REPEATS = 10
#: Rows that are answered anew for each shuffle, at most, and cells in all: the time grows with both.
MOST_ROWS, MOST_CELLS = 2000, 20_000_000

#: From true and predicted targets to a score, the higher the better.
Score = Callable[[np.ndarray, np.ndarray], float]


@dataclass(frozen=True)
class _Answers:
    """A network as scikit-learn sees it: an "example" has, for each column, the row that its value is of.

    Attributes:
        columns: parsed cells, a tensor [rows] of each column.
        answer: from such columns to predictions.
    """

    columns: Sequence[Any]
    answer: Callable[[list[Any]], Any]

    def fit(self, places: np.ndarray, targets: np.ndarray) -> "_Answers":
        """Return itself: scikit-learn asks for the method, and does not call it."""
        return self

    def predict(self, places: np.ndarray) -> np.ndarray:
        """Answer rows that are put together, column by column, from others."""
        columns = [
            tf.gather(values, rows)
            for values, rows in zip(self.columns, places.T.astype(np.int64), strict=True)
        ]
        return np.asarray(self.answer(columns))


def permutation(
    network: "Network",
    rows: Sequence[bytes],
    targets: np.ndarray,
    decide: Callable[[Any], Any],
    score: Score,
    *,
    repeats: int = REPEATS,
    seed: int = 0,
) -> pd.DataFrame:
    """Measure how much a score falls where the values of one column are shuffled among the rows.

    The permutation importance of Breiman ("Random Forests", 2001), by scikit-learn. Columns that say the
    same stand in for each other, and each looks less important than it is.

    Args:
        network: trained, over rows.
        rows: raw examples that it was not trained on.
        targets: of them, as ``score`` takes them.
        decide: from the network's outputs to predictions, as ``score`` takes them.
        score: the higher the better.
        repeats: shuffles of each column.
        seed: of the shuffles.

    Returns:
        A row for each column, the most important first: ``column``, ``importance`` (mean fall of the score)
        and ``deviation`` (of the falls, over the repeats).
    """
    from sklearn.inspection import permutation_importance

    featurizer = network.featurizer

    @tf.function(reduce_retracing=True, autograph=False)
    def answer(columns: list[Any]) -> Any:
        return decide(network.model(featurizer.features(columns), training=False))

    names = [str(column["name"]) for column in featurizer.columns]
    places = np.repeat(np.arange(len(rows))[:, np.newaxis], len(names), axis=1)
    measured = permutation_importance(
        _Answers(featurizer.cut(tf.constant(list(rows))), answer),
        places,
        targets,
        scoring=lambda answers, examples, true: score(true, answers.predict(examples)),
        n_repeats=repeats,
        random_state=seed,
    )
    table = pd.DataFrame(
        {
            "column": names,
            "importance": measured["importances_mean"],
            "deviation": measured["importances_std"],
        }
    )
    return table.sort_values("importance", ascending=False, kind="stable", ignore_index=True)


def fitting(count: int, columns: int, repeats: int = REPEATS) -> int:
    """Return how many of so many rows can be shuffled in reasonable time; 0 for a table far too wide."""
    within = min(count, MOST_ROWS, MOST_CELLS // (columns**2 * repeats))
    return within if within >= min(count, 20) else 0
