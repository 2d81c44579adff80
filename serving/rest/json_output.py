"""Answers in TensorFlow Serving's JSON format: arrays and results to text.

Follows util/json_tensor.cc, lay-out included. Numbers are written in the fewest digits that read back as
the same value of their dtype; NaN and infinities as ``NaN``, ``Infinity`` and ``-Infinity``.
"""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
from tensorflow_serving.apis import classification_pb2, regression_pb2

from serving import tensors
from serving.errors import InvalidArgument

#: dtype names that have a JSON form.
WRITABLE = frozenset(
    {"float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint32", "uint64", "bool"}
)

_INDENT = b"    "


def rows(outputs: Mapping[str, np.ndarray]) -> bytes:
    """Write the answer to a row-format request: ``predictions``, one entry per row.

    Raises:
        InvalidArgument: an output has no batch axis, another batch size, or a dtype without JSON form.
    """
    _check_batch(outputs)
    columns = {name: _rows_of(name, array) for name, array in outputs.items()}
    if len(columns) == 1:
        return b'{\n    "predictions": [' + b", ".join(next(iter(columns.values()))) + b"\n    ]\n}"
    keys = [b"\n" + _INDENT * 3 + orjson.dumps(name) + b": " for name in columns]
    objects = []
    for values in zip(*columns.values(), strict=True):
        members = b",".join(key + value for key, value in zip(keys, values, strict=True))
        objects.append(b"\n" + _INDENT * 2 + b"{" + members + b"\n" + _INDENT * 2 + b"}")
    return b'{\n    "predictions": [' + b",".join(objects) + b"\n    ]\n}"


def _check_batch(outputs: Mapping[str, np.ndarray]) -> None:
    if not outputs:
        raise InvalidArgument("Cannot convert empty tensor map to JSON")
    size: int | None = None
    for name, array in outputs.items():
        if not array.shape:
            raise InvalidArgument(f"Tensor name: {name} has no shape information ")
        if size is not None and array.shape[0] != size:
            raise InvalidArgument(
                f"Tensor name: {name} has inconsistent batch size: {array.shape[0]} expecting: {size}"
            )
        size = array.shape[0]


def _rows_of(name: str, array: np.ndarray) -> list[bytes]:
    _check_dtype(array)
    if array.ndim == 1:
        text = _dense(name, array)
        if array.dtype != object:
            return text[1:-1].split(b", ") if len(array) else []
        return _texts(name, array)
    return [_dense(name, row) for row in array]


def _texts(name: str, array: np.ndarray) -> list[bytes]:
    return [_dump(_text(value, name.endswith("_bytes"))) for value in array.tolist()]


def columns(outputs: Mapping[str, np.ndarray]) -> bytes:
    """Write the answer to a column-format request: ``outputs``, the tensor or tensors whole.

    Raises:
        InvalidArgument: a dtype without JSON form.
    """
    if not outputs:
        raise InvalidArgument("Cannot convert empty tensor map to JSON")
    for array in outputs.values():
        _check_dtype(array)
    texts = {name: _dense(name, array) for name, array in outputs.items()}
    if len(texts) == 1:
        return b'{\n    "outputs": ' + next(iter(texts.values())) + b"\n}"
    members = b",".join(
        b"\n" + _INDENT * 2 + orjson.dumps(name) + b": " + text for name, text in texts.items()
    )
    return b'{\n    "outputs": {' + members + b"\n    }\n}"


def _check_dtype(array: np.ndarray) -> None:
    if array.dtype.kind == "O" or array.dtype.name in WRITABLE:
        return
    name = tensors.dtype_name(tensors.dtype_enum(array.dtype))
    name = {"float16": "half"}.get(name, name)
    raise InvalidArgument(f"Failed to write JSON value for tensor type: {name}")


def _dense(name: str, array: np.ndarray) -> bytes:
    array = np.asarray(array)
    if array.dtype.kind == "O":
        return _dump(_text_tree(array.tolist(), name.endswith("_bytes")))
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return _with_infinities(array)
    if not array.shape:
        array, scalar = array.reshape(1), True
    else:
        scalar = False
    text = orjson.dumps(np.ascontiguousarray(array), option=orjson.OPT_SERIALIZE_NUMPY)
    # Numbers hold no commas.
    text = text.replace(b",", b", ")
    return text[1:-1] if scalar else text


def _with_infinities(array: np.ndarray) -> bytes:
    # JSON has no such numbers and orjson writes null: each becomes a word that stands for it.
    words = {"nan": b"NaN", "inf": b"Infinity", "-inf": b"-Infinity"}
    if not array.shape:
        number = array[()]
        return (
            words.get(str(number)) or orjson.dumps(array.reshape(1), option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
        )
    return b"[" + b", ".join(_with_infinities(below) for below in array) + b"]"


def _text_tree(value: Any, binary: bool) -> Any:
    if isinstance(value, list):
        return [_text_tree(below, binary) for below in value]
    return _text(value, binary)


def _text(value: bytes | str, binary: bool) -> Any:
    raw = value.encode() if isinstance(value, str) else value
    if binary:
        return {"b64": base64.b64encode(raw).decode("ascii")}
    # The real server passes bytes through as they are, which is no JSON; a replacement character is.
    return raw.decode("utf-8", "replace")


def _dump(value: Any) -> bytes:
    return orjson.dumps(value)


def classifications(result: classification_pb2.ClassificationResult) -> bytes:
    """Write the answer to a classify request: for each example, pairs of label and score.

    Raises:
        InvalidArgument: there is no result.
    """
    if not result.classifications:
        raise InvalidArgument("Cannot convert empty ClassificationResults to JSON")
    lists = [
        b"[" + b", ".join(_pair(entry.label, entry.score) for entry in classification.classes) + b"]"
        for classification in result.classifications
    ]
    return b'{\n    "results": [' + b", ".join(lists) + b"\n    ]\n}"


def _pair(label: str, score: float) -> bytes:
    return b"[" + orjson.dumps(label) + b", " + _dense("", np.asarray(score, np.float32)) + b"]"


def regressions(result: regression_pb2.RegressionResult) -> bytes:
    """Write the answer to a regress request: one value for each example.

    Raises:
        InvalidArgument: there is no result.
    """
    if not result.regressions:
        raise InvalidArgument("Cannot convert empty RegressionResults to JSON")
    values = np.array([entry.value for entry in result.regressions], np.float32)
    return b'{\n    "results": ' + _dense("", values) + b"\n}"


def error(message: str) -> bytes:
    """Write the body of a refusal."""
    # A message may repeat bytes of the request that are not UTF-8.
    text = message.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return b'{\n    "error": ' + orjson.dumps(text) + b"\n}"
