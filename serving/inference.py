"""What the prediction service computes, apart from how a request came in.

Follows servables/tensorflow/predict_util.cc, classifier.cc, regressor.cc and util.cc.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import predict_pb2

from serving import errors, tensors
from serving.servable import DEFAULT_SIGNATURE, Servable

#: Method names that a signature called by Predict can have where they are checked.
METHODS = ("tensorflow/serving/predict", "tensorflow/serving/classify", "tensorflow/serving/regress")


def joined(names: Iterable[str]) -> str:
    """Join names as the server's messages do: sorted, with commas, no blanks."""
    return ",".join(sorted(names))


def find_signature(servable: Servable, name: str) -> tuple[str, meta_graph_pb2.SignatureDef]:
    """Find a signature; an empty name means ``serving_default``.

    Raises:
        FailedPrecondition: the model has none of that name.
    """
    chosen = name or DEFAULT_SIGNATURE
    signature = servable.signatures.get(chosen)
    if signature is None:
        raise errors.FailedPrecondition(f'Serving signature key "{chosen}" not found.')
    return chosen, signature


def predict(
    servable: Servable,
    request: predict_pb2.PredictRequest,
    *,
    content: bool = False,
    check_method: bool = False,
) -> predict_pb2.PredictResponse:
    """Answer a Predict request.

    Args:
        servable: the version that answers.
        request: the request.
        content: answer numbers as tensor_content.
        check_method: insist on the signature's method name.

    Raises:
        ServerError: the request does not fit the signature, or the model failed on it.
    """
    name, signature = find_signature(servable, request.model_spec.signature_name)
    check_method_name(signature, check_method)
    check_input_names(signature, request.inputs)
    values = run(servable, signature, input_values(signature, request), request.output_filter)
    response = predict_pb2.PredictResponse()
    response.model_spec.name = request.model_spec.name
    response.model_spec.signature_name = name
    response.model_spec.version.value = servable.version
    for alias, value in values.items():
        tensors.encode(value, response.outputs[alias], content=content)
    return response


def predict_arrays(
    servable: Servable,
    signature_name: str,
    arrays: Mapping[str, np.ndarray],
    output_filter: Iterable[str] = (),
    *,
    check_method: bool = False,
) -> tuple[str, dict[str, np.ndarray]]:
    """Call a signature on arrays, and give its name and its outputs by alias.

    Args:
        servable: the version that answers.
        signature_name: an empty name means ``serving_default``.
        arrays: inputs by alias; defaults of the signature fill in for those left out.
        output_filter: aliases of the outputs to give; all where it is empty.
        check_method: insist on the signature's method name.

    Raises:
        ServerError: the inputs do not fit the signature, or the model failed on them.
    """
    name, signature = find_signature(servable, signature_name)
    check_method_name(signature, check_method)
    check_input_names(signature, arrays)
    return name, run(servable, signature, with_defaults(signature, arrays), output_filter)


def run(
    servable: Servable,
    signature: meta_graph_pb2.SignatureDef,
    values: Mapping[str, np.ndarray],
    output_filter: Iterable[str],
) -> dict[str, np.ndarray]:
    """Run the graph from inputs by alias to outputs by alias, as a signature names its tensors."""
    feeds = {signature.inputs[alias].name: value for alias, value in values.items()}
    aliases = output_aliases(signature, output_filter)
    found = servable.run(feeds, [signature.outputs[alias].name for alias in aliases])
    return dict(zip(aliases, found, strict=True))


def check_method_name(signature: meta_graph_pb2.SignatureDef, wanted: bool) -> None:
    """Refuse a signature of an unknown method where method names are checked.

    Raises:
        Internal: its method name is none of TensorFlow Serving's.
    """
    if wanted and signature.method_name not in METHODS:
        raise errors.Internal(
            f"Expected prediction signature method_name to be one of {{{', '.join(METHODS)}}}. "
            f"Was: {signature.method_name}"
        )


def check_input_names(signature: meta_graph_pb2.SignatureDef, inputs: Iterable[str]) -> None:
    """Compare the number of inputs with the signature's.

    Raises:
        InvalidArgument: too many, or too few where the signature has no defaults.
    """
    sent, known = set(inputs), set(signature.inputs)
    if len(sent) == len(known) or (len(sent) < len(known) and signature.defaults):
        return
    raise errors.InvalidArgument(
        f"input size does not match signature: {len(sent)}!={len(known)} len({{{joined(sent)}}}) != "
        f"len({{{joined(known)}}}). Sent extra: {{{joined(sent - known)}}}. "
        f"Missing but required: {{{joined(known - sent)}}}."
    )


def input_values(
    signature: meta_graph_pb2.SignatureDef, request: predict_pb2.PredictRequest
) -> dict[str, np.ndarray]:
    """Read the request's tensors by alias, with the signature's defaults for those left out.

    Raises:
        InvalidArgument: one is missing, unknown or cannot be read.
        ResourceExhausted: one declares far more values than it brings.
    """
    return with_defaults(
        signature, {alias: tensors.decode(request.inputs[alias], alias) for alias in sorted(request.inputs)}
    )


def with_defaults(
    signature: meta_graph_pb2.SignatureDef, inputs: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Add the signature's defaults for inputs left out.

    Raises:
        InvalidArgument: one is missing or unknown.
    """
    values = {}
    for alias in sorted(signature.inputs):
        if alias in inputs:
            values[alias] = inputs[alias]
        elif alias in signature.defaults:
            values[alias] = tensors.decode(signature.defaults[alias], alias, limit=None)
        else:
            raise errors.InvalidArgument(
                f"Signature input alias: {alias}(feed name: {signature.inputs[alias].name}) not found in "
                f"request and no default value provided. Inputs expected to be in the request "
                f"{{{joined(inputs)}}}, or default input alias set: {joined(signature.defaults)}"
            )
    used = values.keys() & set(inputs)
    if len(used) != len(inputs):
        raise errors.InvalidArgument(
            f"Inputs contains invalid name. Used request inputs: {joined(used)}, "
            f"request input: {joined(inputs)}"
        )
    return values


def output_aliases(signature: meta_graph_pb2.SignatureDef, wanted: Iterable[str]) -> list[str]:
    """Name the outputs to compute: those asked for, or all.

    Raises:
        InvalidArgument: one is unknown or asked for twice.
    """
    aliases: list[str] = []
    for alias in wanted:
        if alias not in signature.outputs:
            raise errors.InvalidArgument(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in the set "
                f"{{{joined(signature.outputs)}}}."
            )
        if alias in aliases:
            raise errors.InvalidArgument(f"duplicate output tensor alias: {alias}")
        aliases.append(alias)
    return aliases or sorted(signature.outputs)
