"""Ask a served model about files and put its answer in plain data."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import NoInputError
from serving import commands as shell
from serving.client import Client


def answers(
    name: str,
    files: Sequence[Path],
    *,
    target: str,
    signature: str | None = None,
    version: int | None = None,
    timeout: float = 30.0,
) -> Iterator[dict[str, Any]]:
    """Send each file's bytes to a signature with one string input and yield its answer.

    Yields:
        For a classifier: input, label, score, scores (label to score), model, version. For any
        other signature: input, every output by name, model, version.

    Raises:
        NoInputError: a file does not exist; raised before anything is sent.
    """
    _require(files)
    with Client(target, timeout=timeout) as client:
        metadata = client.metadata(name, version=version)
        chosen = metadata.signature(signature)
        argument = next(iter(chosen.inputs))
        for path in files:
            content = np.array([path.read_bytes()], dtype=object)
            answer = client.predict(name, {argument: content}, signature=signature, version=version)
            yield {"input": str(path), **_plain(answer), "model": name, "version": answer.version}


def commands(
    name: str,
    files: Sequence[Path],
    *,
    target: str,
    rest_target: str | None = None,
    signature: str | None = None,
    version: int | None = None,
    timeout: float = 30.0,
) -> Iterator[str]:
    """Write the shell command that asks the same of each file.

    Args:
        name: the model.
        files: to send.
        target: of the gRPC interface; it is asked for the name of the input.
        rest_target: of the REST interface: curl commands; None: grpcurl commands.
        signature: None for ``serving_default``.
        version: None for the server's choice.
        timeout: seconds to wait.

    Raises:
        NoInputError: a file does not exist.
    """
    _require(files)
    with Client(target, timeout=timeout) as client:
        argument = next(iter(client.metadata(name, version=version).signature(signature).inputs))
    for path in files:
        inputs = {argument: [path.read_bytes()]}
        if rest_target is None:
            yield shell.grpcurl_predict(target, name, inputs, signature=signature, version=version)
        else:
            yield shell.curl_predict(rest_target, name, inputs, signature=signature, version=version)


def _require(files: Sequence[Path]) -> None:
    missing = [str(path) for path in files if not path.is_file()]
    if missing:
        raise NoInputError(
            "no such file", got=", ".join(missing[:5]), todo="check the paths given to predict"
        )


def _plain(answer: Any) -> dict[str, Any]:
    outputs = {key: _row(value) for key, value in answer.items()}
    labels = outputs.pop("labels", None)
    if isinstance(labels, list) and isinstance(outputs.get("scores"), list):
        outputs["scores"] = dict(zip(labels, outputs["scores"], strict=True))
    return outputs


def _row(value: np.ndarray) -> Any:
    row = value[0]
    if isinstance(row, bytes):
        return row.decode("utf-8", "replace")
    if isinstance(row, np.ndarray) and row.dtype == object:
        return [cell.decode("utf-8", "replace") for cell in row.ravel()]
    return row.tolist()


def sentence(answer: dict[str, Any]) -> str:
    """Put an answer in one line for people."""
    from flows.terminal import printable

    if "label" not in answer:
        return printable(str(answer))
    ranked = sorted(answer["scores"].items(), key=lambda pair: -pair[1])[:3]
    others = ", ".join(f"{label} {score:.3f}" for label, score in ranked[1:])
    text = f"{answer['input']}: {answer['label']} {answer['score']:.3f}"
    return printable(f"{text}  ({others})" if others else text)
