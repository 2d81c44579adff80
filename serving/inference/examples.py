"""Inference on tf.Example messages: classify, regress and several signatures in one run.

Follows servables/tensorflow/classifier.cc, regressor.cc, multi_inference.cc and util.cc.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    input_pb2,
    model_pb2,
    regression_pb2,
)

from serving import errors, tensors
from serving.engine.servable import Served
from serving.inference.predict import DEFAULT_SIGNATURE

CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"
INPUTS, CLASSES, SCORES, OUTPUTS = "inputs", "classes", "scores", "outputs"


def classify(
    servable: Served, request: classification_pb2.ClassificationRequest, *, check_method: bool = False
) -> classification_pb2.ClassificationResponse:
    """Answer a Classify request.

    Args:
        servable: the version that answers.
        request: the request.
        check_method: insist on the signature's method name.

    Raises:
        ServerError: the signature or the examples do not fit, or the model failed on them.
    """
    signature = find_signature(servable, request.model_spec.signature_name)
    examples_input, fetches = classification(signature, check_method)
    examples = serialized(request.input)
    values = servable.run({examples_input: examples}, fetches)
    response = classification_pb2.ClassificationResponse()
    fill_spec(response.model_spec, request.model_spec, servable)
    tensors = dict(zip(fetches, values, strict=True))
    fill_classifications(response.result, signature, tensors, len(examples))
    return response


def regress(
    servable: Served, request: regression_pb2.RegressionRequest, *, check_method: bool = False
) -> regression_pb2.RegressionResponse:
    """Answer a Regress request.

    Args:
        servable: the version that answers.
        request: the request.
        check_method: insist on the signature's method name.

    Raises:
        ServerError: the signature or the examples do not fit, or the model failed on them.
    """
    signature = find_signature(servable, request.model_spec.signature_name)
    examples_input, fetches = regression(signature, check_method)
    examples = serialized(request.input)
    values = servable.run({examples_input: examples}, fetches)
    response = regression_pb2.RegressionResponse()
    fill_spec(response.model_spec, request.model_spec, servable)
    tensors = dict(zip(fetches, values, strict=True))
    fill_regressions(response.result, signature, tensors, len(examples))
    return response


def multi_inference(
    servable: Served, request: inference_pb2.MultiInferenceRequest, *, check_method: bool = False
) -> inference_pb2.MultiInferenceResponse:
    """Answer a MultiInference request: all its tasks in one run of the graph.

    Args:
        servable: the version that answers.
        request: the request.
        check_method: insist on the signatures' method names.

    Raises:
        ServerError: a task or the examples do not fit, or the model failed on them.
    """
    signatures: dict[str, SignatureDef] = {}
    inputs: set[str] = set()
    outputs: set[str] = set()
    for task in request.tasks:
        name, signature = _task_signature(servable, request, task, signatures)
        tensor, fetches = _METHODS[task.method_name][0](signature, check_method)
        signatures[name] = signature
        inputs.add(tensor)
        outputs.update(fetches)
    examples = serialized(request.input)
    fetches = sorted(outputs)
    values = servable.run(dict.fromkeys(sorted(inputs), examples), fetches)
    tensors = dict(zip(fetches, values, strict=True))
    response = inference_pb2.MultiInferenceResponse()
    for task, signature in zip(request.tasks, signatures.values(), strict=True):
        result = response.results.add()
        _, fill, field = _METHODS[task.method_name]
        fill(getattr(result, field), signature, tensors, len(examples))
        fill_spec(result.model_spec, task.model_spec, servable)
    return response


def _task_signature(
    servable: Served,
    request: inference_pb2.MultiInferenceRequest,
    task: inference_pb2.InferenceTask,
    signatures: Mapping[str, SignatureDef],
) -> tuple[str, SignatureDef]:
    spec = task.model_spec
    if not spec.name:
        raise errors.InvalidArgument("Found ModelSpec with an empty model name.")
    if spec.name != request.tasks[0].model_spec.name:
        raise errors.InvalidArgument(
            "All ModelSpecs in a MultiInferenceRequest must access the same model name."
        )
    name = spec.signature_name or DEFAULT_SIGNATURE
    if name in signatures:
        raise errors.InvalidArgument(f"Duplicate evaluation of signature: {name}")
    if name not in servable.signatures:
        raise errors.InvalidArgument(f"Requested signature not found in model graph: {name}")
    if task.method_name not in _METHODS:
        raise errors.Unimplemented(f"Unsupported signature method_name: {task.method_name}")
    return name, servable.signatures[name]


def find_signature(servable: Served, name: str) -> SignatureDef:
    """Find a signature for examples; an empty name means ``serving_default``.

    Raises:
        InvalidArgument: the model has none of that name.
    """
    chosen = name or DEFAULT_SIGNATURE
    if chosen not in servable.signatures:
        raise errors.InvalidArgument(f"No signature was found with the name: {chosen}")
    return servable.signatures[chosen]


def classification(signature: SignatureDef, check_method: bool) -> tuple[str, list[str]]:
    """Return the tensor that takes the examples and those that hold classes and scores.

    Raises:
        InvalidArgument: the signature is none for classification.
    """
    _check_method(signature, CLASSIFY, "classification", check_method)
    _check_inputs(signature)
    if len(signature.outputs) not in (1, 2):
        raise errors.InvalidArgument(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    _check_named(signature.inputs, INPUTS, "No classification inputs found in SignatureDef: ", signature)
    fetches = [signature.outputs[alias].name for alias in (CLASSES, SCORES) if alias in signature.outputs]
    if not fetches:
        raise errors.InvalidArgument(
            "Expected classification signature outputs to contain at least one of "
            f'"{CLASSES}" or "{SCORES}". Signature was: {signature}'
        )
    return signature.inputs[INPUTS].name, fetches


def regression(signature: SignatureDef, check_method: bool) -> tuple[str, list[str]]:
    """Return the tensor that takes the examples and the one that holds the values.

    Raises:
        InvalidArgument: the signature is none for regression.
    """
    _check_method(signature, REGRESS, "regression", check_method)
    _check_inputs(signature)
    if len(signature.outputs) != 1:
        raise errors.InvalidArgument("Expected one output Tensor.")
    _check_named(signature.inputs, INPUTS, "No regression inputs found in SignatureDef: ", signature)
    _check_named(signature.outputs, OUTPUTS, "No regression outputs found in SignatureDef: ", signature)
    return signature.inputs[INPUTS].name, [signature.outputs[OUTPUTS].name]


def _check_method(signature: SignatureDef, method: str, kind: str, checked: bool) -> None:
    if checked and signature.method_name != method:
        raise errors.InvalidArgument(
            f"Expected {kind} signature method_name to be {method}. Was: {signature.method_name}"
        )


def _check_inputs(signature: SignatureDef) -> None:
    if len(signature.inputs) != 1:
        raise errors.InvalidArgument("Expected one input Tensor.")


def _check_named(present: Mapping[str, Any], alias: str, message: str, signature: SignatureDef) -> None:
    if alias not in present:
        raise errors.InvalidArgument(f"{message}{signature}")


def serialized(examples: input_pb2.Input) -> np.ndarray:
    """Return the request's examples as serialized messages, each preceded by the context.

    Raises:
        InvalidArgument: there is none.
    """
    kind = examples.WhichOneof("kind")
    listed = getattr(examples, kind).examples if kind else ()
    if not listed:
        raise errors.InvalidArgument("Input is empty.")
    # Two messages one after the other are one message in which the second's features win.
    head = examples.example_list_with_context.context.SerializeToString() if "context" in kind else b""
    values = np.empty(len(listed), object)
    values[:] = [head + example.SerializeToString() for example in listed]
    return values


def fill_spec(spec: model_pb2.ModelSpec, asked: model_pb2.ModelSpec, servable: Served) -> None:
    """Set the model, version and signature in an answer."""
    spec.name = asked.name
    spec.signature_name = asked.signature_name or DEFAULT_SIGNATURE
    spec.version.value = servable.version


def fill_classifications(
    result: classification_pb2.ClassificationResult,
    signature: SignatureDef,
    outputs: Mapping[str, np.ndarray],
    count: int,
) -> None:
    """Write classes and scores of each example.

    Raises:
        InvalidArgument: the model's outputs are not of shape [examples, classes], or of another dtype.
    """
    classes, scores = (
        outputs[signature.outputs[alias].name] if alias in signature.outputs else None
        for alias in (CLASSES, SCORES)
    )
    for values, name, dtype in ((classes, CLASSES, "DT_STRING"), (scores, SCORES, "DT_FLOAT")):
        if values is not None:
            _check_matrix(values, name, dtype, count)
    if classes is not None and scores is not None and classes.shape[1] != scores.shape[1]:
        raise errors.InvalidArgument(
            "Tensors class and score should match in dim_size(1). Got "
            f"{classes.shape[1]} vs. {scores.shape[1]}"
        )
    for row in range(count):
        entry = result.classifications.add()
        labels = [None] * scores.shape[1] if classes is None else classes[row].tolist()  # type: ignore[union-attr]
        weights = [None] * len(labels) if scores is None else scores[row].tolist()
        for label, weight in zip(labels, weights, strict=True):
            # A label that is no text cannot travel in a string field.
            entry.classes.add(label=label and label.decode(errors="replace"), score=weight)


def _check_matrix(values: np.ndarray, name: str, dtype: str, count: int) -> None:
    if values.ndim != 2:
        raise errors.InvalidArgument(
            f"Expected Tensor shape: [batch_size num_classes] but got {_shape(values)}"
        )
    if _dtype(values) != dtype:
        raise errors.InvalidArgument(f"Expected {name} Tensor of {dtype}. Got: {_dtype(values)}")
    if len(values) != count:
        raise errors.InvalidArgument(f"Expected {name} output batch size of {count}. Got: {len(values)}")


def fill_regressions(
    result: regression_pb2.RegressionResult,
    signature: SignatureDef,
    outputs: Mapping[str, np.ndarray],
    count: int,
) -> None:
    """Write the value of each example.

    Raises:
        InvalidArgument: the model's output is not one float for each example.
    """
    values = outputs[signature.outputs[OUTPUTS].name]
    if not (values.ndim == 1 or (values.ndim == 2 and values.shape[1] == 1)):
        raise errors.InvalidArgument(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "
            f"{_shape(values)}"
        )
    if len(values) != count:
        raise errors.InvalidArgument(
            f"Input batch size did not match output batch size: {count} vs. {len(values)}"
        )
    if _dtype(values) != "DT_FLOAT":
        raise errors.InvalidArgument(f"Expected output Tensor of DT_FLOAT.  Got: {_dtype(values)}")
    for value in values.reshape(-1).tolist():
        result.regressions.add(value=value)


def _dtype(values: np.ndarray) -> str:
    return types_pb2.DataType.Name(tensors.dtype_enum(values.dtype))


def _shape(values: np.ndarray) -> str:
    return f"[{','.join(map(str, values.shape))}]"


_Check = Callable[[SignatureDef, bool], tuple[str, Sequence[str]]]
_METHODS: dict[str, tuple[_Check, Callable[..., None], str]] = {
    CLASSIFY: (classification, fill_classifications, "classification_result"),
    REGRESS: (regression, fill_regressions, "regression_result"),
}
