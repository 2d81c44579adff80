"""Permutation importance against its closed form."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn import metrics as sk

from features.rows.featurizer import RowFeaturizer
from models.explain import importance

ROWS = 1000


def test_a_linear_networks_columns_matter_as_their_share_of_the_variance() -> None:
    # Shuffling a column adds its part twice to the squared error (Fisher, Rudin and Dominici 2019): R2 falls
    # by 2 w^2 / (w1^2 + w2^2) for independent columns of deviation 1.
    values = np.random.default_rng(0).normal(size=(ROWS, 3))
    values = (values - values.mean(0)) / values.std(0)
    column = {"kind": "numeric", "mean": 0.0, "deviation": 1.0, "gaps": False, "missing": 0.0}
    featurizer = RowFeaturizer([column | {"name": name} for name in "abc"])
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
    model.layers[-1].set_weights([np.array([[1.0], [3.0], [0.0]], np.float32)])
    rows = [",".join(f"{value:.6f}" for value in row).encode() for row in values]
    targets = values @ np.array([[1.0], [3.0], [0.0]])
    network = SimpleNamespace(featurizer=featurizer, model=model)
    table = importance.permutation(network, rows, targets, tf.identity, sk.r2_score, repeats=5)
    assert list(table["column"]) == ["b", "a", "c"]
    assert table["importance"].to_numpy() == pytest.approx([1.8, 0.2, 0.0], abs=0.1)
    assert table["deviation"].iloc[-1] == 0
    assert 0 < table["deviation"].iloc[0] < 0.1


@pytest.mark.parametrize(
    ("rows", "columns", "expected"),
    [(50, 3, 50), (9000, 3, 2000), (9000, 100, 200), (9000, 2000, 0), (5, 400, 5)],
)
def test_wide_tables_are_measured_on_fewer_rows_or_not_at_all(rows: int, columns: int, expected: int) -> None:
    assert importance.fitting(rows, columns) == expected
