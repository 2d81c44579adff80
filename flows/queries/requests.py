"""From a question to what is sent: a signature, and for each example the arrays of its inputs."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from features.errors import UsageError
from features.spec import IMAGE, ROW, TEXT
from flows.queries.reading import inputs as sent
from flows.queries.reading import raw_inputs, rows
from flows.queries.reading.downloads import Limits
from flows.queries.reading.examples import KINDS, Example, Examples
from serving.client.answers import DEFAULT_SIGNATURE, Metadata, Signature

if TYPE_CHECKING:
    from flows.queries.question import Question
    from serving.client.predictor import Predictor

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Request:
    """What is sent for one example.

    Attributes:
        shown: what names it in an answer.
        read: gives the arrays, of one row each; raises a ServableError where the example cannot be read.
        signature: that is called; None for ``serving_default``.
    """

    shown: str
    read: Callable[[], Arrays]
    signature: str | None


class Requests:
    """What is sent for each example of a question; iterating goes through them from the beginning.

    A question with a ``k`` and without a signature goes to the one that takes it. For a model of rows a table
    stands for its rows.

    Args:
        question: what is asked.
        client: what answers; it is asked for the signatures.
        scratch: folder that archives are unpacked into.

    Attributes:
        described: the model's signatures.
        examples: what the question's arguments stand for.

    Raises:
        UsageError: an input is missing, or the signature has none of this name.
    """

    def __init__(self, question: "Question", client: "Predictor", scratch: Path) -> None:
        self.described = client.metadata(question.name, question.version)
        self._question = _meant(question, self.described)
        self._known = self.described.signature(self._question.signature)
        self._further, self._argument = _further(self._question, self._known)
        limits = Limits(question.timeout, private=question.private)
        self.examples = Examples(question.examples, self._argument or "", scratch, question.column, limits)

    def __iter__(self) -> Iterator[Request]:
        signature, argument, further = self._question.signature, self._argument, self._further
        if argument is None:
            display_name = " ".join(f"{name}={text}" for name, text in self._question.inputs.items())
            yield Request(display_name, partial(dict, further), signature)
        elif _rank(self._known, argument) == 2:
            words = raw_inputs.read(self._question.examples, argument)
            row = np.array([[one.content for one in words]], dtype=object)
            yield Request(
                " ".join(one.shown for one in words), partial(dict, {argument: row} | further), signature
            )
        elif argument == ROW.input and any(map(self._is_table, self._question.examples)):
            yield from self._rows(argument)
        else:
            for example in self.examples:
                yield self._request(example, argument)

    def count(self) -> int:
        """Return how many there are; nothing of the examples themselves is read for it."""
        one = self._argument is None or _rank(self._known, self._argument) == 2
        return 1 if one else sum(1 for _ in self)

    def _request(self, example: Example, argument: str) -> Request:
        def read() -> Arrays:
            return {argument: np.array([example.read()], dtype=object)} | self._further

        return Request(example.shown, read, self._question.signature)

    def _is_table(self, example: str | Path) -> bool:
        return raw_inputs.is_there(example) and raw_inputs.is_table(example)

    def _rows(self, argument: str) -> Iterator[Request]:
        """Yield the rows of tables by their columns, and rows that are typed as they are."""
        for one in self._question.examples:
            if not self._is_table(one):
                for example in self.examples.of(one):
                    yield self._request(example, argument)
                continue
            _require_default(self._known)
            by_column = rows.signature(self.described)
            for place, read in rows.requests(Path(one), by_column):
                yield Request(place, read, by_column.name)


def _meant(question: "Question", metadata: Metadata) -> "Question":
    """Name the signature that takes the further inputs, such as k, where the default does not.

    It takes what the default takes, and nothing beside the further inputs that has no usual value.
    """
    if question.signature is not None or not question.inputs:
        return question
    usual, inputs = set(metadata.signature(None).inputs), set(question.inputs)
    if inputs <= usual:
        return question
    candidates = [
        (len(one.inputs), name)
        for name, one in metadata.signatures.items()
        if usual | inputs <= set(one.inputs) and set(one.inputs) - usual - inputs <= sent.USUAL.keys()
    ]
    return replace(question, signature=min(candidates)[1]) if candidates else question


def _further(question: "Question", signature: Signature) -> tuple[Arrays, str | None]:
    """Return the arrays of all inputs but the one that takes the examples, and the name of that one."""
    unknown = sorted(set(question.inputs) - set(signature.inputs))
    if unknown:
        raise UsageError(
            f"{signature.name} of {question.name} has no input {unknown[0]}",
            got=f"--input {unknown[0]}=...",
            expected=f"one of {', '.join(sorted(signature.inputs))}",
        )
    texts: Mapping[str, str] = {
        name: sent.USUAL[name] for name in signature.inputs if name in sent.USUAL
    } | dict(question.inputs)
    left = [name for name in signature.inputs if name not in texts]
    if len(left) == 1 and not question.examples:
        what = "no input" if question.signature is None else f"no input for {left[0]}"
        chosen = "" if question.signature is None else f" --signature {question.signature}"
        line = f"servable predict {question.name} {_usage(left[0])}...{chosen}"
        raise UsageError(what, todo=f"usage: {line}")
    if len(left) > bool(question.examples):
        missing = left[1:] if question.examples else left
        raise UsageError(
            f"no value for {', '.join(missing)}, which {signature.name} of {question.name} takes",
            todo=f"add --input {missing[-1]}=VALUE",
        )
    if question.examples and not left:
        raise UsageError(
            f"{signature.name} of {question.name} takes named inputs alone, no examples",
            got=str(question.examples[0]),
            expected=f"values for {', '.join(sorted(signature.inputs))} alone",
        )
    return {name: _array(signature, name, text) for name, text in texts.items()}, left[0] if left else None


def _usage(argument: str) -> str:
    """Return what a command line calls the examples that an input takes."""
    kind = KINDS.get(argument, IMAGE)
    if not kind.cells:
        return "FILE"
    return f'"{kind.name.upper()}"' if kind in (TEXT, ROW) else kind.name.upper()


def _array(signature: Signature, name: str, text: str) -> np.ndarray:
    """Make the value of one input for one example: cut at commas where it takes several."""
    if name in raw_inputs.NAMES and _rank(signature, name) == 1:
        return np.array([raw_inputs.read_one(text, name).content], dtype=object)
    return sent.array(name, text, signature.inputs[name].dtype, _rank(signature, name))


def _rank(signature: Signature, name: str) -> int:
    shape = signature.inputs[name].shape
    return 1 if shape is None else len(shape)


def _require_default(signature: Signature) -> None:
    if signature.name != DEFAULT_SIGNATURE:
        raise UsageError(
            f"{signature.name} takes rows as text", got="a table", todo="give each row as one line of CSV"
        )
