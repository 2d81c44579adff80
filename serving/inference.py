"""What the prediction service computes, apart from how a request came in.

Follows servables/tensorflow/predict_util.cc, classifier.cc, regressor.cc and util.cc.
"""

from collections.abc import Iterable

import numpy as np
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import predict_pb2

from serving import errors, tensors
from serving.servable import DEFAULT_SIGNATURE, Servable


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
    servable: Servable, request: predict_pb2.PredictRequest, *, content: bool = False
) -> predict_pb2.PredictResponse:
    """Answer a Predict request.

    Args:
        servable: the version that answers.
        request: the request.
        content: answer numbers as tensor_content.

    Raises:
        ServerError: the request does not fit the signature, or the model failed on it.
    """
    name, signature = find_signature(servable, request.model_spec.signature_name)
    check_input_names(signature, request)
    feeds = {signature.inputs[alias].name: value for alias, value in input_values(signature, request).items()}
    aliases = output_aliases(signature, request.output_filter)
    values = servable.run(feeds, [signature.outputs[alias].name for alias in aliases])
    response = predict_pb2.PredictResponse()
    response.model_spec.name = request.model_spec.name
    response.model_spec.signature_name = name
    response.model_spec.version.value = servable.version
    for alias, value in zip(aliases, values, strict=True):
        tensors.encode(value, response.outputs[alias], content=content)
    return response


def check_input_names(signature: meta_graph_pb2.SignatureDef, request: predict_pb2.PredictRequest) -> None:
    """Compare the number of inputs with the signature's.

    Raises:
        InvalidArgument: too many, or too few where the signature has no defaults.
    """
    sent, known = set(request.inputs), set(signature.inputs)
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
    values = {}
    for alias in sorted(signature.inputs):
        if alias in request.inputs:
            values[alias] = tensors.decode(request.inputs[alias], alias)
        elif alias in signature.defaults:
            values[alias] = tensors.decode(signature.defaults[alias], alias, limit=None)
        else:
            raise errors.InvalidArgument(
                f"Signature input alias: {alias}(feed name: {signature.inputs[alias].name}) not found in "
                f"request and no default value provided. Inputs expected to be in the request "
                f"{{{joined(request.inputs)}}}, or default input alias set: {joined(signature.defaults)}"
            )
    used = values.keys() & set(request.inputs)
    if len(used) != len(request.inputs):
        raise errors.InvalidArgument(
            f"Inputs contains invalid name. Used request inputs: {joined(used)}, "
            f"request input: {joined(request.inputs)}"
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
