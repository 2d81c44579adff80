"""Tensors in JSON against TensorFlow Serving's documented and coded behaviour, case by case.

Each case names the source file, below tensorflow_serving/, whose behaviour it states; expected values and
messages are worked out by hand from there.
"""

import base64
import json

import numpy as np
import pytest

from serving.errors import InvalidArgument
from serving.rest import json_output

JSON_TENSOR = "util/json_tensor.cc"
HANDLER = "model_servers/http_rest_api_handler.cc"
RAPIDJSON = "util/json_tensor.cc (ParseJson)"

MAX_FLOAT64, MIN_FLOAT64 = "1.7976931348623157e308", "2.2250738585072014e-308"


def _echo(dtype, values):
    """Send values as the one input of a signature that gives it back."""
    return f'{{"signature_name": "{dtype}", "instances": {values}}}'


ECHOES = [
    (JSON_TENSOR, "int32", "[[1,2],[3,4],[5,6]]", [[1, 2], [3, 4], [5, 6]]),
    (JSON_TENSOR, "int32", "[[[1],[2]]]", [[[1], [2]]]),
    (JSON_TENSOR, "int32", '[{"x": 1}, {"x": 2}]', [1, 2]),
    (JSON_TENSOR, "int32", '[{"x": [1, 2]}]', [[1, 2]]),
    (JSON_TENSOR, "int32", "[[], []]", [[], []]),
    (JSON_TENSOR, "int32", "[-2147483648, 2147483647]", [-(2**31), 2**31 - 1]),
    (JSON_TENSOR, "int64", "[9223372036854775807]", [2**63 - 1]),
    (JSON_TENSOR, "uint64", "[18446744073709551615]", [2**64 - 1]),
    (JSON_TENSOR, "uint32", "[4294967295]", [2**32 - 1]),
    (JSON_TENSOR, "int8", "[127, 128, -129]", [127, -128, 127]),
    (JSON_TENSOR, "int16", "[32767, 32768]", [32767, -32768]),
    (JSON_TENSOR, "uint8", "[255, 256, -1]", [255, 0, 255]),
    (JSON_TENSOR, "bool", "[true, false]", [True, False]),
    (JSON_TENSOR, "float32", "[1, 2.0, 3, 4, 5.003, 0.007, 0.0]", [1.0, 2.0, 3.0, 4.0, 5.003, 0.007, 0.0]),
    (JSON_TENSOR, "float64", "[1.0, 2, 3, 4, 0.662, 0, 0.0]", [1.0, 2.0, 3.0, 4.0, 0.662, 0.0, 0.0]),
    (JSON_TENSOR, "float32", "[1435774380]", [1435774336.0]),
    (JSON_TENSOR, "float32", "[1435774380.0]", [1435774336.0]),
    (JSON_TENSOR, "float32", f"[{MAX_FLOAT64}, -{MAX_FLOAT64}]", [float("inf"), float("-inf")]),
    (JSON_TENSOR, "float32", f"[{MIN_FLOAT64}, -{MIN_FLOAT64}]", [0.0, -0.0]),
    (JSON_TENSOR, "float64", "[18446744073709551616]", [2.0**64]),
    (JSON_TENSOR, "float64", "[1e308, 1E-3, 1e+2]", [1e308, 1e-3, 100.0]),
    (JSON_TENSOR, "string", '["foo", "bar"]', ["foo", "bar"]),
    (JSON_TENSOR, "string", '["", "\\u00e9\\ud83d\\ude00\\n"]', ["", "é😀\n"]),
    (JSON_TENSOR, "string", '[{"b64": "aGVsbG8="}, {"b64": "d29ybGQ="}]', ["hello", "world"]),
    (JSON_TENSOR, "string", '[[{"b64": "aGVsbG8="}], [{"b64": "d29ybGQ="}]]', [["hello"], ["world"]]),
    (JSON_TENSOR, "string", '[{"x": {"b64": "aGVsbG8="}}]', ["hello"]),
    (JSON_TENSOR, "string", '["plain", {"b64": "aGVsbG8="}]', ["plain", "hello"]),
    (RAPIDJSON, "float64", "[Infinity, -Infinity, Inf, -Inf]", [float(w) for w in ("inf", "-inf") * 2]),
    (RAPIDJSON, "int32", '[1] , "x": ' + "[" * 3000 + "]" * 3000, [1]),
    (RAPIDJSON, "int32", '[1], "instances": [2]', [1]),
    (RAPIDJSON, "int32", "\n\t [ 1 ,\r 2 ] ", [1, 2]),
]


@pytest.mark.parametrize(("source", "dtype", "values", "expected"), ECHOES)
def test_instances_become_one_tensor(post_json, source, dtype, values, expected):
    status, answer = post_json("identities:predict", _echo(dtype, values))
    assert status == 200
    kind = object if dtype == "string" else dtype
    # Texts of numbers may differ in digits that their dtype does not hold.
    assert np.array(answer["predictions"], kind).tolist() == np.array(expected, kind).tolist()


@pytest.mark.parametrize(("source", "dtype", "values", "expected"), ECHOES[:1] + ECHOES[4:9] + ECHOES[12:15])
def test_inputs_become_the_same_tensor(post_json, source, dtype, values, expected):
    status, answer = post_json("identities:predict", f'{{"signature_name": "{dtype}", "inputs": {values}}}')
    assert (status, answer) == (200, {"outputs": expected})


@pytest.mark.parametrize(
    ("source", "inputs", "expected"),
    [
        (JSON_TENSOR, "5", 5),
        (JSON_TENSOR, '{"x": 5}', 5),
        (JSON_TENSOR, '{"x": [[5]], "more": 1}', [[5]]),
        (JSON_TENSOR, "[]", []),
    ],
)
def test_columns_take_scalars_and_pass_over_names_they_do_not_know(post_json, source, inputs, expected):
    body = f'{{"signature_name": "int32", "inputs": {inputs}}}'
    assert post_json("identities:predict", body) == (200, {"outputs": expected})


@pytest.mark.parametrize(
    ("source", "dtype", "values", "words"),
    [
        (JSON_TENSOR, "int32", "[[1,2],[3,4],[5,6,7]]", "Expecting tensor size: 2 but got: 3"),
        (JSON_TENSOR, "int32", "[[1,2],[3,4],[[5,6]]]", "Expecting shape [2] but got: [1,2]"),
        (JSON_TENSOR, "int32", "[1, [1]]", "Expecting shape [] but got: [1]"),
        (
            JSON_TENSOR,
            "int32",
            '[[1,2],["a", "b"]]',
            'JSON Value: "a" Type: String is not of expected type: int32',
        ),
        (
            JSON_TENSOR,
            "int32",
            "[[[1,2],[3]]]",
            "Encountered list at unexpected size: 1 at level: 1 expected size: 2",
        ),
        (JSON_TENSOR, "int32", "[[1,[2]]]", "Encountered list at unexpected level: 1 expected < 1"),
        (
            JSON_TENSOR,
            "int32",
            "[[[1],2]]",
            "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
        ),
        (JSON_TENSOR, "int32", "[1.0]", "JSON Value: 1.0 Type: Number is not of expected type: int32"),
        (JSON_TENSOR, "int32", "[null]", "JSON Value: null Type: Null is not of expected type: int32"),
        (JSON_TENSOR, "int32", "[false]", "JSON Value: false Type: False is not of expected type: int32"),
        (JSON_TENSOR, "int32", '[{"b64": "aGk="}]', "Type: Object is not of expected type: int32"),
        (JSON_TENSOR, "int64", "[9223372036854775808]", "Type: Number is not of expected type: int64"),
        (JSON_TENSOR, "uint64", "[-1]", "JSON Value: -1 Type: Number is not of expected type: uint64"),
        (JSON_TENSOR, "uint32", "[4294967296]", "Type: Number is not of expected type: uint32"),
        (JSON_TENSOR, "bool", "[0]", "JSON Value: 0 Type: Number is not of expected type: bool"),
        (JSON_TENSOR, "float64", '["1"]', 'JSON Value: "1" Type: String is not of expected type: double'),
        (JSON_TENSOR, "float32", "[{}]", "keys must be equal to: x"),
        (JSON_TENSOR, "string", "[1]", "JSON Value: 1 Type: Number is not of expected type: string"),
        (JSON_TENSOR, "string", '[{"b64": "*"}]', "Unable to base64 decode"),
        (JSON_TENSOR, "string", '[{"b64": "aGk-_"}]', "Unable to base64 decode"),
        (JSON_TENSOR, "string", '[{"b64": 5}]', "JSON object: does not have named input: b64"),
        (JSON_TENSOR, "string", '[[{"b64": 5}]]', "not formatted correctly for base64 data"),
        (
            JSON_TENSOR,
            "int32",
            '[[1, 2], {"x": 1}]',
            "Expecting value/list but got object at item 1 of input list",
        ),
        (JSON_TENSOR, "int32", '[{"x": 1}, [1]]', "Expecting object but got list at item 1 of input list"),
        (JSON_TENSOR, "int32", '[{"y": 1}]', "JSON object: does not have named input: y"),
        (JSON_TENSOR, "int32", '[{"x": 1}, {}]', "keys must be equal to: x"),
        (JSON_TENSOR, "int32", "5", "Expecting 'instances' to be an list/array"),
        (JSON_TENSOR, "int32", "{}", "Expecting 'instances' to be an list/array"),
        (JSON_TENSOR, "int32", "[]", "No values in 'instances' array"),
        (
            JSON_TENSOR,
            "int32",
            '[1], "inputs": [1]',
            "expecting only one of 'inputs' or 'instances' keys to exist",
        ),
    ],
)
def test_instances_that_are_no_tensor_are_refused(post_json, source, dtype, values, words):
    status, answer = post_json("identities:predict", _echo(dtype, values))
    assert status == 400
    assert words in answer["error"]


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        ("float16", "half"),
        ("bfloat16", "bfloat16"),
        ("complex64", "complex64"),
        ("complex128", "complex128"),
        ("uint16", "uint16"),
        ("qint8", "qint8"),
    ],
)
def test_dtypes_without_json_form_are_not_implemented(post_json, dtype, name):
    words = f"Conversion of JSON Value: 1 to type: {name}"
    assert post_json("identities:predict", f'{{"signature_name": "{dtype}", "inputs": 1}}') == (
        501,
        {"error": words},
    )
    # Row by row the real server wraps the reason, as an invalid argument.
    status, answer = post_json("identities:predict", _echo(dtype, "[1]"))
    assert status == 400
    assert answer["error"].endswith(f"Error: UNIMPLEMENTED: {words}")


@pytest.mark.parametrize(
    ("source", "instances", "words"),
    [
        (JSON_TENSOR, '[{"a": [1, 2], "b": 1, "c": "x"}, 2]', "Expecting object but got list at item 1"),
        (JSON_TENSOR, "[1]", "instances is a plain list, but expecting list of objects as multiple input"),
        (JSON_TENSOR, '[{"a": [1, 2], "b": 1}]', "keys must be equal to: a,b,c"),
        (JSON_TENSOR, '[{"a": [1, 2], "b": 1.5, "c": ""}]', "element: 0 key: b of 'instances' list."),
        (JSON_TENSOR, '[{"a": [1, 2], "b": 1, "c": "", "d": 1}]', "does not have named input: d"),
        (
            JSON_TENSOR,
            '[{"a": [1, 2], "b": 1, "c": ""}, {"a": [1], "b": 1, "c": ""}]',
            "Expecting tensor size: 2",
        ),
    ],
)
def test_named_instances_are_refused_by_element_and_key(post_json, source, instances, words):
    status, answer = post_json("zoo:predict", f'{{"instances": {instances}}}')
    assert status == 400
    assert words in answer["error"]


@pytest.mark.parametrize(
    ("source", "body", "words"),
    [
        (RAPIDJSON, "", "JSON Parse error: The document is empty"),
        (RAPIDJSON, " \n", "JSON Parse error: The document is empty. at offset: 2"),
        (RAPIDJSON, "instances = [1, 2]", "JSON Parse error: Invalid value. at offset: 0"),
        (RAPIDJSON, '{"instances": tru}', "JSON Parse error: Invalid value. at offset: 17"),
        (RAPIDJSON, '{"instances": -}', "JSON Parse error: Invalid value. at offset: 15"),
        (RAPIDJSON, '{"instances": [1.]}', "JSON Parse error: Miss fraction part in number. at offset: 17"),
        (RAPIDJSON, '{"instances": [1e]}', "JSON Parse error: Miss exponent in number. at offset: 17"),
        (
            RAPIDJSON,
            '{"instances": [01]}',
            "JSON Parse error: Missing a comma or ] after an array element. at offset: 16",
        ),
        (
            RAPIDJSON,
            '{"instances": [1 2]}',
            "JSON Parse error: Missing a comma or ] after an array element. at offset: 17",
        ),
        (RAPIDJSON, '{"instances": [1,]}', "JSON Parse error: Invalid value. at offset: 17"),
        (
            RAPIDJSON,
            '{"instances": [1]',
            "JSON Parse error: Missing a comma or } after an object member. at offset: 17",
        ),
        (
            RAPIDJSON,
            '{"instances" [1]}',
            "JSON Parse error: Missing a colon after a name of object member. at offset: 13",
        ),
        (RAPIDJSON, "{instances: [1]}", "JSON Parse error: Missing a name for object member. at offset: 1"),
        (
            RAPIDJSON,
            '{"instances": [1],}',
            "JSON Parse error: Missing a name for object member. at offset: 18",
        ),
        (
            RAPIDJSON,
            '{"instances": "',
            "JSON Parse error: Missing a closing quotation mark in string. at offset: 15",
        ),
        (
            RAPIDJSON,
            '{"instances": "\\x"}',
            "JSON Parse error: Invalid escape character in string. at offset: 15",
        ),
        (
            RAPIDJSON,
            '{"instances": "\\u12"}',
            "Incorrect hex digit after \\u escape in string. at offset: 15",
        ),
        (RAPIDJSON, '{"instances": "\\udc00"}', "The surrogate pair in string is invalid. at offset: 15"),
        (RAPIDJSON, '{"instances": "a\nb"}', "JSON Parse error: Invalid encoding in string. at offset: 16"),
        (RAPIDJSON, '{"instances": [1e999]}', "Number too big to be stored in double. at offset: 15"),
        (
            RAPIDJSON,
            '{"instances": [' + "9" * 400 + "]}",
            "Number too big to be stored in double. at offset: 15",
        ),
        (RAPIDJSON, "[1, 2]", "JSON Value: [1, 2] Is not object"),
        (RAPIDJSON, '"text"', 'JSON Value: "text" Is not object'),
        (JSON_TENSOR, "{}", "Missing 'inputs' or 'instances' key"),
        (JSON_TENSOR, '{"signature_name": 100}', "'signature_name' key must be a string value."),
        (
            JSON_TENSOR,
            '{"signature_name": ' + "[" * 100_000 + "]" * 100_000 + "}",
            "'signature_name' key must be",
        ),
        (
            HANDLER,
            '{"signature_name": "no", "instances": [1]}',
            'Serving signature name: "no" not found in signature def',
        ),
        (HANDLER, '{"instances": ["x", "y"]}', "not of expected type: float"),
    ],
)
def test_bodies_that_are_no_request_are_told_where(post_json, source, body, words):
    status, answer = post_json("line:predict", body)
    assert status == 400
    assert words in answer["error"]
    assert len(answer["error"]) < 512


@pytest.mark.parametrize(
    ("source", "outputs", "text"),
    [
        (JSON_TENSOR, {"y": np.array([1, 2], np.int32)}, '{"predictions": [1, 2]}'),
        (JSON_TENSOR, {"y": np.zeros((0, 2), np.int32)}, '{"predictions": []}'),
        (
            JSON_TENSOR,
            {"y": np.zeros((0, 1), object), "z": np.zeros((0, 3), np.float32)},
            '{"predictions": []}',
        ),
        (JSON_TENSOR, {"y": np.array([[9e6, 0.5]], np.float32)}, '{"predictions": [[9e+06, 0.5]]}'),
        (JSON_TENSOR, {"y": np.array([0.1, 1 / 3], np.float32)}, '{"predictions": [0.1, 0.33333334]}'),
        (JSON_TENSOR, {"y": np.array([0.1, 1 / 3])}, '{"predictions": [0.1, 0.3333333333333333]}'),
        (JSON_TENSOR, {"y_bytes": np.array([b"\xff"], object)}, '{"predictions": [{"b64": "/w=="}]}'),
        (JSON_TENSOR, {"y": np.array([b"a", b'"'], object)}, '{"predictions": ["a", "\\""]}'),
        (JSON_TENSOR, {"a": np.array([1]), "b": np.array([[2]])}, '{"predictions": [{"a": 1, "b": [2]}]}'),
        (JSON_TENSOR, {"y": np.array([True])}, '{"predictions": [true]}'),
    ],
)
def test_outputs_become_predictions(source, outputs, text):
    assert json.loads(json_output.rows(outputs)) == json.loads(text)


def test_numbers_that_are_whole_or_not_finite_are_written_as_the_real_server_does():
    values = np.array([[np.nan, np.inf], [3, -np.inf]], np.float32)
    assert json_output.rows({"y": values}) == (
        b'{\n    "predictions": [[NaN, Infinity], [3.0, -Infinity]\n    ]\n}'
    )


@pytest.mark.parametrize(
    ("source", "outputs", "words"),
    [
        (JSON_TENSOR, {}, "Cannot convert empty tensor map to JSON"),
        (
            JSON_TENSOR,
            {"y": np.array([1j], np.complex64)},
            "Failed to write JSON value for tensor type: complex64",
        ),
        (JSON_TENSOR, {"y": np.array([1], np.float16)}, "Failed to write JSON value for tensor type: half"),
        (JSON_TENSOR, {"y": np.array(1)}, "Tensor name: y has no shape information "),
        (
            JSON_TENSOR,
            {"a": np.zeros((0, 2)), "b": np.zeros((1, 2))},
            "b has inconsistent batch size: 1 expecting: 0",
        ),
    ],
)
def test_outputs_without_json_form_are_refused(source, outputs, words):
    with pytest.raises(InvalidArgument) as caught:
        json_output.rows(outputs)
    assert words in caught.value.message


@pytest.mark.parametrize("size", range(6))
def test_base64_of_every_length_with_and_without_padding(post_json, size):
    raw = bytes(range(97, 97 + size))
    text = base64.b64encode(raw).decode()
    for spelling in (text, text.rstrip("=")):
        status, answer = post_json("identities:predict", _echo("string", f'[{{"b64": "{spelling}"}}]'))
        assert (status, answer) == (200, {"predictions": [raw.decode()]})


def test_bytes_that_are_no_utf8_reach_the_model_as_they_are(post_json):
    body = b'{"signature_name": "binary", "inputs": ["\xff\xfe"]}'
    status, answer = post_json("zoo:predict", body)
    assert status == 200
    assert answer["outputs"]["copy_bytes"] == [{"b64": "//4="}]
