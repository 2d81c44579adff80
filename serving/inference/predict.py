"""What the prediction service computes, apart from how a request came in.

Follows servables/tensorflow/predict_util.cc, classifier.cc, regressor.cc and util.cc.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import predict_pb2

from serving import errors, tensors
from serving.engine.servable import DEFAULT_SIGNATURE, Served

#: Method names that a signature called by Predict can have where they are checked.
METHODS = ("tensorflow/serving/predict", "tensorflow/serving/classify", "tensorflow/serving/regress")

#: Combinations of names remembered per version; further ones are checked each time.
MAX_PLANS = 256


def joined(names: Iterable[str]) -> str:
    """Join names as the server's messages do: sorted, with commas, no blanks."""
    return ",".join(sorted(names))


def find_signature(servable: Served, name: str) -> tuple[str, meta_graph_pb2.SignatureDef]:
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
    servable: Served,
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
    sent = sorted(request.inputs)
    plan = planned(
        servable, request.model_spec.signature_name, sent, request.output_filter, check_method=check_method
    )
    arrays = [tensors.decode(request.inputs[alias], alias) for alias in sent]
    values = run(servable, plan, arrays)
    response = predict_pb2.PredictResponse.FromString(plan.head)
    for alias, value in values.items():
        tensors.encode(value, response.outputs[alias], content=content)
    return response


def predict_arrays(
    servable: Served,
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
    sent = sorted(arrays)
    plan = planned(servable, signature_name, sent, output_filter, check_method=check_method)
    return plan.signature, run(servable, plan, [arrays[alias] for alias in sent])


class Plan(NamedTuple):
    """How one combination of a signature, inputs and outputs runs.

    Attributes:
        signature: the signature's name.
        feeds: tensor names of the inputs that are sent, in the order of their aliases.
        defaults: values by tensor name for the inputs that are left out.
        aliases: the outputs.
        fetches: their tensor names.
        head: what an answer to Predict says beside its outputs, serialised: to parse it costs less than to
            set its fields one by one.
    """

    signature: str
    feeds: tuple[str, ...]
    defaults: dict[str, np.ndarray]
    aliases: tuple[str, ...]
    fetches: tuple[str, ...]
    head: bytes


def planned(
    servable: Served,
    signature_name: str,
    sent: Sequence[str],
    output_filter: Iterable[str],
    *,
    check_method: bool = False,
) -> Plan:
    """Check names against a signature and give its plan, which the servable remembers.

    Args:
        servable: the version that answers.
        signature_name: an empty name means ``serving_default``.
        sent: aliases of the inputs that are sent, sorted.
        output_filter: aliases of the outputs to give; all where it is empty.
        check_method: insist on the signature's method name.

    Raises:
        ServerError: the names do not fit the signature.
    """
    key = (signature_name, *sent, None, *output_filter, check_method)
    plan = servable.plans.get(key)
    if plan is None:
        plan = _plan(servable, signature_name, sent, output_filter, check_method)
        if len(servable.plans) < MAX_PLANS:
            servable.plans[key] = plan
    return plan


def _plan(
    servable: Served,
    signature_name: str,
    sent: Sequence[str],
    output_filter: Iterable[str],
    check_method: bool,
) -> Plan:
    name, signature = find_signature(servable, signature_name)
    check_method_name(signature, check_method)
    check_input_names(signature, sent)
    left_out = defaults(signature, sent)
    aliases = output_aliases(signature, output_filter)
    head = predict_pb2.PredictResponse()
    head.model_spec.name, head.model_spec.signature_name = servable.name, name
    head.model_spec.version.value = servable.version
    return Plan(
        name,
        tuple(signature.inputs[alias].name for alias in sent),
        {signature.inputs[alias].name: value for alias, value in left_out.items()},
        tuple(aliases),
        tuple(signature.outputs[alias].name for alias in aliases),
        head.SerializeToString(),
    )


def run(servable: Served, plan: Plan, arrays: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
    """Run a plan on the inputs that were sent and give its outputs by alias."""
    feeds = {**plan.defaults, **dict(zip(plan.feeds, arrays, strict=True))}
    return dict(zip(plan.aliases, servable.run(feeds, plan.fetches), strict=True))


def check_method_name(signature: meta_graph_pb2.SignatureDef, checked: bool) -> None:
    """Refuse a signature of an unknown method where method names are checked.

    Raises:
        Internal: its method name is none of TensorFlow Serving's.
    """
    if checked and signature.method_name not in METHODS:
        raise errors.Internal(
            f"Expected prediction signature method_name to be one of {{{', '.join(METHODS)}}}. "
            f"Was: {signature.method_name}"
        )


def check_input_names(signature: meta_graph_pb2.SignatureDef, inputs: Iterable[str]) -> None:
    """Compare the number of inputs with the signature's.

    Raises:
        InvalidArgument: too many, or too few where the signature has no defaults.
    """
    sent, declared = set(inputs), set(signature.inputs)
    if len(sent) == len(declared) or (len(sent) < len(declared) and signature.defaults):
        return
    raise errors.InvalidArgument(
        f"input size does not match signature: {len(sent)}!={len(declared)} len({{{joined(sent)}}}) != "
        f"len({{{joined(declared)}}}). Sent extra: {{{joined(sent - declared)}}}. "
        f"Missing but required: {{{joined(declared - sent)}}}."
    )


def defaults(signature: meta_graph_pb2.SignatureDef, sent: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the signature's defaults for the missing inputs, by alias.

    Raises:
        InvalidArgument: an input is missing or unknown.
    """
    values = {}
    for alias in sorted(set(signature.inputs) - set(sent)):
        if alias not in signature.defaults:
            raise errors.InvalidArgument(
                f"Signature input alias: {alias}(feed name: {signature.inputs[alias].name}) not found in "
                f"request and no default value provided. Inputs expected to be in the request "
                f"{{{joined(sent)}}}, or default input alias set: {joined(signature.defaults)}"
            )
        values[alias] = tensors.decode(signature.defaults[alias], alias, limit=None)
    used = set(sent) & set(signature.inputs)
    if len(used) != len(sent):
        raise errors.InvalidArgument(
            f"Inputs contains invalid name. Used request inputs: {joined(used)}, "
            f"request input: {joined(sent)}"
        )
    return values


def output_aliases(signature: meta_graph_pb2.SignatureDef, names: Iterable[str]) -> list[str]:
    """Name the outputs to compute: those requested, or all.

    Raises:
        InvalidArgument: one is unknown or requested twice.
    """
    aliases: list[str] = []
    for alias in names:
        if alias not in signature.outputs:
            raise errors.InvalidArgument(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in the set "
                f"{{{joined(signature.outputs)}}}."
            )
        if alias in aliases:
            raise errors.InvalidArgument(f"duplicate output tensor alias: {alias}")
        aliases.append(alias)
    return aliases or sorted(signature.outputs)
