"""Tensors on the wire: TensorProto to NumPy and back, without a Python loop over numbers.

Reading follows tensorflow::Tensor::FromProto: ``tensor_content`` or the typed field, a short typed
field is filled up with its last value, a long one is cut. The size a message declares is compared with
the bytes it brings before anything is allocated.
"""

import functools
import itertools
import math
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from serving import messages
from serving.errors import InvalidArgument, ResourceExhausted

#: Bytes that a tensor's values may take, on reading, beyond 32 times what came over the wire.
EXPANSION_LIMIT = 16 << 20

#: NumPy's limit; TensorFlow's own is 254.
MAX_RANK = 64

_LENGTH_DELIMITED = 2  # protobuf's wire type of packed fields


class Layout(NamedTuple):
    """How one dtype lies in memory and in a TensorProto.

    Attributes:
        dtype: NumPy dtype of the values.
        field: TensorProto's typed field that carries them.
        bits: NumPy dtype in which the field carries them, if they travel as bit patterns.
        number: the field's number where its packed form is the memory's bytes, else None.
    """

    dtype: np.dtype
    field: str
    bits: np.dtype | None = None
    number: int | None = None

    @property
    def plain(self) -> np.dtype:
        """The dtype of the numbers, which a quantised dtype wraps in a record of one field."""
        return self.dtype if self.dtype.names is None else self.dtype[0]


def _layout(dtype: Any, field: str, bits: Any = None, number: int | None = None) -> Layout:
    return Layout(np.dtype(dtype), field, None if bits is None else np.dtype(bits), number)


_LAYOUTS = {
    "DT_FLOAT": _layout(np.float32, "float_val", number=5),
    "DT_DOUBLE": _layout(np.float64, "double_val", number=6),
    "DT_INT32": _layout(np.int32, "int_val"),
    "DT_UINT8": _layout(np.uint8, "int_val"),
    "DT_INT16": _layout(np.int16, "int_val"),
    "DT_INT8": _layout(np.int8, "int_val"),
    "DT_STRING": _layout(object, "string_val"),
    "DT_COMPLEX64": _layout(np.complex64, "scomplex_val", np.float32, number=9),
    "DT_INT64": _layout(np.int64, "int64_val"),
    "DT_BOOL": _layout(np.bool_, "bool_val", number=11),
    "DT_QINT8": _layout([("qint8", np.int8)], "int_val"),
    "DT_QUINT8": _layout([("quint8", np.uint8)], "int_val"),
    "DT_QINT32": _layout([("qint32", np.int32)], "int_val"),
    "DT_BFLOAT16": _layout(ml_dtypes.bfloat16, "half_val", np.uint16),
    "DT_QINT16": _layout([("qint16", np.int16)], "int_val"),
    "DT_QUINT16": _layout([("quint16", np.uint16)], "int_val"),
    "DT_UINT16": _layout(np.uint16, "int_val"),
    "DT_COMPLEX128": _layout(np.complex128, "dcomplex_val", np.float64, number=12),
    "DT_HALF": _layout(np.float16, "half_val", np.uint16),
    "DT_UINT32": _layout(np.uint32, "uint32_val"),
    "DT_UINT64": _layout(np.uint64, "uint64_val"),
    "DT_FLOAT8_E5M2": _layout(ml_dtypes.float8_e5m2, "float8_val", np.uint8),
    "DT_FLOAT8_E4M3FN": _layout(ml_dtypes.float8_e4m3fn, "float8_val", np.uint8),
    "DT_INT4": _layout(ml_dtypes.int4, "int_val"),
    "DT_UINT4": _layout(ml_dtypes.uint4, "int_val"),
}
LAYOUTS: dict[int, Layout] = {messages.DTYPES[name]: layout for name, layout in _LAYOUTS.items()}

DT_STRING = messages.DTYPES["DT_STRING"]
_NAMES = {number: name for name, number in messages.DTYPES.items()}

# Quantised types are to NumPy, as to TensorFlow's own Python, records of one field.
_ENUMS = {layout.dtype: number for number, layout in LAYOUTS.items()}


def dtype_enum(dtype: np.dtype) -> int:
    """Return TensorFlow's number for a NumPy dtype; text of any kind is DT_STRING.

    Raises:
        InvalidArgument: TensorFlow has no such dtype.
    """
    number = _ENUMS.get(dtype)
    if number is not None:
        return number
    if dtype.kind in "OSU":
        return DT_STRING
    number = _ENUMS.get(dtype.newbyteorder("="))
    if number is None:
        raise InvalidArgument(f"unsupported dtype {dtype}")
    return number


def dtype_name(number: int) -> str:
    """Return a dtype's name as people write it: ``float32``, ``string``."""
    if number == DT_STRING:
        return "string"
    layout = LAYOUTS.get(number)
    return layout.dtype.name if layout else _enum_name(number)


def dtype_named(name: str) -> np.dtype:
    """Return the NumPy dtype of a name from ``dtype_name``; ``string`` is object."""
    return {dtype_name(number): layout.dtype for number, layout in LAYOUTS.items()}[name]


def decode(proto: Any, alias: str, *, limit: int | None = EXPANSION_LIMIT) -> np.ndarray:
    """Read a tensor; strings become objects holding bytes.

    Args:
        proto: the tensor.
        alias: the input's name, for the message.
        limit: bytes that the values may take beyond 32 times the message's own size; None trusts the
            sender.

    Raises:
        InvalidArgument: the message is no tensor, in TensorFlow Serving's words.
        ResourceExhausted: it declares far more values than it brings.
    """
    layout = LAYOUTS.get(proto.dtype)
    if layout is None:
        raise _unreadable(alias, f"dtype {_enum_name(proto.dtype)} cannot be sent")
    shape, count = _shape(proto, alias)
    if limit is not None:
        _check_expansion(proto, layout, count, alias, limit)
    if count == 0:
        return np.empty(shape, layout.dtype)
    content = proto.tensor_content
    if content:
        return _content(content, layout, count, alias).reshape(shape)
    return _filled(_values(proto, layout), layout, count).reshape(shape)


def _enum_name(number: int) -> str:
    return _NAMES.get(number, str(number))


def _unreadable(alias: str, reason: str) -> InvalidArgument:
    return InvalidArgument(f"tensor parsing error: {alias} ({reason})")


def _shape(proto: Any, alias: str) -> tuple[tuple[int, ...], int]:
    """Return the shape a tensor declares and the number of its values."""
    declared = proto.tensor_shape
    if declared.unknown_rank:
        raise _unreadable(alias, "its rank is unknown")
    if len(declared.dim) > MAX_RANK:
        raise _unreadable(alias, f"{len(declared.dim)} dimensions, at most {MAX_RANK}")
    raw = declared.SerializeToString()
    # Axes can have names of any length, which are not to be remembered.
    shape, count = _sizes(raw) if len(raw) <= 1024 else _sizes.__wrapped__(raw)
    if shape and min(shape) < 0:
        raise _unreadable(alias, f"negative size in shape {list(shape)[:8]}")
    # NumPy multiplies the axes other than the empty ones, and refuses what overflows.
    if (count or math.prod(filter(None, shape))) >= 1 << 58:
        raise _unreadable(alias, f"shape {list(shape)[:8]} has more values than can be addressed")
    return shape, count


@functools.lru_cache(1024)
def _sizes(declared: bytes) -> tuple[tuple[int, ...], int]:
    """Read a TensorShapeProto: callers send few shapes, and each axis is an object of its own to Python."""
    dimensions = messages.TensorShapeProto.FromString(declared).dim
    shape = tuple(dimension.size for dimension in dimensions)
    return shape, math.prod(shape)


def _check_expansion(proto: Any, layout: Layout, count: int, alias: str, limit: int) -> None:
    # A string takes 24 bytes in TensorFlow, even an empty one, and 8 in the array of objects.
    size = count * (32 if layout.dtype.kind == "O" else layout.dtype.itemsize)
    if size > limit and size > limit + 32 * proto.ByteSize():
        raise ResourceExhausted(
            f"tensor {alias} declares {count} values ({size} bytes) but contains {proto.ByteSize()} bytes"
        )


def _content(content: bytes, layout: Layout, count: int, alias: str) -> np.ndarray:
    if layout.dtype.kind == "O":
        return _strings(content, count, alias)
    if len(content) != count * layout.dtype.itemsize:
        raise _unreadable(alias, f"{len(content)} bytes for {count} values of {layout.dtype.itemsize} bytes")
    values = np.frombuffer(content, layout.dtype)
    # A byte other than 0 and 1 is no bool, and TensorFlow's kernels may not survive one.
    return values.view(np.uint8) != 0 if layout.dtype.kind == "b" else values


def _strings(content: bytes, count: int, alias: str) -> np.ndarray:
    # All lengths as varints, then all bytes: tensorflow::port::DecodeStringList.
    sizes: list[int] = []
    position = 0
    while len(sizes) < count and position < len(content):
        size, position = _length(content, position)
        sizes.append(size)
    if len(sizes) != count or position + sum(sizes) != len(content):
        raise _unreadable(alias, f"its bytes are not {count} strings")
    ends = itertools.accumulate([position, *sizes])
    values = np.empty(count, object)
    values[:] = [content[start:end] for start, end in itertools.pairwise(ends)]
    return values


def _length(content: bytes, position: int) -> tuple[int, int]:
    size = 0
    for shift in range(0, 35, 7):
        if position == len(content):
            break
        byte = content[position]
        size |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            break
    return size, position


def _values(proto: Any, layout: Layout) -> np.ndarray:
    field = getattr(proto, layout.field)
    if layout.dtype.kind == "O":
        values = np.empty(len(field), object)
        values[:] = list(field)
        return values
    if layout.field == "float8_val":
        return np.frombuffer(field, layout.dtype)
    # protobuf's repeated numbers offer the buffer protocol: one copy, no Python number per value.
    raw = np.array(field)
    if layout.dtype.kind == "c":
        return raw[: len(raw) // 2 * 2].view(layout.dtype)
    if layout.bits is not None:
        return raw.astype(layout.bits).view(layout.dtype)
    values = raw.astype(layout.plain, copy=False)
    return values if layout.dtype.names is None else values.view(layout.dtype)


def _filled(values: np.ndarray, layout: Layout, count: int) -> np.ndarray:
    if len(values) >= count:
        return values[:count]
    filled = np.empty(count, layout.dtype)
    filled[: len(values)] = values
    if len(values):
        filled[len(values) :] = values[-1]
    else:
        filled[:] = b"" if layout.dtype.kind == "O" else np.zeros((), layout.dtype)
    return filled


def encode(array: np.ndarray, proto: Any = None, *, content: bool = False) -> Any:
    """Write an array as a TensorProto.

    Args:
        array: numbers, or objects holding bytes or text.
        proto: the empty message to fill; a new one when None.
        content: write numbers as ``tensor_content``, which is the smallest and fastest; False writes
            the typed field, as TensorFlow Serving answers by default.

    Raises:
        InvalidArgument: TensorFlow has no such dtype, or an object is neither bytes nor text.
    """
    proto = messages.TensorProto() if proto is None else proto
    number = dtype_enum(array.dtype)
    layout = LAYOUTS[number]
    head = _head(number, array.shape)
    if number == DT_STRING:
        proto.MergeFromString(head)
        proto.string_val.extend([_bytes(value) for value in array.reshape(-1).tolist()])
        return proto
    values = array.astype(layout.dtype, copy=False)
    if layout.number is not None and not content:
        raw = values.tobytes()
        tag = _varint(layout.number << 3 | _LENGTH_DELIMITED)
        proto.MergeFromString(b"".join((head, tag, _varint(len(raw)), raw)))
        return proto
    proto.MergeFromString(head)
    if content:
        proto.tensor_content = values.tobytes()
    elif layout.field == "float8_val":
        proto.float8_val = values.tobytes()
    else:
        getattr(proto, layout.field).extend(_numbers(values, layout))
    return proto


@functools.lru_cache(1024)
def _head(number: int, shape: tuple[int, ...]) -> bytes:
    """Serialise a TensorProto's dtype and shape: to parse them costs less than to set them one by one."""
    proto = messages.TensorProto(dtype=number)
    proto.tensor_shape.SetInParent()
    for size in shape:
        proto.tensor_shape.dim.add().size = size
    return bytes(proto.SerializeToString())


def _numbers(values: np.ndarray, layout: Layout) -> list[int]:
    flat = np.ascontiguousarray(values).reshape(-1)
    if layout.bits is not None:
        return flat.view(layout.bits).tolist()
    flat = flat.view(layout.plain)
    return flat.astype(np.int64).tolist() if flat.dtype.kind == "V" else flat.tolist()


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):
        return value
    raise InvalidArgument(f"a string tensor holds bytes or text, not {type(value).__name__}")


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
