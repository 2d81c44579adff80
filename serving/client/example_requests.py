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
    made = messages.Input()
    rows = [_example(one) for one in examples]
    if context is None:
        made.example_list.examples.extend(rows)
    else:
        made.example_list_with_context.examples.extend(rows)
        made.example_list_with_context.context.CopyFrom(_example(context))
    return made


def _example(features: Example) -> Message:
    made = messages.Example()
    for name, value in features.items():
        feature = made.features.feature[name]
        field, content = _feature(name, value)
        getattr(feature, field).value.extend(content)
    return made


def _feature(name: str, value: Any) -> tuple[str, list[Any]]:
    items = np.ravel(value).tolist() if isinstance(value, np.ndarray | np.generic) else value
    items = list(items) if isinstance(items, list | tuple) else [items]
    if items and all(isinstance(item, str | bytes) for item in items):
        return "bytes_list", [item.encode() if isinstance(item, str) else item for item in items]
    made = _flat(items)
    if made is None or (made.dtype.kind == "u" and made.max(initial=0) >= 2**63):
        raise UsageError(
            f"feature {name} does not fit a tf.Example",
            got=repr(value)[:80],
            expected="an array, or one flat list of texts, bytes, floats or integers of 64 bits",
        )
    field = _FIELDS[made.dtype.kind]
    return field, made.astype(np.int64).tolist() if field == "int64_list" else made.tolist()


def _flat(items: list[Any]) -> np.ndarray | None:
    try:
        made = np.asarray(items)
    except ValueError:
        return None
    return made if made.ndim == 1 and made.dtype.kind in _FIELDS else None
