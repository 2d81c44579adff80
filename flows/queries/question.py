"""Ask a served model about files, texts, words or rows and put its answer in plain data."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.text import Text

from features.errors import UsageError
from features.names import counted
from features.spec import ROW
from features.targets.notes import key_name
from flows.queries import inputs as sent
from flows.queries import neighbours, pictures, raw_inputs, rows
from serving.client import commands as shell
from serving.client.answers import DEFAULT_SIGNATURE, Answer, Signature
from serving.client.client import Client
from serving.errors import InvalidArgument


@dataclass(frozen=True)
class Question:
    """What is asked of a model.

    Attributes:
        name: the model.
        examples: files, texts or words as of `raw_inputs.read`, one answer each; for a signature that takes
            several words at once, all of them together are one question.
        inputs: further inputs of the signature by name, such as ``{"k": "5", "positive": "king,woman"}``.
        signature: None for ``serving_default``.
        version: None for the server's choice.
        timeout: seconds to wait for an answer.
    """

    name: str
    examples: Sequence[str | Path] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)
    signature: str | None = None
    version: int | None = None
    timeout: float = 30.0


def named(given: Sequence[str], **others: str | None) -> dict[str, str]:
    """Read ``NAME=VALUE`` inputs, and add those others that have a value.

    Raises:
        UsageError: one of them cannot be read.
    """
    parts = [text.partition("=") for text in given]
    for text, (name, equals, _) in zip(given, parts, strict=True):
        if not equals or not name.strip():
            raise UsageError("cannot read --input", got=text, expected="NAME=VALUE")
    found = {name.strip(): value for name, _, value in parts}
    return found | {name: value for name, value in others.items() if value is not None}


def answers(question: Question, target: str, *, out: Path | None = None) -> Iterator[dict[str, Any]]:
    """Send each example and yield its answer.

    A question with a ``k`` and without a signature goes to the one that takes it.

    A file is sent as it is; a signature of texts, words or rows is also sent what is typed. For a model of
    rows a table stands for its rows, one answer each.

    Args:
        question: what is asked.
        target: of the gRPC interface.
        out: file that takes a picture of an example with its neighbours, points or boxes, a piano roll, or
            notes as MIDI.

    Yields:
        For a classifier: input, label, score, scores (label to score), model, version. For any
        other signature: input, every output by name, model, version.

    Raises:
        NoInputError: a file does not exist; raised before anything is sent.
        DataError: a file or text is none that ingest would take.
        UsageError: an input is missing, or the signature has none of this name; several examples, or
            an answer that cannot be drawn, for one picture.
    """
    raw_inputs.require(question.examples)
    if out is not None:
        pictures.require_one(question.examples)
    with Client(target, timeout=question.timeout) as client:
        for shown, answer in _answered(question, client):
            plain = {"input": shown, **_plain(answer), "model": question.name, "version": answer.version}
            if out is not None:
                pictures.draw(client, plain, out)
            yield plain


def asked(question: Question, target: str) -> Iterator[tuple[str, Answer]]:
    """Send each example; yield what is shown of it, and the answer as it came. Raises as `answers`."""
    raw_inputs.require(question.examples)
    with Client(target, timeout=question.timeout) as client:
        yield from _answered(question, client)


def _answered(question: Question, client: Client) -> Iterator[tuple[str, Answer]]:
    meant = _meant(question, client)
    for shown, inputs, signature in _requests(meant, client):
        try:
            answer = client.predict(meant.name, inputs, signature=signature, version=meant.version)
        except InvalidArgument as error:
            if signature in rows.SIGNATURES:
                raise rows.refusal(shown, error) from error
            raise
        yield shown, answer


def commands(question: Question, target: str, rest_target: str | None = None) -> Iterator[str]:
    """Write the shell command that asks the same of each example.

    Args:
        question: what is asked.
        target: of the gRPC interface; it is asked for the signature.
        rest_target: of the REST interface: curl commands; None: grpcurl commands.

    Raises:
        NoInputError, UsageError: as of `answers`.
    """
    raw_inputs.require(question.examples)
    with Client(target, timeout=question.timeout) as client:
        question = _meant(question, client)
        name, signature, version = question.name, question.signature, question.version
        asked = list(_requests(question, client))
    for _, inputs, signature in asked:
        if rest_target is None:
            yield shell.grpcurl_predict(target, name, inputs, signature=signature, version=version)
        else:
            yield shell.curl_predict(rest_target, name, inputs, signature=signature, version=version)


def _meant(question: Question, client: Client) -> Question:
    """Name the signature that takes the further inputs, such as k, where the default does not.

    It takes what the default takes, and nothing beside the further inputs that has no usual value.
    """
    if question.signature is not None or not question.inputs:
        return question
    known = client.metadata(question.name, version=question.version)
    usual, given = set(known.signature(None).inputs), set(question.inputs)
    if given <= usual:
        return question
    found = [
        (len(one.inputs), name)
        for name, one in known.signatures.items()
        if usual | given <= set(one.inputs) and set(one.inputs) - usual - given <= sent.USUAL.keys()
    ]
    return replace(question, signature=min(found)[1]) if found else question


def _requests(question: Question, client: Client) -> Iterator[tuple[str, dict[str, np.ndarray], str | None]]:
    """Return what is shown and what is sent, request by request, with the signature it is sent to."""
    described = client.metadata(question.name, version=question.version)
    known = described.signature(question.signature)
    asked = question.signature
    further, argument = _further(question, known)
    if argument is None:
        shown = " ".join(f"{name}={text}" for name, text in question.inputs.items())
        yield shown, further, asked
        return
    if _rank(known, argument) == 2:
        words = raw_inputs.read(question.examples, argument)
        row = np.array([[one.content for one in words]], dtype=object)
        yield " ".join(one.shown for one in words), {argument: row} | further, asked
        return
    for example, read in [(one, _read(one, argument)) for one in question.examples]:
        if read is None:
            _require_default(known)
            by_column = rows.signature(described)
            for place, inputs in rows.requests(Path(example), by_column):
                yield place, inputs, by_column.name
        for one in read or ():
            yield one.shown, {argument: np.array([one.content], dtype=object)} | further, asked


def _read(example: str | Path, argument: str) -> list[raw_inputs.RawInput] | None:
    """Read one argument; None for a table of rows, whose columns are sent."""
    if argument == ROW.input and raw_inputs.is_table(example):
        return None
    return raw_inputs.read([example], argument)


def _further(question: Question, known: Signature) -> tuple[dict[str, np.ndarray], str | None]:
    """Return the arrays of all inputs but the one that takes the examples, and the name of that one."""
    unknown = sorted(set(question.inputs) - set(known.inputs))
    if unknown:
        raise UsageError(
            f"{known.name} of {question.name} has no input {unknown[0]}",
            got=f"--input {unknown[0]}=...",
            expected=f"one of {', '.join(sorted(known.inputs))}",
        )
    given = {name: sent.USUAL[name] for name in known.inputs if name in sent.USUAL} | dict(question.inputs)
    left = [name for name in known.inputs if name not in given]
    if len(left) > bool(question.examples):
        raise UsageError(
            f"{known.name} of {question.name} wants more",
            got=f"values for {', '.join(sorted(given)) or 'nothing'}",
            expected=f"values for {', '.join(sorted(known.inputs))}",
            todo=f"give it with --input {left[-1]}=VALUE" if question.examples else "name what is to be sent",
        )
    if question.examples and not left:
        raise UsageError(
            f"{known.name} of {question.name} takes no example beside its inputs",
            got=str(question.examples[0]),
            expected=f"values for {', '.join(sorted(known.inputs))} alone",
        )
    return {name: _array(known, name, text) for name, text in given.items()}, left[0] if left else None


def _array(known: Signature, name: str, text: str) -> np.ndarray:
    """Make the value of one input for one example: cut at commas where it takes several."""
    if name in raw_inputs.NAMES and _rank(known, name) == 1:
        return np.array([raw_inputs.read_one(text, name).content], dtype=object)
    return sent.array(name, text, known.inputs[name].dtype, _rank(known, name))


def _rank(known: Signature, name: str) -> int:
    shape = known.inputs[name].shape
    return 1 if shape is None else len(shape)


def _require_default(known: Signature) -> None:
    if known.name != DEFAULT_SIGNATURE:
        raise UsageError(
            f"{known.name} takes rows as text", got="a table", todo="give each row as one line of CSV"
        )


def _plain(answer: Any) -> dict[str, Any]:
    outputs = {key: _row(value, encoded=key.endswith("_bytes")) for key, value in answer.items()}
    if "boxes" in outputs:
        # Labels of boxes repeat.
        return outputs | {name: outputs[name][: outputs["count"]] for name in _OF_BOXES}
    if "onsets" in outputs:
        return outputs | {name: outputs[name][: outputs["count"]] for name in pictures.NOTE_OUTPUTS}
    for columns, values in (("labels", "scores"), ("names", "values"), ("names", "scores")):
        names = outputs.get(columns)
        if isinstance(names, list) and isinstance(outputs.get(values), list):
            del outputs[columns]
            outputs[values] = dict(zip(names, outputs[values], strict=True))
    return outputs


#: Outputs that have a row for each box.
_OF_BOXES = ("boxes", "classes", "labels", "scores")


def _row(value: np.ndarray, *, encoded: bool = False) -> Any:
    row = value[0]
    if isinstance(row, bytes):
        # As TensorFlow Serving's REST API has it, by the name's ending.
        return {"b64": base64.b64encode(row).decode()} if encoded else row.decode("utf-8", "replace")
    if isinstance(row, np.ndarray) and row.dtype == object:
        return [cell.decode("utf-8", "replace") for cell in row.ravel()]
    return row.tolist()


def _objects(answer: Mapping[str, Any]) -> str:
    rows = zip(answer["labels"], answer["scores"], answer["boxes"], strict=True)
    shown = [
        f"{label} {score:.3f} ({', '.join(f'{side:.1f}' for side in box)})" for label, score, box in rows
    ]
    more = [f"and {len(shown) - _LISTED} more"] if len(shown) > _LISTED else []
    return f"{answer['input']}: {'; '.join((*shown[:_LISTED], *more)) or 'no object'}"


def _notes(answer: Mapping[str, Any]) -> str:
    rows = zip(*(answer[name] for name in pictures.NOTE_OUTPUTS), strict=True)
    shown = [f"{key_name(pitch)} {a:.2f} to {b:.2f} s" for a, b, pitch, _ in rows]
    more = [f"and {len(shown) - _LISTED} more"] if len(shown) > _LISTED else []
    said = "; ".join((*shown[:_LISTED], *more)) or "silence"
    return f"{answer['input']}: {counted(len(shown), 'note')}: {said}"


def _points(answer: Mapping[str, Any]) -> str:
    rows = zip(answer["scores"].items(), answer["points"], strict=True)
    shown = [f"{name} ({x:.1f}, {y:.1f}) {score:.3f}" for (name, score), (x, y) in rows]
    more = [f"and {len(shown) - _LISTED} more"] if len(shown) > _LISTED else []
    return f"{answer['input']}: {'; '.join((*shown[:_LISTED], *more))}"


#: Boxes, points or notes that a line lists.
_LISTED = 10


def sentence(answer: dict[str, Any]) -> str:
    """Put an answer in one line for people."""
    from flows.console.terminal import printable

    if isinstance(answer.get("words"), list) and "similarities" in answer:
        return printable(_neighbours(answer))
    if isinstance(answer.get("paths"), list):
        return printable(neighbours.sentence(answer))
    if "boxes" in answer:
        return printable(_objects(answer))
    if "points" in answer:
        return printable(_points(answer))
    if "onsets" in answer:
        return printable(_notes(answer))
    if isinstance(answer.get("values"), dict):
        numbers = ", ".join(f"{name} {value:.6g}" for name, value in answer["values"].items())
        return printable(f"{answer['input']}: {numbers}")
    if "scores" not in answer or "label" not in answer:
        return printable(str(answer))
    ranked = sorted(answer["scores"].items(), key=lambda pair: -pair[1])[:3]
    others = ", ".join(f"{label} {score:.3f}" for label, score in ranked[1:])
    text = f"{answer['input']}: {answer['label']} {answer['score']:.3f}"
    text = f"{text}  ({others})" if others else text
    noted = [f"{name}: {answer[name]}" for name in ("missing", "unknown") if answer.get(name)]
    return printable("; ".join([text, *noted]))


def _neighbours(answer: dict[str, Any]) -> str:
    """Put the neighbours of a word, or of a sum of words, in one line."""
    if not answer.get("known", True):
        unknown = answer.get("unknown") or answer["input"]
        return f"{answer['input']}: not in the vocabulary: {unknown}"
    pairs = zip(answer["words"], answer["similarities"], strict=True)
    return f"{answer['input']}: " + ", ".join(f"{word} {cosine:.3f}" for word, cosine in pairs if word)


def coloured(answer: dict[str, Any]) -> Text | None:
    """Colour the tokens of a text by what each did for the answer; None for an answer without tokens.

    Blue speaks for the label, orange against it, the stronger the brighter.
    """
    if not isinstance(answer.get("tokens"), list) or not isinstance(answer.get("change"), list):
        return None
    from flows.console.terminal import printable

    line = Text(f"{printable(answer['label'])} {answer['score']:.3f}: ")
    most = max((abs(change) for change in answer["change"]), default=0.0) or 1.0
    for token, change in zip(answer["tokens"], answer["change"], strict=False):
        strength = round(255 * abs(change) / most)
        faint = 255 - strength
        style = f"on rgb({faint},{faint},255)" if change > 0 else f"on rgb(255,{max(140, faint)},{faint})"
        line.append(printable(token), style=f"black {style}").append(" ")
    return line
