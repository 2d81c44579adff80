"""What a client sends: requests made of names and NumPy arrays."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf.message import Message

from features.errors import UsageError
from serving import messages, tensors
from serving.client import forms
from serving.client.answers import DEFAULT_SIGNATURE, SIGNATURE_DEF, Metadata


def spec(model: str, version: int | None, label: str | None) -> Message:
    """Name a model and the version of it that is asked for.

    Raises:
        UsageError: version and label are both given, or one of them cannot be sent.
    """
    if version is not None and label is not None:
        raise UsageError(
            "both a version and a label are given", got=f"version {version} and label {label}", expected="one"
        )
    try:
        message = messages.ModelSpec(name=model)
        if version is not None:
            message.version.value = version
        elif label is not None:
            message.version_label = label
    except ValueError as error:  # beyond 64 bits, or no Unicode
        raise UsageError(
            "not the name or version of a model",
            got=ascii(version if version is not None else label or model),
        ) from error
    return message


def predict(
    asked: Message,
    signature: str | None,
    inputs: Mapping[str, Any],
    known: Metadata | None = None,
    *,
    content: bool = True,
) -> Message:
    """Make a Predict request.

    Args:
        asked: the model and version.
        signature: the signature; None means ``serving_default``.
        inputs: values by input name.
        known: the model's signatures: numbers that are no arrays take the dtypes they name.
        content: send numbers as bytes; False sends them readable, in typed fields.
    """
    request = messages.PredictRequest(model_spec=asked)
    request.model_spec.signature_name = signature or ""
    for name, value in arrays(inputs, signature, known).items():
        tensors.encode(value, request.inputs[name], content=content)
    return request


def arrays(
    inputs: Mapping[str, Any], signature: str | None, known: Metadata | None = None
) -> dict[str, np.ndarray]:
    """Make an array of each input, examples in the form that the graph takes; arguments as of `predict`."""
    return {name: array(forms.ready(name, value), name, signature, known) for name, value in inputs.items()}


def needs_metadata(inputs: Mapping[str, Any]) -> bool:
    """Return whether a value among the inputs takes its dtype from the model's signature."""
    return any(_is_open(value) for value in inputs.values())


def _is_open(value: Any) -> bool:
    if isinstance(value, np.ndarray | np.generic | str | bytes):
        return False
    try:
        return np.asarray(value).dtype.kind not in "SUO"
    except UnicodeDecodeError:
        # Text and bytes in one list.
        return False
    except ValueError as error:
        raise UsageError(
            "an input is not an array", got=error, expected="lists of one length at each depth"
        ) from None


def array(value: Any, name: str, signature: str | None, known: Metadata | None) -> np.ndarray:
    """Make an array of a value: arrays stay as they are, text becomes objects."""
    if isinstance(value, np.ndarray | np.generic):
        return np.asarray(value)
    if not _is_open(value):
        return _text(value)
    values = np.asarray(value)
    signature_spec = known.signatures.get(signature or DEFAULT_SIGNATURE) if known else None
    tensor_spec = signature_spec.inputs.get(name) if signature_spec else None
    if tensor_spec is None or tensor_spec.dtype == "string":
        return values
    return values.astype(tensors.dtype_named(tensor_spec.dtype))


def _text(value: Any) -> np.ndarray:
    # NumPy's own text arrays would cut trailing NUL bytes.
    objects = np.asarray(value, dtype=object)
    return objects if objects.shape else objects.reshape(())


def status(model: str, version: int | None) -> Message:
    """Make a GetModelStatus request."""
    return messages.GetModelStatusRequest(model_spec=spec(model, version, None))


def metadata(asked: Message) -> Message:
    """Make a GetModelMetadata request."""
    return messages.GetModelMetadataRequest(model_spec=asked, metadata_field=[SIGNATURE_DEF])
