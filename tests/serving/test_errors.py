"""The server's errors: every code, every exception, one status each."""

import grpc
import pytest
import tensorflow as tf

import features.errors
from features.errors import ServableError
from serving import errors


def _all(kind: type) -> set[type]:
    return {kind}.union(*(_all(child) for child in kind.__subclasses__()))


def test_every_grpc_code_has_an_http_status_and_every_error_code_a_class():
    codes = set(grpc.StatusCode)
    assert set(errors.HTTP_STATUS) == codes
    assert set(errors.ERRORS) == codes - {grpc.StatusCode.OK}


@pytest.mark.parametrize("kind", sorted(_all(ServableError), key=lambda kind: kind.__name__))
def test_every_error_of_the_tree_maps_to_a_status(kind):
    # Some children say their own words: only the tree's part is made here.
    error = kind.__new__(kind)
    (kind if issubclass(kind, errors.ServerError) else ServableError).__init__(error, "boom")
    code = errors.code_of(error)
    assert code is not grpc.StatusCode.OK
    assert 400 <= errors.HTTP_STATUS[code] < 600
    assert errors.words_of(error) == "boom"


@pytest.mark.parametrize("kind", sorted(_all(errors.ServerError), key=lambda kind: kind.__name__))
def test_server_errors_survive_the_wire(kind):
    sent = kind("words\nof two lines", model="m", version=3)
    back = errors.error_of(errors.code_of(sent), errors.words_of(sent), model="m", version=3)
    assert type(back).code is sent.code
    assert (back.message, back.model, back.version) == ("words\nof two lines", "m", 3)
    assert str(back) == "model m version 3: words\nof two lines"


@pytest.mark.parametrize(
    ("number", "code"),
    [(code.value[0], code) for code in grpc.StatusCode if code is not grpc.StatusCode.OK],
)
def test_tensorflow_errors_keep_their_code(number, code):
    error = tf.compat.v1.errors.exception_type_from_error_code(number)(None, None, "from TensorFlow")
    assert errors.code_of(error) is code
    assert errors.words_of(error) == "from TensorFlow"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError(), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (TimeoutError(), grpc.StatusCode.DEADLINE_EXCEEDED),
        (RecursionError(), grpc.StatusCode.INVALID_ARGUMENT),
        (UnicodeDecodeError("utf-8", b"", 0, 1, "x"), grpc.StatusCode.INVALID_ARGUMENT),
        (ZeroDivisionError("x"), grpc.StatusCode.UNKNOWN),
        (KeyboardInterrupt(), grpc.StatusCode.UNKNOWN),
        (features.errors.NoInputError("x"), grpc.StatusCode.NOT_FOUND),
    ],
)
def test_any_other_exception_has_a_status(error, code):
    assert errors.code_of(error) is code
    assert errors.words_of(error)
