"""The shell commands that ask a server the same: curl for REST, grpcurl for gRPC."""

import base64
import hashlib
import json
import os
import re
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from google.protobuf import json_format
from google.protobuf.message import Message

from serving.client import forms, requests
from serving.security import PLAIN, Security
from serving.service_names import MODEL, PREDICTION

#: Bytes of a request that stand in the command itself; Linux takes 131,072 in one argument, others less.
LONGEST_ARGUMENT = 32_000


class FileBytes(bytes):
    """The content of a file: a command that is too long otherwise reads the file instead of repeating it."""

    path: Path

    def __new__(cls, content: bytes, path: Path) -> "FileBytes":
        """Take the content, and the file that holds it."""
        instance = super().__new__(cls, content)
        instance.path = path
        return instance

    @property
    def stand_in(self) -> bytes:
        """Bytes that are no text and stand for the content until the command is written."""
        return b"\xff" + hashlib.sha256(os.fsencode(self.path)).digest()


def curl_predict(
    target: str,
    model: str,
    inputs: Mapping[str, Any],
    *,
    signature: str | None = None,
    version: int | None = None,
    label: str | None = None,
    security: Security = PLAIN,
) -> str:
    """Write the curl command of a prediction.

    Args:
        target: host and port of the REST interface.
        model: the model's name.
        inputs: values by input name; bytes travel as base64, in the form that the client sends; large files
            (FileBytes) are named.
        signature: the signature; None means ``serving_default``.
        version: a version by number.
        label: a version by label.
        security: encryption and token of the call.

    Raises:
        UsageError: version and label are both given.
        DataError: an example cannot be decoded.
    """
    body: dict[str, Any] = {} if signature is None else {"signature_name": signature}

    def text(inputs: Mapping[str, Any]) -> str:
        plain = {name: _plain(value) for name, value in inputs.items()}
        return json.dumps(body | {"inputs": plain}, ensure_ascii=False)

    url = f"{_url(target, model, version, label, security)}:predict"
    return _piped(inputs, text, f"curl{security.curl()} -d", "@-", (url,))


def curl_status(target: str, model: str, version: int | None = None, *, security: Security = PLAIN) -> str:
    """Write the curl command that asks for the state of a model's versions."""
    return f"curl{security.curl()} {_words(_url(target, model, version, None, security))}"


def curl_metadata(
    target: str,
    model: str,
    version: int | None = None,
    label: str | None = None,
    *,
    security: Security = PLAIN,
) -> str:
    """Write the curl command that asks for a model's signatures."""
    url = f"{_url(target, model, version, label, security)}/metadata"
    return f"curl{security.curl()} {_words(url)}"


def grpcurl_predict(
    target: str,
    model: str,
    inputs: Mapping[str, Any],
    *,
    signature: str | None = None,
    version: int | None = None,
    label: str | None = None,
    security: Security = PLAIN,
) -> str:
    """Write the grpcurl command of a prediction; arguments and errors as for curl_predict.

    The message descriptions come from the server's reflection; for a server without it (TensorFlow
    Serving has none) grpcurl needs the proto files.
    """
    spec = requests.spec(model, version, label)

    def text(inputs: Mapping[str, Any]) -> str:
        return _json(requests.predict(spec, signature, inputs, content=False))

    command = f"grpcurl{security.grpcurl()} -d"
    return _piped(inputs, text, command, "@", (target, f"{PREDICTION}/Predict"))


def grpcurl_status(target: str, model: str, version: int | None = None, *, security: Security = PLAIN) -> str:
    """Write the grpcurl command that asks for the state of a model's versions."""
    return _grpcurl(target, f"{MODEL}/GetModelStatus", requests.status(model, version), security)


def grpcurl_metadata(
    target: str,
    model: str,
    version: int | None = None,
    label: str | None = None,
    *,
    security: Security = PLAIN,
) -> str:
    """Write the grpcurl command that asks for a model's signatures."""
    request = requests.metadata(requests.spec(model, version, label))
    return _grpcurl(target, f"{PREDICTION}/GetModelMetadata", request, security)


def _grpcurl(target: str, method: str, request: Message, security: Security) -> str:
    return f"grpcurl{security.grpcurl()} -d {_words(_json(request), target, method)}"


def _json(message: Message) -> str:
    return json_format.MessageToJson(message, indent=None, preserving_proto_field_name=True)


def _piped(
    inputs: Mapping[str, Any],
    text: Callable[[Mapping[str, Any]], str],
    before: str,
    reads: str,
    after: tuple[str, ...],
) -> str:
    """Write a command whose request is an argument, or comes through a pipe where that would be too long.

    Args:
        inputs: values by input name.
        text: writes the request of some inputs.
        before: the command in front of the request, as the shell reads it.
        reads: stands in its place where the request is read from standard input.
        after: words behind it.
    """
    inputs = {name: forms.ready(name, value) for name, value in inputs.items()}
    whole = text(inputs)
    if len(whole.encode("utf-8", "replace")) <= LONGEST_ARGUMENT:
        return f"{before} {_words(whole, *after)}"
    files = {one.stand_in: one.path for value in inputs.values() for one in _files(value)}
    paths = {base64.b64encode(mark).decode(): path for mark, path in files.items()}
    request = text({name: _shortened(value) for name, value in inputs.items()})
    # printf belongs to the shell: what it prints is no argument of a process, and so of any length.
    form, *marks = _cut(request.replace("\\", "\\\\").replace("%", "%%"), paths)
    contents = (f"\"$(base64 < {shlex.quote(str(paths[mark]))} | tr -d '\\n')\"" for mark in marks)
    return f"{' '.join(['printf', shlex.quote(form), *contents])} | {before} {_words(reads, *after)}"


def _cut(text: str, marks: Collection[str]) -> list[str]:
    """Put ``%s`` in the place of each mark; give the text, and the marks in their order."""
    if not marks:
        return [text]
    pattern = re.compile("|".join(map(re.escape, marks)))
    return [pattern.sub("%s", text), *pattern.findall(text)]


def _files(value: Any) -> Iterator[FileBytes]:
    for one in np.asarray(value, dtype=object).ravel():
        if isinstance(one, FileBytes):
            yield one


def _shortened(value: Any) -> Any:
    if not any(True for _ in _files(value)):
        return value
    cells = np.asarray(value, dtype=object)
    stand_ins = np.empty(cells.size, dtype=object)
    stand_ins[:] = [one.stand_in if isinstance(one, FileBytes) else one for one in cells.ravel()]
    return stand_ins.reshape(cells.shape)


def _url(target: str, model: str, version: int | None, label: str | None, security: Security) -> str:
    requests.spec(model, version, label)
    choice = "" if version is None else f"/versions/{version}"
    choice = choice if label is None else f"/labels/{quote(label, safe='')}"
    return f"{security.scheme}://{target}/v1/models/{quote(model, safe='')}{choice}"


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
