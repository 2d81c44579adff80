"""Predict requests in TensorFlow Serving's JSON format: parsed text to arrays.

Follows util/json_tensor.cc. Values are checked and converted level by level, in C loops; only a request
that is refused is walked value by value, to say what the real server would say.
"""

import base64
import binascii
import itertools
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from serving.errors import InvalidArgument, ServerError, Unimplemented
from serving.rest import json_text
from serving.rest.json_text import excerpt, type_name
from serving.tensors import MAX_RANK

SIGNATURE, INSTANCES, INPUTS = "signature_name", "instances", "inputs"

#: A SignatureDef's inputs by alias.
Inputs = Mapping[str, meta_graph_pb2.TensorInfo]

_SPACE = re.compile(r"[ \t\r\n\f\v]+")
_INT32 = (-(2**31), 2**31 - 1)


class Kind(NamedTuple):
    """What JSON values one dtype takes.

    Attributes:
        types: Python types of the parsed values.
        wide: dtype in which values are collected before they are cut to the tensor's own.
        dtype: the tensor's dtype.
        limits: least and greatest integer, or None for other kinds.
    """

    types: frozenset[type]
    wide: Any
    dtype: Any
    limits: tuple[int, int] | None = None


_NUMBER, _INTEGER = frozenset({int, float}), frozenset({int})

KINDS: dict[int, Kind] = {
    types_pb2.DT_FLOAT: Kind(_NUMBER, np.float64, np.float32),
    types_pb2.DT_DOUBLE: Kind(_NUMBER, np.float64, np.float64),
    types_pb2.DT_INT32: Kind(_INTEGER, np.int64, np.int32, _INT32),
    # The real server carries the narrow integers in 32 bits and cuts them when it fills the tensor.
    types_pb2.DT_INT16: Kind(_INTEGER, np.int64, np.int16, _INT32),
    types_pb2.DT_INT8: Kind(_INTEGER, np.int64, np.int8, _INT32),
    types_pb2.DT_UINT8: Kind(_INTEGER, np.int64, np.uint8, _INT32),
    types_pb2.DT_INT64: Kind(_INTEGER, np.int64, np.int64, (-(2**63), 2**63 - 1)),
    types_pb2.DT_UINT32: Kind(_INTEGER, np.int64, np.uint32, (0, 2**32 - 1)),
    types_pb2.DT_UINT64: Kind(_INTEGER, np.uint64, np.uint64, (0, 2**64 - 1)),
    types_pb2.DT_BOOL: Kind(frozenset({bool}), np.bool_, np.bool_),
    types_pb2.DT_STRING: Kind(frozenset({str}), object, object),
}

#: dtype names as TensorFlow's DataTypeString gives them.
_DTYPE_NAMES = {types_pb2.DT_FLOAT: "float", types_pb2.DT_DOUBLE: "double", types_pb2.DT_HALF: "half"}


class _Unfit(Exception):  # noqa: N818 -- never leaves this file
    """The quick way cannot take the value: the slow one says why."""


def signature_name(document: Mapping[str, Any]) -> str:
    """Return the signature of a request, or an empty string.

    Raises:
        InvalidArgument: the name is no string.
    """
    name = document.get(SIGNATURE, "")
    if not isinstance(name, str):
        raise InvalidArgument(
            f"JSON Value: {excerpt(document)} not formatted correctly. 'signature_name' key must be a "
            "string value."
        )
    return name


def predict_inputs(document: Mapping[str, Any], inputs: Inputs) -> tuple[dict[str, np.ndarray], bool]:
    """Read the tensors of a predict request.

    Args:
        document: the parsed body.
        inputs: the signature's inputs by alias.

    Returns:
        Arrays by alias, and whether they came row by row (``instances``) and not by column (``inputs``).

    Raises:
        InvalidArgument: the body does not fit the signature, in TensorFlow Serving's words.
        Unimplemented: an input's dtype has no JSON form.
    """
    if INSTANCES in document and INPUTS in document:
        raise InvalidArgument(
            f"JSON Value: {excerpt(document)} Not formatted correctly expecting only one of 'inputs' or "
            "'instances' keys to exist "
        )
    if INSTANCES in document:
        rows = document[INSTANCES]
        if not isinstance(rows, list):
            raise InvalidArgument(
                f"JSON Value: {excerpt(document)} Expecting 'instances' to be an list/array"
            )
        if not rows:
            raise InvalidArgument(f"JSON Value: {excerpt(document)} No values in 'instances' array")
        return from_rows(rows, inputs), True
    if INPUTS in document:
        return from_columns(document[INPUTS], inputs), False
    raise InvalidArgument("Missing 'inputs' or 'instances' key")


def from_rows(rows: list[Any], inputs: Inputs) -> dict[str, np.ndarray]:
    """Read a non-empty ``instances`` list: values of the one input, or objects with a key for each."""
    if not isinstance(rows[0], dict) and len(inputs) > 1:
        raise InvalidArgument(
            "instances is a plain list, but expecting list of objects as multiple input tensors required "
            "as per tensorinfo_map"
        )
    try:
        if is_named(rows[0]):
            return _named_rows(rows, inputs)
        alias = min(inputs)
        if any(map(is_named, rows)):
            raise _Unfit
        return {alias: dense(rows, inputs[alias].dtype)}
    except _Unfit:
        _explain_rows(rows, inputs)
        raise InvalidArgument("'instances' cannot be read as tensors of this signature") from None


def _named_rows(rows: list[Any], inputs: Inputs) -> dict[str, np.ndarray]:
    names = set(inputs)
    if not all(isinstance(row, dict) and row.keys() == names for row in rows):
        raise _Unfit
    return {alias: dense([row[alias] for row in rows], info.dtype) for alias, info in inputs.items()}


def from_columns(value: Any, inputs: Inputs) -> dict[str, np.ndarray]:
    """Read an ``inputs`` value: that of the one input, or an object with a key for each."""
    if not is_named(value):
        if len(inputs) > 1:
            raise InvalidArgument(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required "
                "as per tensorinfo_map"
            )
        value = {min(inputs): value}
    arrays = {}
    for alias, info in sorted(inputs.items()):
        if alias not in value:
            raise InvalidArgument(f"Missing named input: {alias} in 'inputs' object.")
        arrays[alias] = tensor(value[alias], info.dtype)
    return arrays


def tensor(value: Any, dtype: int) -> np.ndarray:
    """Read one dense tensor of any rank.

    Raises:
        InvalidArgument: lists of unequal length, or a value of another type.
        Unimplemented: the dtype has no JSON form.
    """
    try:
        return dense(value, dtype)
    except _Unfit:
        _explain(value, 0, shape_of(value), dtype)
        raise InvalidArgument(f"JSON Value: {excerpt(value)} is not a tensor") from None


def shape_of(value: Any) -> list[int]:
    """Return the shape that a value's first elements have.

    Raises:
        InvalidArgument: its lists are nested deeper than a tensor has dimensions.
    """
    shape: list[int] = []
    while isinstance(value, list):
        if len(shape) == MAX_RANK:
            raise InvalidArgument(f"lists are nested more than {MAX_RANK} deep")
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return shape


def dense(value: Any, dtype: int) -> np.ndarray:
    """Convert a value whose lists are regular, or raise _Unfit."""
    shape = shape_of(value)
    flat: list[Any] = [value]
    for size in shape:
        if set(map(type, flat)) != {list} or set(map(len, flat)) != {size}:
            raise _Unfit
        flat = list(itertools.chain.from_iterable(flat))
    return leaves(flat, dtype).reshape(shape)


def leaves(flat: list[Any], dtype: int) -> np.ndarray:
    """Convert single values to a vector, or raise _Unfit."""
    kind = KINDS.get(dtype)
    types = set(map(type, flat))
    if kind is None:
        raise _Unfit
    if kind.dtype is object:
        return _texts(flat, types)
    if not types <= kind.types:
        raise _Unfit
    if kind.limits is not None and flat and not (min(flat) >= kind.limits[0] and max(flat) <= kind.limits[1]):
        raise _Unfit
    try:
        # Beyond float32 lies infinity, as in the real server's cast.
        with np.errstate(over="ignore"):
            return np.array(flat, kind.wide).astype(kind.dtype, copy=False)
    except OverflowError:
        raise _Unfit from None


def _texts(flat: list[Any], types: set[type]) -> np.ndarray:
    if not types <= {str, dict}:
        raise _Unfit
    array = np.empty(len(flat), object)
    if dict in types:
        if not all(isinstance(value, str) or is_base64(value) for value in flat):
            raise _Unfit
        array[:] = [raw(value) if isinstance(value, str) else unbase64(value) for value in flat]
    else:
        array[:] = list(map(raw, flat))
    return array


def raw(text: str) -> bytes:
    """Return a string's bytes, including those that are not UTF-8."""
    return text.encode("utf-8", "surrogateescape")


def is_base64(value: Any) -> bool:
    """Return whether a value is ``{"b64": "..."}``."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def is_named(value: Any) -> bool:
    """Return whether a value is an object of named parts, not ``{"b64": "..."}``."""
    return isinstance(value, dict) and not is_base64(value)


def unbase64(value: Mapping[str, str]) -> bytes:
    """Decode ``{"b64": "..."}``: the standard alphabet, blanks skipped, padding optional.

    Raises:
        InvalidArgument: it is no base64.
    """
    text = _SPACE.sub("", value["b64"])
    bare = text.rstrip("=")
    padding = -len(bare) % 4
    # Padding may be left out whole, not in part.
    if len(text) - len(bare) not in (0, padding) or padding == 3:
        raise InvalidArgument("Unable to base64 decode")
    try:
        return base64.b64decode(bare + "=" * padding, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidArgument("Unable to base64 decode") from None


# What is wrong with a request, found in the real server's order


def _explain_rows(rows: list[Any], inputs: Inputs) -> None:
    named = is_named(rows[0])
    first_forms: dict[str, tuple[int, list[int]]] = {}
    for position, row in enumerate(rows):
        if named != is_named(row):
            expected, got = ("object", "list") if named else ("value/list", "object")
            raise InvalidArgument(f"Expecting {expected} but got {got} at item {position} of input list")
        items = row.items() if named else [(min(inputs), row)]
        for alias, value in items:
            try:
                _explain_item(value, alias, inputs, first_forms)
            except ServerError as error:
                key = f" key: {alias}" if named else ""
                raise InvalidArgument(
                    f"Failed to process element: {position}{key} of 'instances' list. Error: "
                    f"{error.code.name}: {error.message}"
                ) from None
        if named and row.keys() != set(inputs):
            raise InvalidArgument(
                f"Failed to process element: {position} of 'instances' list. JSON object: {excerpt(row)} "
                f"keys must be equal to: {','.join(sorted(inputs))}"
            )


def _explain_item(
    value: Any, alias: str, inputs: Inputs, first_forms: dict[str, tuple[int, list[int]]]
) -> None:
    if alias not in inputs:
        raise InvalidArgument(f"JSON object: does not have named input: {alias}")
    shape = shape_of(value)
    count = _explain(value, 0, shape, inputs[alias].dtype)
    first_count, first_shape = first_forms.setdefault(alias, (count, shape))
    if first_count != count:
        raise InvalidArgument(f"Expecting tensor size: {first_count} but got: {count}")
    if first_shape != shape:
        raise InvalidArgument(f"Expecting shape {_plain(first_shape)} but got: {_plain(shape)}")


def _plain(shape: Iterable[int]) -> str:
    return f"[{','.join(map(str, shape))}]"


def _explain(value: Any, level: int, shape: list[int], dtype: int) -> int:
    """Count the values below, or raise what is wrong with the first bad one."""
    if not isinstance(value, list):
        if level != len(shape):
            raise InvalidArgument(
                f"JSON Value: {excerpt(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                f"Expected at level: {len(shape)}"
            )
        _explain_leaf(value, dtype)
        return 1
    if level >= len(shape):
        raise InvalidArgument(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise InvalidArgument(
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}"
        )
    return sum(_explain(below, level + 1, shape, dtype) for below in value)


def _explain_leaf(value: Any, dtype: int) -> None:
    kind = KINDS.get(dtype)
    name = _DTYPE_NAMES.get(dtype) or types_pb2.DataType.Name(dtype).removeprefix("DT_").lower()
    if isinstance(value, dict):
        if dtype == types_pb2.DT_STRING:
            if not is_base64(value):
                raise InvalidArgument(f"JSON Value: {excerpt(value)} not formatted correctly for base64 data")
            unbase64(value)
            return
    elif kind is None:
        raise Unimplemented(f"Conversion of JSON Value: {excerpt(value)} to type: {name}")
    elif type(value) in kind.types and (kind.limits is None or kind.limits[0] <= value <= kind.limits[1]):
        return
    raise InvalidArgument(
        f"JSON Value: {excerpt(value)} Type: {type_name(value)} is not of expected type: {name}"
    )


def parse(body: bytes) -> dict[str, Any]:
    """Parse a request's body, which is one JSON object.

    Raises:
        InvalidArgument: it is no JSON, or another value than an object.
    """
    document = json_text.parse(body)
    if not isinstance(document, dict):
        raise InvalidArgument(f"JSON Value: {excerpt(document)} Is not object")
    return document
