"""Rows of a table to numbers, in the graph: the same in training, SavedModel and live server.

docs/tabular.md describes how columns are used. What is known of it comes from the training split alone.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from pydantic import Field

from features.rows.columns import MISSING, UNKNOWN, Column, _format
from features.settings import Settings
from features.sources.tables import cells as rows
from features.spec import FeatureSpec


@keras.saving.register_keras_serializable("servable")
class RowFeaturizer(keras.Layer):
    """Rows to feature vectors: numbers to mean 0 and deviation 1, values of categories one-hot.

    A missing number counts as the mean; where the training split has gaps in the column, one more feature
    is 1 for them. A categorical column has a feature for each known value, one for a missing and one for
    any unknown value.

    Args:
        columns: what is known of each, in the order of a row's cells.
        missing: words that stand for a missing value, beside the empty cell.
    """

    #: Increase it whenever the same configuration produces other values: caches then compute them again.
    revision = 2

    def __init__(self, columns: Sequence[Column], missing: Sequence[str] = (), **options: Any) -> None:
        super().__init__(autocast=False, **({"trainable": False, "dtype": "float32"} | options))
        if not columns:
            raise ValueError("RowFeaturizer takes at least one column; got none")
        self.columns, self.missing = tuple(dict(column) for column in columns), tuple(missing)
        self.numeric = tuple(at for at, column in enumerate(columns) if column["kind"] == "numeric")
        self.inputs = rows.identifiers([str(column["name"]) for column in columns])
        self._gaps = [place for place, at in enumerate(self.numeric) if columns[at]["gaps"]]
        self.scaling = self._scaling() if self.numeric else None
        self.lookups = {
            str(at): _lookup(column["vocabulary"])
            for at, column in enumerate(columns)
            if at not in self.numeric
        }
        self._convert_input_args = False
        self.built = True

    def _scaling(self) -> keras.layers.Normalization:
        columns = [self.columns[at] for at in self.numeric]
        mean, deviation = (np.array([column[key] for column in columns]) for key in ("mean", "deviation"))
        # A number that never varies is only moved to 0.
        scaling = keras.layers.Normalization(
            axis=-1, mean=mean, variance=np.where(deviation > 0, deviation, 1.0) ** 2
        )
        scaling.build((None, len(columns)))
        return scaling

    @property
    def names(self) -> tuple[str, ...]:
        """What each feature says, in order."""
        numbers = [str(self.columns[at]["name"]) for at in self.numeric]
        features = numbers + [f"{numbers[place]} is missing" for place in self._gaps]
        for at in self.lookups:
            column = self.columns[int(at)]
            values = (UNKNOWN, MISSING, *column["vocabulary"])
            features += [f"{column['name']} = {value}" for value in values]
        return tuple(features)

    @property
    def spec(self) -> FeatureSpec:
        """A vector [features], float32."""
        return FeatureSpec((len(self.names),), "float32")

    @property
    def resources(self) -> tuple[Any, ...]:
        """What the graph looks things up in; an exported model holds it."""
        return tuple(lookup.lookup_table for lookup in self.lookups.values())

    @property
    def fingerprint(self) -> str:
        """Hash of all that decides the result: 16 hexadecimal digits."""
        decisive = [type(self).__name__, self.revision, self.columns, self.missing]
        return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:16]

    def call(self, examples: Any) -> Any:
        """Turn rows, string [batch], into feature vectors, float32 [batch, features].

        Raises:
            tf.errors.InvalidArgumentError: a row is no CSV, has more or fewer cells than there are columns,
                or something else than a number in a numeric one.
        """
        return self.features(self.cut(examples))

    def cut(self, examples: Any) -> list[Any]:
        """Cut rows, string [batch], into their columns, as `features` takes them.

        Raises:
            tf.errors.InvalidArgumentError: as of `call`.
        """
        return self.parse(self.cells(examples))

    def cells(self, examples: Any) -> list[Any]:
        """Cut rows, string [batch], into their cells, string [batch] of each column.

        Raises:
            tf.errors.InvalidArgumentError: a row is no CSV, or has another number of cells than of columns.
        """
        return list(tf.io.decode_csv(tf.strings.strip(examples), [[""]] * len(self.columns)))

    def parse(self, cells: Sequence[Any]) -> list[Any]:
        """Read the cells of rows, one tensor string [batch] a column, as `features` takes them.

        Raises:
            tf.errors.InvalidArgumentError: something else than a number stands in a numeric column.
        """
        return [
            self._numbers(column, cell) if column["kind"] == "numeric" else cell
            for column, cell in zip(self.columns, cells, strict=True)
        ]

    def _said(self, cells: Any) -> Any:
        """Take off blanks, and empty the cells that stand for a missing value."""
        cells = tf.strings.strip(cells)
        return tf.where(_among(cells, rows.silent(self.missing)), "", cells)

    def _numbers(self, column: Column, cells: Any) -> Any:
        cells = tf.strings.strip(cells)
        written = _format(column)
        gap = _among(tf.strings.lower(cells), rows.gaps(self.missing))
        is_number = tf.strings.regex_full_match(cells, written.pattern)
        plain = tf.where(is_number & ~gap, cells, "0")
        for pattern, replacement in written.replacements:
            plain = tf.strings.regex_replace(plain, pattern, replacement)
        values = tf.strings.to_number(plain, tf.float32)
        return tf.where(gap, float("nan"), _finite(column, values, gap | is_number, cells))

    def features(self, columns: Sequence[Any]) -> Any:
        """Turn columns into feature vectors, float32 [batch, features].

        Args:
            columns: one tensor [batch] each, in the order of a row: float32 of a numeric one, NaN where the
                value is missing; string of a categorical one, "" or a word for it where it is missing.

        Raises:
            tf.errors.InvalidArgumentError: a number is infinite.
        """
        parts = []
        if self.scaling is not None:
            numeric = [self.columns[at] for at in self.numeric]
            pairs = zip(numeric, (columns[at] for at in self.numeric), strict=True)
            numbers = tf.stack([_finite(column, values, True, values) for column, values in pairs], 1)
            gaps = tf.math.is_nan(numbers)
            parts.append(tf.where(gaps, 0.0, self.scaling(tf.where(gaps, 0.0, numbers))))
            parts.append(tf.cast(tf.gather(gaps, tf.constant(self._gaps, tf.int32), axis=1), tf.float32))
        for at, lookup in self.lookups.items():
            parts.append(tf.cast(lookup(self._values(int(at), columns[int(at)])), tf.float32))
        return tf.ensure_shape(tf.concat(parts, 1), [None, *self.spec.shape])

    def _values(self, at: int, cells: Any) -> Any:
        said = self._said(cells)
        if self.columns[at].get("booleans"):
            said = tf.strings.lower(said)
        return tf.where(tf.equal(said, ""), MISSING, said)

    def noted(self, columns: Sequence[Any]) -> dict[str, Any]:
        """Name what is missing or unknown in each row.

        Returns:
            ``missing`` and ``unknown``, string [batch]: names of columns, with commas between.
        """
        missing, unknown = [], []
        for at, values in enumerate(columns):
            if at in self.numeric:
                gaps, strange = tf.math.is_nan(values), tf.zeros_like(values, tf.bool)
            else:
                said = self._values(at, values)
                gaps = tf.equal(said, MISSING)
                strange = self.lookups[str(at)](said)[:, 0] > 0
            missing.append(gaps)
            unknown.append(strange)
        return {"missing": self._listed(missing), "unknown": self._listed(unknown)}

    def _listed(self, flags: Sequence[Any]) -> Any:
        names = [str(column["name"]) for column in self.columns]
        said = [tf.where(flag, f"{name}, ", "") for flag, name in zip(flags, names, strict=True)]
        return tf.strings.regex_replace(tf.strings.join(said), ", $", "")

    def compute_output_spec(self, examples: Any) -> keras.KerasTensor:
        """Return the shape and dtype of the output."""
        return keras.KerasTensor((examples.shape[0], *self.spec.shape), "float32")

    def get_config(self) -> dict[str, Any]:
        """Return the configuration of the layer."""
        return super().get_config() | {"columns": list(self.columns), "missing": list(self.missing)}


def _lookup(vocabulary: Sequence[str]) -> keras.layers.StringLookup:
    return keras.layers.StringLookup(
        vocabulary=[MISSING, *vocabulary],
        num_oov_indices=1,
        mask_token=None,
        oov_token=UNKNOWN,
        output_mode="one_hot",
    )


def _among(cells: Any, words: Iterable[str]) -> Any:
    """Return whether each cell is one of some words."""
    return tf.reduce_any(cells[:, tf.newaxis] == tf.constant(sorted(words)), 1)


def _finite(column: Column, values: Any, sound: Any, raw: Any) -> Any:
    """Return the values; reject those that are not numbers or infinite."""
    good = sound & ~tf.math.is_inf(values)
    name = column["name"]
    how = f" written as {column['written']}" if column.get("written") else ""
    message = [f"column {name!r} holds numbers{how}; got", tf.boolean_mask(raw, ~good)]
    check = tf.debugging.Assert(tf.reduce_all(good), message, summarize=3)
    with tf.control_dependencies([check] if check is not None else []):
        return tf.identity(values)


class RowFeaturizerSettings(Settings):
    """Which values of a categorical column are known."""

    min_count: int = Field(
        2,
        ge=1,
        description="minimum count of a value in the training split; rarer ones count as unknown",
    )
    max_vocabulary: int | None = Field(
        None, ge=1, description="maximum number of known values of a column; null for no limit"
    )
