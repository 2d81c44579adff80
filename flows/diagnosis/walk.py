"""Walk one example from its bytes to the answer, as training, release, server and client have it."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import tensorflow as tf

from features.errors import UnavailableError, UsageError
from flows.diagnosis import images, sounds, texts
from flows.diagnosis.evidence import ANSWERS, Answers, Evidence, of_answer, of_tensor
from flows.diagnosis.mistake import Mistake
from flows.queries.places import Place
from flows.queries.reading import raw_inputs
from flows.runs import finished
from flows.runs.finished import Finished
from flows.workspace import Workspace
from models.export import export
from models.network import Network
from serving.client import forms
from serving.errors import ServerError
from serving.repository.repository import Repository

#: How long a live server may take.
SECONDS = 30.0

#: Raw kind to the mistakes that are known in preparing it.
KINDS: Mapping[str, ModuleType] = {"image": images, "audio": sounds, "text": texts}


@dataclass(frozen=True)
class Stage:
    """One station of the way.

    Attributes:
        name: such as ``release``.
        same: whether it agrees with the stage before; None where it was not looked at.
        detail: what was found there.
    """

    name: str
    same: bool | None
    detail: str


@dataclass(frozen=True)
class Diagnosis:
    """What was found on the way.

    Attributes:
        stages: in the order of the way, up to the client's.
        cause: why the first stage differs that does; None where all agree, or nothing known explains it.
        todo: what to do about it.
    """

    stages: tuple[Stage, ...]
    cause: str | None = None
    todo: str = ""

    @property
    def first(self) -> Stage | None:
        """The first stage that differs."""
        return next((stage for stage in self.stages if stage.same is False), None)


def diagnose(
    workspace: Workspace,
    name: str,
    version: int | None,
    example: str,
    client: Evidence,
    place: Place | None = None,
) -> Diagnosis:
    """Find the first stage at which an example's way differs from that of training, and why.

    Args:
        workspace: of the training.
        name: of the model.
        version: of the model; None for the stable one.
        example: path of a file, or a text.
        client: what the client sends and gets.
        place: of a live server; None leaves it out.

    Raises:
        NoInputError: there is no such model or file.
        DataError: the example is none that ingest would take, or the client's evidence cannot be read.
        UsageError: the model's kind of input has no tensors.
    """
    training = finished.find(workspace, name, version)
    task = training.plan.task
    content = raw_inputs.read_one(example, task.raw.input).content
    raw = forms.ready(task.raw.input, content)
    network = training.network()
    functions = export.signatures(network, task, training.dataset.labels, export.DEFAULT)
    right = export.answer(functions[export.DEFAULT], [raw])
    stages = [
        Stage("training", None, f"{training.run.path.name}: {_shown(right)}"),
        _release(workspace, training, raw, right),
    ]
    if place is not None:
        stages.append(_server(place, training, version, raw, right))
    if client.tensor is None and client.answer is None:
        return _explained(stages)
    return _client(training, network, content, raw, right, client, stages)


def _explained(stages: list[Stage]) -> Diagnosis:
    """Say why release or server differ; the client was not looked at."""
    diagnosis = Diagnosis(tuple(stages))
    todo = {
        "release": "the release is not what this training exported: train again, or roll back",
        "server": "the server has another version or other files: see servable status and servable models",
    }
    first = diagnosis.first
    return (
        diagnosis if first is None else Diagnosis(diagnosis.stages, f"{first.name} differs", todo[first.name])
    )


def _release(workspace: Workspace, training: Finished, raw: bytes, right: Mapping[str, np.ndarray]) -> Stage:
    version = training.run.read().version
    path = Repository(workspace.repository).path(training.plan.name, version or 0)
    if version is None or not path.is_dir():
        return Stage("release", None, "not published")
    function = tf.saved_model.load(str(path)).signatures[export.DEFAULT]
    answered = {name: value.numpy() for name, value in function(tf.constant([raw])).items()}
    return Stage("release", *_compared(answered, right, f"version {version}"))


def _server(
    place: Place, training: Finished, version: int | None, raw: bytes, right: Mapping[str, np.ndarray]
) -> Stage:
    name = training.plan.name
    try:
        with place.open(name, version, SECONDS) as client:
            example = np.array([raw], dtype=object)
            answer = client.predict(name, {training.plan.task.raw.input: example}, version=version)
    except UnavailableError:
        return Stage("server", None, f"none at {place.target}")
    except ServerError as error:
        return Stage("server", False, str(error))
    same, detail = _compared(answer, right, f"version {answer.version}")
    mine = training.run.read().version
    if not same and answer.version != mine:
        detail += f"; this training is version {mine}"
    return Stage("server", same, detail)


def _compared(
    answered: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray], what: str
) -> tuple[bool, str]:
    """Say whether an answer is the right one, and the largest difference of its outputs."""
    largest, where = 0.0, ""
    for name, expected in right.items():
        got = answered.get(name)
        if got is None or got.shape != expected.shape:
            return False, f"{what}: output {name} is {'missing' if got is None else list(got.shape)}"
        difference = _difference(got, expected)
        if difference > largest:
            largest, where = difference, name
    if largest <= ANSWERS:
        return True, f"{what}: identical" if largest == 0 else f"{what}: equal to {largest:.1e}"
    return False, f"{what}: {where} differs by {largest:.3g}; {_shown(answered)}"


def _difference(got: np.ndarray, expected: np.ndarray) -> float:
    if expected.dtype.kind not in "fiu":
        return float((got != expected).any())
    return float(np.abs(got.astype(np.float64) - expected.astype(np.float64)).max(initial=0.0))


def _shown(outputs: Mapping[str, np.ndarray]) -> str:
    """Write the first outputs of an answer in a few words."""
    names = [name for name in ("label", "score", "value", "text", "values") if name in outputs]
    if not names:
        return ", ".join(f"{name} {list(value.shape)}" for name, value in outputs.items())
    return ", ".join(f"{name} {_written(outputs[name][0])}" for name in names[:2])


def _written(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return f"{float(value):.4g}" if np.ndim(value) == 0 else str(np.round(np.float64(value), 4).tolist())


def _client(
    training: Finished,
    network: Network,
    content: bytes,
    raw: bytes,
    right: Mapping[str, np.ndarray],
    client: Evidence,
    stages: list[Stage],
) -> Diagnosis:
    kind = KINDS.get(training.plan.task.raw.name)
    if kind is None:
        raise UsageError(
            f"a model of {training.plan.task.raw.name}s has no tensors to compare",
            expected="images, sounds or texts",
        )
    mistakes: list[Mistake] = kind.mistakes(content, raw, network.featurizer)
    looks = []
    if client.tensor is not None:
        looks.append(("client's tensor", of_tensor(client.tensor, kind, mistakes)))
    if client.answer is not None:
        answers = _answers(kind, network, training, mistakes)
        looks.append(("client's answer", of_answer(client.answer, training.dataset.labels, right, answers)))
    for name, fault in looks:
        stages.append(Stage(name, fault is None, fault.cause if fault else "as in training"))
        if fault is not None and all(stage.same is not False for stage in stages[:-1]):
            return Diagnosis(tuple(stages), fault.cause, fault.todo)
    return _explained(stages)


def _answers(kind: ModuleType, network: Network, training: Finished, mistakes: list[Mistake]) -> Answers:
    """Yield the answer that follows from each mistake, when it is asked for."""
    decode = network.decode or training.plan.task.decode
    for mistake in mistakes[1:]:
        features = kind.network_input(mistake.values, network.featurizer)
        outputs = decode(network.model(features, training=False), training.dataset.labels)
        yield mistake, {name: np.asarray(value) for name, value in outputs.items()}
