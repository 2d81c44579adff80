"""The signatures of a network over rows: whole rows as CSV, or one named input per column."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from features.spec import RawKind

if TYPE_CHECKING:
    from models.network import Network

Decode = Callable[[Any], dict[str, Any]]


def of_rows(network: "Network", raw: RawKind, decode: Decode) -> Any:
    """Make ``serving_default``: rows [batch], a line of CSV each, to decoded outputs.

    Beside these: ``missing`` and ``unknown`` string [batch], names of the row's columns without a value, and
    of those with a value that the training split has not, with commas between.
    """

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=raw.input)], autograph=False)
    def serving_default(rows: Any) -> dict[str, Any]:
        return _answered(network, network.featurizer.cut(rows), decode)

    return serving_default


def from_columns(network: "Network", raw: RawKind, decode: Decode) -> Any:
    """Make the signature of one input [batch] per column to the outputs of `of_rows`.

    Numeric columns are float32, NaN where the value is missing; the others are strings, "" likewise.
    """
    featurizer = network.featurizer
    kinds = [tf.float32 if column["kind"] == "numeric" else tf.string for column in featurizer.columns]
    specs = [
        tf.TensorSpec([None], kind, name=name) for name, kind in zip(featurizer.inputs, kinds, strict=True)
    ]

    @tf.function(input_signature=[specs], autograph=False)
    def from_columns(columns: Any) -> dict[str, Any]:
        return _answered(network, columns, decode)

    return from_columns


def from_cells(network: "Network", raw: RawKind, decode: Decode) -> Any:
    """Make the signature of one string input [batch] per column, a table's cell, to the outputs of `of_rows`.

    Numbers are read as those of the training table were: a table is asked row by row through this.
    """
    featurizer = network.featurizer
    specs = [tf.TensorSpec([None], tf.string, name=name) for name in featurizer.inputs]

    @tf.function(input_signature=[specs], autograph=False)
    def from_cells(cells: Any) -> dict[str, Any]:
        return _answered(network, featurizer.parse(cells), decode)

    return from_cells


def _answered(network: "Network", columns: Any, decode: Decode) -> dict[str, Any]:
    logits = network.model(network.featurizer.features(columns), training=False)
    return decode(logits) | network.featurizer.noted(columns)
