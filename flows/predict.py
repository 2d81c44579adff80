"""Ask a served model about files or texts and put its answer in plain data."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.text import Text

from features.errors import NoInputError
from features.spec import RAW_KINDS
from serving import commands as shell
from serving.client import Client


def answers(
    name: str,
    examples: Sequence[str | Path],
    *,
    target: str,
    signature: str | None = None,
    version: int | None = None,
    timeout: float = 30.0,
) -> Iterator[dict[str, Any]]:
    """Send each example to a signature with one string input and yield its answer.

    A signature of texts is sent each text as it is given, or what stands in the .txt file it names; any
    other is sent the bytes of files.

    Yields:
        For a classifier: input, label, score, scores (label to score), model, version. For any
        other signature: input, every output by name, model, version.

    Raises:
        NoInputError: a file does not exist; raised before anything is sent.
    """
    _require_named(examples)
    with Client(target, timeout=timeout) as client:
        argument = next(iter(client.metadata(name, version=version).signature(signature).inputs))
        for shown, raw in _read(examples, argument):
            content = np.array([raw], dtype=object)
            answer = client.predict(name, {argument: content}, signature=signature, version=version)
            yield {"input": shown, **_plain(answer), "model": name, "version": answer.version}


def commands(
    name: str,
    examples: Sequence[str | Path],
    *,
    target: str,
    rest_target: str | None = None,
    signature: str | None = None,
    version: int | None = None,
    timeout: float = 30.0,
) -> Iterator[str]:
    """Write the shell command that asks the same of each example.

    Args:
        name: the model.
        examples: files or texts, as `answers` takes them.
        target: of the gRPC interface; it is asked for the name of the input.
        rest_target: of the REST interface: curl commands; None: grpcurl commands.
        signature: None for ``serving_default``.
        version: None for the server's choice.
        timeout: seconds to wait.

    Raises:
        NoInputError: a file does not exist.
    """
    _require_named(examples)
    with Client(target, timeout=timeout) as client:
        argument = next(iter(client.metadata(name, version=version).signature(signature).inputs))
    for _, raw in _read(examples, argument):
        inputs = {argument: [raw]}
        if rest_target is None:
            yield shell.grpcurl_predict(target, name, inputs, signature=signature, version=version)
        else:
            yield shell.curl_predict(rest_target, name, inputs, signature=signature, version=version)


def _read(examples: Sequence[str | Path], argument: str) -> list[tuple[str, bytes]]:
    """Give what is shown and what is sent of each example, for an input of this name."""
    texts = any(kind.cells and kind.input == argument for kind in RAW_KINDS.values())
    paths = [Path(example) for example in examples]
    if not texts:
        _require(paths)
    return [
        (str(example), path.read_bytes() if not texts or _is_text_file(path) else str(example).encode())
        for example, path in zip(examples, paths, strict=True)
    ]


def _require_named(examples: Sequence[str | Path]) -> None:
    """Look for what is surely a file by its ending before any server is asked what it takes."""
    endings = {suffix for kind in RAW_KINDS.values() for suffix in kind.suffixes}
    _require([path for path in map(Path, examples) if path.suffix.lower() in endings])


def _require(paths: Sequence[Path]) -> None:
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise NoInputError(
            "no such file", got=", ".join(missing[:5]), todo="check the paths given to predict"
        )


def _is_text_file(path: Path) -> bool:
    try:
        return path.suffix.lower() == ".txt" and path.is_file()
    except OSError:  # A text longer than a file's name can be.
        return False


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

    if "scores" not in answer or "label" not in answer:
        return printable(str(answer))
    ranked = sorted(answer["scores"].items(), key=lambda pair: -pair[1])[:3]
    others = ", ".join(f"{label} {score:.3f}" for label, score in ranked[1:])
    text = f"{answer['input']}: {answer['label']} {answer['score']:.3f}"
    return printable(f"{text}  ({others})" if others else text)


def coloured(answer: dict[str, Any]) -> Text | None:
    """Colour the tokens of a text by what each did for the answer; None for an answer without tokens.

    Blue speaks for the label, orange against it, the stronger the brighter.
    """
    if not isinstance(answer.get("tokens"), list) or not isinstance(answer.get("change"), list):
        return None
    from flows.terminal import printable

    line = Text(f"{printable(answer['label'])} {answer['score']:.3f}: ")
    most = max((abs(change) for change in answer["change"]), default=0.0) or 1.0
    for token, change in zip(answer["tokens"], answer["change"], strict=False):
        strength = round(255 * abs(change) / most)
        faint = 255 - strength
        style = f"on rgb({faint},{faint},255)" if change > 0 else f"on rgb(255,{max(140, faint)},{faint})"
        line.append(printable(token), style=f"black {style}").append(" ")
    return line
