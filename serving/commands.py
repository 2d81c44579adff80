"""The shell commands that ask a server the same: curl for REST, grpcurl for gRPC."""

import base64
import json
import shlex
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import numpy as np
from google.protobuf import json_format
from google.protobuf.message import Message

from serving import requests, sounds

PREDICTION = "tensorflow.serving.PredictionService"
MODEL = "tensorflow.serving.ModelService"


def curl_predict(
    target: str,
    model: str,
    inputs: Mapping[str, Any],
    *,
    signature: str | None = None,
    version: int | None = None,
    label: str | None = None,
) -> str:
    """Write the curl command of a prediction.

    Args:
        target: host and port of the REST interface.
        model: the model's name.
        inputs: values by input name; bytes travel as base64.
        signature: the signature; None means ``serving_default``.
        version: a version by number.
        label: a version by label.

    Raises:
        UsageError: version and label are both given.
        DataError: a sound cannot be decoded.
    """
    body: dict[str, Any] = {} if signature is None else {"signature_name": signature}
    body["inputs"] = {name: _plain(sounds.ready(name, value)) for name, value in inputs.items()}
    text = json.dumps(body, ensure_ascii=False)
    return _words("curl", "-d", text, f"{_url(target, model, version, label)}:predict")


def curl_status(target: str, model: str, version: int | None = None) -> str:
    """Write the curl command that asks for the state of a model's versions."""
    return _words("curl", _url(target, model, version, None))


def curl_metadata(target: str, model: str, version: int | None = None, label: str | None = None) -> str:
    """Write the curl command that asks for a model's signatures."""
    return _words("curl", f"{_url(target, model, version, label)}/metadata")


def grpcurl_predict(
    target: str,
    model: str,
    inputs: Mapping[str, Any],
    *,
    signature: str | None = None,
    version: int | None = None,
    label: str | None = None,
) -> str:
    """Write the grpcurl command of a prediction; arguments and errors as for curl_predict.

    The message descriptions come from the server's reflection; for a server without it (TensorFlow
    Serving has none) grpcurl needs the proto files.
    """
    asked = requests.spec(model, version, label)
    request = requests.predict(asked, signature, inputs, content=False)
    return _grpcurl(target, f"{PREDICTION}/Predict", request)


def grpcurl_status(target: str, model: str, version: int | None = None) -> str:
    """Write the grpcurl command that asks for the state of a model's versions."""
    return _grpcurl(target, f"{MODEL}/GetModelStatus", requests.status(model, version))


def grpcurl_metadata(target: str, model: str, version: int | None = None, label: str | None = None) -> str:
    """Write the grpcurl command that asks for a model's signatures."""
    request = requests.metadata(requests.spec(model, version, label))
    return _grpcurl(target, f"{PREDICTION}/GetModelMetadata", request)


def _grpcurl(target: str, method: str, request: Message) -> str:
    text = json_format.MessageToJson(request, indent=None, preserving_proto_field_name=True)
    return _words("grpcurl", "-plaintext", "-d", text, target, method)


def _url(target: str, model: str, version: int | None, label: str | None) -> str:
    requests.spec(model, version, label)
    choice = "" if version is None else f"/versions/{version}"
    choice = choice if label is None else f"/labels/{quote(label, safe='')}"
    return f"http://{target}/v1/models/{quote(model, safe='')}{choice}"


def _words(*words: str) -> str:
    return " ".join(map(shlex.quote, words))


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return _text(value)
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value


def _text(value: bytes) -> Any:
    # What is text stays readable; curl's reader would not get other bytes through.
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode()}
