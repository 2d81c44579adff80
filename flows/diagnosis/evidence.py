"""What a client sends and gets, and what in it differs from training."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from features.errors import DataError, NoInputError, UsageError
from flows.diagnosis.mistake import Mistake, matching

#: Largest difference of two answers that are the same, and of one that was written with four digits.
ANSWERS, WRITTEN = 1e-4, 1e-3
#: Largest difference of scores that a mistake explains; decoders differ a little.
EXPLAINED = 0.02

#: The answer that follows from each mistake.
Answers = Iterable[tuple[Mistake, Mapping[str, np.ndarray]]]


@dataclass(frozen=True)
class Fault:
    """Why something differs, and what to do about it."""

    cause: str
    todo: str


@dataclass(frozen=True)
class Evidence:
    """What the client has.

    Attributes:
        tensor: what it sends in place of the raw example: pixels, samples or ids; None if it sends bytes.
        answer: what it gets; None if that is not known.
    """

    tensor: np.ndarray | None = None
    answer: Any = None


def evidence(tensor: Path | None, answer: Path | None) -> Evidence:
    """Read a client's tensor from a .npy file and its answer from a JSON file.

    Raises:
        NoInputError: a file does not exist.
        DataError: a file cannot be read as such.
    """
    for path in (tensor, answer):
        if path is not None and not path.is_file():
            raise NoInputError("no such file", got=str(path))
    try:
        array = None if tensor is None else np.load(tensor, allow_pickle=False)
    except (ValueError, OSError) as error:
        raise DataError(
            "the tensor cannot be read", got=str(error), expected="a .npy file of numbers"
        ) from error
    try:
        return Evidence(array, None if answer is None else json.loads(answer.read_bytes()))
    except ValueError as error:
        raise DataError("the answer cannot be read", got=str(error), expected="a JSON file") from error


def of_tensor(tensor: np.ndarray, kind: ModuleType, mistakes: list[Mistake]) -> Fault | None:
    """Say what is wrong with a client's tensor; None where nothing is.

    Args:
        tensor: what the client sends.
        kind: the module of its kind of input.
        mistakes: that a client may make with this example, the rightly prepared one first.
    """
    right = mistakes[0].values
    values, fault = kind.laid_out(tensor, right)
    mistake = matching(values, mistakes)
    if fault:
        further = mistake.causes if mistake else ()
        todos = (fault.partition(": ")[2], mistake.todo if mistake else "")
        return Fault(" and ".join((fault.partition(":")[0], *further)), "; ".join(filter(None, todos)))
    if mistake is None:
        if (
            values.dtype.kind in "iu"
            and right.dtype.kind == "f"
            and np.array_equal(values, right.astype(values.dtype))
        ):
            return Fault(f"dtype {values.dtype}", "convert to float32 before scaling: integers have no 0.7")
        return Fault("unknown", f"the client has {_numbers(values)}, the model {_numbers(right)}")
    if mistake.causes:
        return Fault(mistake.name, mistake.todo)
    dtype = right.dtype
    same_kind = tensor.dtype == dtype or (dtype.kind == "i" and tensor.dtype.kind in "iu")
    return None if same_kind else Fault(f"dtype {tensor.dtype}", f"send {dtype}")


def _numbers(values: np.ndarray) -> str:
    numbers = values.astype(np.float64)
    return f"{list(values.shape)} from {numbers.min(initial=0):.4g} to {numbers.max(initial=0):.4g}"


def of_answer(
    answer: Any, labels: Sequence[str], right: Mapping[str, np.ndarray], answers: Answers
) -> Fault | None:
    """Say what explains a client's answer; None where it is the right one.

    Args:
        answer: as JSON has it.
        labels: of the model.
        right: the answer of the training.
        answers: the answer that follows from each mistake.

    Raises:
        UsageError: the model answers with neither scores nor values.
        DataError: the answer has no such numbers.
    """
    output = "scores" if "scores" in right else "values"
    if output not in right:
        raise UsageError("only answers with scores or values can be diagnosed", got=", ".join(right))
    expected = np.asarray(right[output][0], np.float64)
    values = _vector(answer, output, labels)
    if values.shape != expected.shape:
        return Fault("another model", f"the answer has {values.size} {output}; the model has {expected.size}")
    if _largest(values, expected) <= WRITTEN:
        return None
    if _largest(np.sort(values), np.sort(expected)) <= WRITTEN:
        return Fault("label order", "take the order of labels from the output labels, not from elsewhere")
    if output == "scores" and _largest(_softmax(values), expected) <= WRITTEN:
        return Fault("logits in place of scores", "apply softmax, or read the output scores")
    ranked = [(_largest(outputs[output][0], values), mistake) for mistake, outputs in answers]
    spread = _largest(values, expected)
    distance, mistake = min(ranked, key=lambda pair: pair[0], default=(np.inf, None))
    if mistake is not None and distance <= min(EXPLAINED, spread / 3):
        return Fault(mistake.name, mistake.todo)
    return Fault("unknown", f"{output} differ by {spread:.3g}; give the client's --tensor to look further")


def _largest(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(np.asarray(first, np.float64) - second).max())


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max())
    return np.asarray(powers / powers.sum())


def _vector(answer: Any, output: str, labels: Sequence[str]) -> np.ndarray:
    """Find the scores or values in an answer: of REST, of servable predict --json, or a plain list.

    Raises:
        DataError: there are none.
    """
    inner = answer
    for key in ("predictions", "outputs"):
        inner = inner.get(key, inner) if isinstance(inner, dict) else inner
    if isinstance(inner, list) and inner and isinstance(inner[0], dict):
        inner = inner[0]
    if isinstance(inner, dict):
        inner = inner.get(output, inner)
    if isinstance(inner, dict):
        inner = [inner.get(label) for label in labels]
    try:
        vector = np.asarray(inner, np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(
            "no numbers in the answer", got=str(answer)[:80], expected=f"a list of {output}"
        ) from error
    if not vector.size or not np.isfinite(vector).all():
        raise DataError("no numbers in the answer", got=str(answer)[:80], expected=f"a list of {output}")
    return vector[0] if vector.ndim == 2 and len(vector) == 1 else np.atleast_1d(vector)
