"""Ask a served model about files, texts, words or rows and put its answer in plain data."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

import numpy as np
from rich.text import Text

from features.errors import ServableError, UsageError
from features.names import counted, printable
from features.targets.notes import key_name
from flows.queries.answers import neighbours, pictures
from flows.queries.places import Place
from flows.queries.reading import raw_inputs
from flows.queries.requests import Requests
from flows.queries.sending import Outcome, Sending
from serving.client import commands as shell
from serving.client.answers import Answer


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
        timeout: seconds to wait for an answer, and for a download.
        column: of tables, that holds the examples or names their files; None for the usual names.
        private: whether URLs may lead to addresses that are not public.
    """

    name: str
    examples: Sequence[str | Path] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)
    signature: str | None = None
    version: int | None = None
    timeout: float = 30.0
    column: str | None = None
    private: bool = False


def named(given: Sequence[str], **others: str | None) -> dict[str, str]:
    """Read ``NAME=VALUE`` inputs, and add those others that have a value.

    Raises:
        UsageError: one of them cannot be read.
    """
    parts = [text.partition("=") for text in given]
    for text, (name, equals, _) in zip(given, parts, strict=True):
        if not equals or not name.strip():
            raise UsageError("cannot read --input", got=text, expected="NAME=VALUE")
    inputs = {name.strip(): value for name, _, value in parts}
    return inputs | {name: value for name, value in others.items() if value is not None}


def answers(question: Question, place: Place | str, *, out: Path | None = None) -> Iterator[dict[str, Any]]:
    """Send each example and yield its answer; the first one that fails ends it.

    Args:
        question: what is asked.
        place: where the model answers, or the target of a server's gRPC interface.
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
    with Asking(question, place_of(place), out=out) as asking:
        for answer in asking.answers():
            if isinstance(answer, Refused):
                raise answer.error
            yield answer


def asked(question: Question, place: Place | str) -> Iterator[tuple[str, Answer]]:
    """Send each example; yield what is shown of it, and the answer as it came. Raises as `answers`."""
    with Asking(question, place_of(place)) as asking:
        for outcome in asking.outcomes():
            if outcome.answer is None:
                assert outcome.error is not None
                raise outcome.error
            yield outcome.shown, outcome.answer


def commands(question: Question, place: Place | str, rest_target: str | None = None) -> Iterator[str]:
    """Write the shell command that asks the same of each example.

    Args:
        question: what is asked.
        place: as of `answers`; it is asked for the signature.
        rest_target: of the REST interface: curl commands; None: grpcurl commands.

    Raises:
        NoInputError, UsageError: as of `answers`.
    """
    place = place_of(place)
    write = shell.grpcurl_predict if rest_target is None else shell.curl_predict
    with Asking(question, place) as asking:
        for request in asking.requests:
            yield write(
                rest_target or place.target,
                question.name,
                request.read(),
                signature=request.signature,
                version=question.version,
                security=place.security,
            )


def place_of(place: Place | str) -> Place:
    """Return a place, or the server at a target."""
    return Place(place) if isinstance(place, str) else place


@dataclass(frozen=True)
class Refused:
    """An example without an answer: what is shown of it, and why."""

    shown: str
    error: ServableError


class Asking:
    """A question that is being asked; a context manager, which ends what was begun.

    Args:
        question: what is asked.
        place: where the model answers.
        out: file that takes a picture of the one answer.

    Attributes:
        requests: what is sent, example by example.
        total: how many there are.

    Raises:
        NoInputError: no example exists; raised before anything is sent.
        UsageError: an input is missing, or the signature has none of this name.
    """

    def __init__(self, question: Question, place: Place, *, out: Path | None = None) -> None:
        raw_inputs.require(question.examples)
        self._question, self._out = question, out
        with ExitStack() as stack:
            self._client = stack.enter_context(place.open(question.name, question.version, question.timeout))
            self._scratch = Path(stack.enter_context(TemporaryDirectory(prefix="servable-")))
            self.requests = Requests(question, self._client, self._scratch)
            self.total = self.requests.count()
            if out is not None:
                pictures.require_one(range(self.total))
            self._stack = stack.pop_all()

    def __enter__(self) -> "Asking":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def outcomes(self) -> Iterator[Outcome]:
        """Send each example and yield what became of it, in their order."""
        sending = Sending(self._client, self._question.name, self._question.version, self.requests.described)
        yield from sending.outcomes(self.requests)

    def answers(self) -> Iterator[dict[str, Any] | Refused]:
        """Send each example and yield its answer in plain data, or why there is none, in their order."""
        for outcome in self.outcomes():
            if outcome.answer is None:
                assert outcome.error is not None
                yield Refused(outcome.shown, outcome.error)
                continue
            answer = outcome.answer
            served = {"model": self._question.name, "version": answer.version}
            plain = {"input": outcome.shown, **_plain(answer), **served}
            if self._out is not None:
                pictures.draw(self._client, plain | {"input": str(self._file(outcome.shown))}, self._out)
            yield plain

    def _file(self, display_name: str) -> Path:
        """Return the file of the one example; what comes from elsewhere is kept in one meanwhile."""
        if Path(display_name).is_file():
            return Path(display_name)
        copy = self._scratch / (Path(display_name).name or "example")
        (arrays,) = (request.read() for request in self.requests)
        copy.write_bytes(next(iter(arrays.values()))[0])
        return copy


def _plain(answer: Any) -> dict[str, Any]:
    outputs = {key: _row(value, encoded=key.endswith("_bytes")) for key, value in answer.items()}
    if "boxes" in outputs:
        # Labels of boxes repeat.
        return outputs | {name: outputs[name][: outputs["count"]] for name in _OF_BOXES}
    if "starts" in outputs and "words" in outputs:
        return outputs | {name: outputs[name][: outputs["count"]] for name in _OF_WORDS}
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
#: Outputs that have a value for each word of a transcript.
_OF_WORDS = ("words", "starts", "ends")


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
    objects = [
        f"{label} {score:.3f} ({', '.join(f'{side:.1f}' for side in box)})" for label, score, box in rows
    ]
    more = [f"and {len(objects) - _LISTED} more"] if len(objects) > _LISTED else []
    return f"{answer['input']}: {'; '.join((*objects[:_LISTED], *more)) or 'no object'}"


def _notes(answer: Mapping[str, Any]) -> str:
    rows = zip(*(answer[name] for name in pictures.NOTE_OUTPUTS), strict=True)
    notes = [f"{key_name(pitch)} {a:.2f} to {b:.2f} s" for a, b, pitch, _ in rows]
    more = [f"and {len(notes) - _LISTED} more"] if len(notes) > _LISTED else []
    said = "; ".join((*notes[:_LISTED], *more)) or "silence"
    return f"{answer['input']}: {counted(len(notes), 'note')}: {said}"


def _points(answer: Mapping[str, Any]) -> str:
    rows = zip(answer["scores"].items(), answer["points"], strict=True)
    points = [f"{name} ({x:.1f}, {y:.1f}) {score:.3f}" for (name, score), (x, y) in rows]
    more = [f"and {len(points) - _LISTED} more"] if len(points) > _LISTED else []
    return f"{answer['input']}: {'; '.join((*points[:_LISTED], *more))}"


#: Boxes, points or notes that a line lists.
_LISTED = 10


def sentence(answer: dict[str, Any]) -> str:
    """Put an answer in one line for people."""
    if isinstance(answer.get("words"), list) and "similarities" in answer:
        return printable(_neighbours(answer))
    if isinstance(answer.get("paths"), list):
        return printable(neighbours.sentence(answer))
    if "boxes" in answer:
        return printable(_objects(answer))
    if "starts" in answer and "text" in answer:
        return printable(f"{answer['input']}: {answer['text']}  ({answer['confidence']:.3f})")
    if "points" in answer:
        return printable(_points(answer))
    if isinstance(answer.get("text"), str) and isinstance(answer.get("score"), float):
        return printable(f"{answer['input']}: {answer['text']} ({answer['score']:.2f})")
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
    line = Text(f"{printable(answer['label'])} {answer['score']:.3f}: ")
    most = max((abs(change) for change in answer["change"]), default=0.0) or 1.0
    for token, change in zip(answer["tokens"], answer["change"], strict=False):
        strength = round(255 * abs(change) / most)
        faint = 255 - strength
        style = f"on rgb({faint},{faint},255)" if change > 0 else f"on rgb(255,{max(140, faint)},{faint})"
        line.append(printable(token), style=f"black {style}").append(" ")
    return line
