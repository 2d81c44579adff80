"""Classify and regress requests in TensorFlow Serving's JSON format: parsed text to tf.Examples.

Follows util/json_tensor.cc.
"""

from collections.abc import Mapping
from typing import Any

from tensorflow.core.example import example_pb2, feature_pb2
from tensorflow_serving.apis import input_pb2

from serving.errors import InvalidArgument
from serving.rest.json_input import is_base64, is_named, raw, unbase64
from serving.rest.json_text import excerpt, type_name

CONTEXT, EXAMPLES = "context", "examples"


def examples(document: Mapping[str, Any]) -> input_pb2.Input:
    """Read the examples of a classify or regress request, with their common context if there is one.

    Raises:
        InvalidArgument: there are none, or a feature holds values of more than one kind.
    """
    request = input_pb2.Input()
    context = document.get(CONTEXT)
    if CONTEXT in document:
        request.example_list_with_context.context.CopyFrom(example(context))
    if EXAMPLES not in document:
        raise InvalidArgument(
            f"JSON Value: {excerpt(document)} When method is classify, key 'examples' is expected and was "
            "not found"
        )
    rows = document[EXAMPLES]
    if not isinstance(rows, list):
        raise InvalidArgument(
            f"JSON Value: {excerpt(document)} Expecting 'examples' value to be an list/array"
        )
    if not rows:
        raise InvalidArgument(f"JSON Value: {excerpt(document)} 'examples' value is an empty array")
    target = request.example_list_with_context if CONTEXT in document else request.example_list
    target.examples.extend(map(example, rows))
    return request


def example(value: Any) -> example_pb2.Example:
    """Make a tf.Example of an object from feature names to a value or a list of values."""
    if not isinstance(value, dict):
        raise InvalidArgument(f"Example must be JSON object but got JSON {type_name(value)}")
    message = example_pb2.Example()
    for name, content in value.items():
        feature = feature_pb2.Feature()
        for item in content if isinstance(content, list) else [content]:
            _add(feature, name, item)
        message.features.feature[name].CopyFrom(feature)
    return message


def _add(feature: feature_pb2.Feature, name: str, value: Any) -> None:
    if value is None or isinstance(value, list) or is_named(value):
        raise InvalidArgument(f"Feature: {name} has element with unexpected JSON type: {type_name(value)}")
    kind = {float: "float_list", bool: "int64_list", int: "int64_list"}.get(type(value), "bytes_list")
    present = feature.WhichOneof("kind")
    if present not in (None, kind):
        words = present.removesuffix("_list")
        raise InvalidArgument(f"Unexpected element type in feature: {name} expecting type: {words}")
    if kind == "bytes_list":
        value = unbase64(value) if is_base64(value) else raw(value)
    elif isinstance(value, int) and value > 2**63 - 1:
        raise InvalidArgument(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
    getattr(feature, kind).value.append(value)
