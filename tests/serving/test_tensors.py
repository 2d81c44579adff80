"""Tensors on the wire against TensorFlow's own reader and writer."""

import random
import resource

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tensorflow.core.framework import tensor_pb2, types_pb2

from serving import tensors
from serving.errors import InvalidArgument, ResourceExhausted
from tests.serving.saved_models import DTYPES, sample

SHAPES = [(), (3,), (2, 3), (0,), (2, 0, 4)]


@pytest.mark.parametrize("content", [False, True], ids=["typed", "content"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.name)
def test_both_encodings_are_read_by_tensorflow_and_back(dtype, shape, content):
    array = sample(dtype, shape)
    proto = tensors.encode(array, content=content)
    assert proto.dtype == dtype.as_datatype_enum
    np.testing.assert_array_equal(tf.make_ndarray(proto), array)
    back = tensors.decode(proto, "x")
    assert back.dtype == array.dtype
    assert back.shape == shape
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.name)
def test_what_tensorflow_writes_is_read(dtype, shape):
    array = sample(dtype, shape)
    np.testing.assert_array_equal(tensors.decode(tf.make_tensor_proto(array, dtype, shape), "x"), array)


@pytest.mark.parametrize(
    ("values", "shape", "wanted"),
    [
        ([7.0], [2, 2], [[7, 7], [7, 7]]),
        ([1.0, 2.0], [4], [1, 2, 2, 2]),
        ([], [2], [0, 0]),
        ([1, 2, 3], [2], [1, 2]),
    ],
    ids=["splat", "last repeated", "none", "too many"],
)
def test_typed_fields_are_filled_up_and_cut_as_in_tensor_from_proto(values, shape, wanted):
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=values)
    for size in shape:
        proto.tensor_shape.dim.add().size = size
    np.testing.assert_array_equal(tensors.decode(proto, "x"), np.array(wanted, np.float32))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64, np.int8, np.int64, np.uint64, np.bool_, np.complex64]),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
    )
)
def test_any_array_survives_in_both_encodings(array):
    for content in (False, True):
        back = tensors.decode(tensors.encode(array, content=content), "x")
        np.testing.assert_array_equal(back, array)
        assert back.dtype == array.dtype


def test_arrays_that_do_not_lie_in_order_are_written_in_order():
    array = np.arange(12, dtype=np.float32).reshape(3, 4).T[::2]
    np.testing.assert_array_equal(tensors.decode(tensors.encode(array, content=True), "x"), array)
    swapped = np.arange(4, dtype=">i4")
    np.testing.assert_array_equal(tensors.decode(tensors.encode(swapped), "x"), [0, 1, 2, 3])


def test_strings_in_tensor_content_are_read():
    words = [b"", b"a", b"x" * 200, "ümläut".encode()]
    content = b"".join(_varint(len(word)) for word in words) + b"".join(words)
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, tensor_content=content)
    proto.tensor_shape.dim.add().size = len(words)
    assert tensors.decode(proto, "x").tolist() == words


def _varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + _varint(number >> 7)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dtype": 0}, "DT_INVALID"),
        ({"dtype": 99}, "99"),
        ({"dtype": types_pb2.DT_RESOURCE}, "DT_RESOURCE"),
        ({"dtype": types_pb2.DT_FLOAT_REF}, "DT_FLOAT_REF"),
        ({"sizes": [-1]}, "negative"),
        ({"sizes": [1] * 65}, "65 dimensions"),
        ({"sizes": [2**40, 2**40]}, "more values"),
        ({"content": b"123"}, "3 bytes"),
        ({"unknown": True}, "rank is unknown"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_broken_tensors_are_refused_by_name(change, words):
    proto = tensor_pb2.TensorProto(dtype=change.get("dtype", types_pb2.DT_FLOAT))
    for size in change.get("sizes", [2]):
        proto.tensor_shape.dim.add().size = size
    proto.tensor_shape.unknown_rank = change.get("unknown", False)
    proto.tensor_content = change.get("content", b"")
    with pytest.raises(InvalidArgument, match=words) as caught:
        tensors.decode(proto, "pixels")
    assert caught.value.message.startswith("tensor parsing error: pixels")


def test_s3_declared_sizes_are_checked_before_anything_is_allocated():
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[1.0])
    for _ in range(2):
        proto.tensor_shape.dim.add().size = 20_000
    assert proto.ByteSize() < 30
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(100):
        with pytest.raises(ResourceExhausted, match="declares 400000000 values"):
            tensors.decode(proto, "x")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024


def mutants(count: int, seed: int = 0):
    """Damage serialised tensors: flipped, cut, doubled and swapped bytes, and random fields."""
    rng = random.Random(seed)
    seeds = [
        tensors.encode(sample(dtype, (2, 3)), content=content).SerializeToString()
        for dtype in DTYPES
        for content in (False, True)
    ]
    for _ in range(count):
        raw = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(1, 4)):
            place = rng.randrange(len(raw) + 1)
            choice = rng.random()
            if choice < 0.4 and place < len(raw):
                raw[place] = rng.randrange(256)
            elif choice < 0.6:
                del raw[place : place + rng.randint(1, 8)]
            elif choice < 0.8:
                raw[place:place] = rng.randbytes(rng.randint(1, 10))
            else:
                raw += rng.choice(seeds)[: rng.randint(0, 40)]
            if not raw:
                raw = bytearray(b"\x08\x01")
        yield bytes(raw)


def test_s1_a_hundred_thousand_mutants_are_read_or_refused():
    read = refused = unparsed = 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for raw in mutants(100_000):
        try:
            proto = tensor_pb2.TensorProto.FromString(raw)
        except DecodeError:
            unparsed += 1
            continue
        try:
            array = tensors.decode(proto, "x")
        except (InvalidArgument, ResourceExhausted):
            refused += 1
            continue
        assert array.shape == tuple(dim.size for dim in proto.tensor_shape.dim)
        read += 1
    assert min(read, refused, unparsed) > 1_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024
