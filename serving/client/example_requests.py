"""Classify and Regress as a client speaks them: plain values by feature name, plain results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from google.protobuf.message import Message

from features.errors import UsageError
from serving import messages

#: One example: values by feature name; a value, a list of values or an array each.
Example = Mapping[str, Any]

_FIELDS = {"b": "int64_list", "i": "int64_list", "u": "int64_list", "f": "float_list"}


@dataclass(frozen=True)
class Class:
    """A class that an example may belong to; label is empty where the model gives scores alone."""

    label: str
    score: float


def classify(
    asked: Any, signature: str | None, examples: Sequence[Example], context: Example | None
) -> Message:
    """Make a Classify request; arguments and errors as for regress."""
    asked.signature_name = signature or ""
    return messages.ClassificationRequest(model_spec=asked, input=_input(examples, context))


def regress(
    asked: Any, signature: str | None, examples: Sequence[Example], context: Example | None
) -> Message:
    """Make a Regress request.

    Args:
        asked: the model and version.
        signature: the signature; None means ``serving_default``.
        examples: the examples.
        context: features that all examples have in common, or None.

    Raises:
        UsageError: a feature holds what no tf.Example can.
    """
    asked.signature_name = signature or ""
    return messages.RegressionRequest(model_spec=asked, input=_input(examples, context))


def classes(response: Any) -> list[tuple[Class, ...]]:
    """Read the answer to a Classify request: the classes of each example, in the model's order."""
    return [
        tuple(Class(one.label, one.score) for one in row.classes) for row in response.result.classifications
    ]


def values(response: Any) -> np.ndarray:
    """Read the answer to a Regress request: one float32 for each example."""
    return np.array([one.value for one in response.result.regressions], np.float32)


def _input(examples: Sequence[Example], context: Example | None) -> Message:
    message = messages.Input()
    rows = [_example(one) for one in examples]
    if context is None:
        message.example_list.examples.extend(rows)
    else:
        message.example_list_with_context.examples.extend(rows)
        message.example_list_with_context.context.CopyFrom(_example(context))
    return message


def _example(features: Example) -> Message:
    message = messages.Example()
    for name, value in features.items():
        feature = message.features.feature[name]
        field, content = _feature(name, value)
        getattr(feature, field).value.extend(content)
    return message


def _feature(name: str, value: Any) -> tuple[str, list[Any]]:
    items = np.ravel(value).tolist() if isinstance(value, np.ndarray | np.generic) else value
    items = list(items) if isinstance(items, list | tuple) else [items]
    if items and all(isinstance(item, str | bytes) for item in items):
        return "bytes_list", [item.encode() if isinstance(item, str) else item for item in items]
    array = _flat(items)
    if array is None or (array.dtype.kind == "u" and array.max(initial=0) >= 2**63):
        raise UsageError(
            f"feature {name} does not fit a tf.Example",
            got=repr(value)[:80],
            expected="an array, or one flat list of texts, bytes, floats or integers of 64 bits",
        )
    field = _FIELDS[array.dtype.kind]
    return field, array.astype(np.int64).tolist() if field == "int64_list" else array.tolist()


def _flat(items: list[Any]) -> np.ndarray | None:
    try:
        array = np.asarray(items)
    except ValueError:
        return None
    return array if array.ndim == 1 and array.dtype.kind in _FIELDS else None
