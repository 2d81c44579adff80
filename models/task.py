"""What one kind of problem needs, as an immutable value."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from pydantic import BaseModel, Field

from features.errors import ConfigError
from features.ingest.rules import IngestRules, SourceRules
from features.settings import Settings
from features.spec import RawKind
from features.targets.classes import CLASS
from features.targets.target import Target
from models.network import Network
from models.objective import Measure
from models.training.settings import TrainingSettings


def _no_release(name: str) -> Path:
    raise ConfigError("no release of this name", got=name, expected="a published model's name")


@dataclass(frozen=True)
class Blueprint:
    """What a task's build is given: typed settings, labels, and where fetched modules are kept.

    ``fitted`` is what the task's fit found in the training split; empty where the task has no fit, and while
    the fit itself is under way. ``release`` finds the folder of a published model by its name. ``frame`` is
    the dataset's manifest, for tasks whose models show its examples; None where the examples are lines.
    """

    rules: Any
    featurizer: Any
    model: Any
    augmentation: Any
    epochs: int
    labels: tuple[str, ...]
    hub: Path
    fitted: Mapping[str, Any] = field(default_factory=dict)
    release: Callable[[str], Path] = _no_release
    frame: Any = None


class Evaluation(Protocol):
    """What a model is worth on a split."""

    @property
    def metrics(self) -> dict[str, float]:
        """Figures by the names they are tracked by, such as ``test/accuracy``."""
        ...

    @property
    def tables(self) -> Mapping[str, Any]:
        """Frames that are logged beside the figures, by name."""
        ...


@dataclass(frozen=True)
class Evaluator:
    """How a network's outputs are measured.

    Attributes:
        read: from the outputs of ``serving_default`` and the labels, in their order, to what is measured,
            [examples, ...]; None where the outputs are of other labels.
        evaluate: from a Dataset and that on its measured examples, in their order, to an Evaluation.
    """

    read: Callable[[Mapping[str, np.ndarray], Sequence[str]], np.ndarray | None]
    evaluate: Callable[[Any, np.ndarray], Evaluation]


def columns(
    output: str, names: str
) -> Callable[[Mapping[str, np.ndarray], Sequence[str]], np.ndarray | None]:
    """Make an `Evaluator.read` of an output [examples, columns, ...] whose columns another output names."""

    def read(outputs: Mapping[str, np.ndarray], labels: Sequence[str]) -> np.ndarray | None:
        served = [name.decode() for name in outputs[names][0]]
        if sorted(served) != sorted(labels):
            return None
        return outputs[output][:, [served.index(label) for label in labels]]

    return read


#: From the blueprint and the raw examples of the training split, read once as they are asked for, to what
#: the network must know of them, such as a vocabulary; plain data that JSON can carry. What stands under
#: ``figures``, name to number, is logged with the training's metrics.
Fit = Callable[[Blueprint, Iterable[bytes]], Mapping[str, Any]]


class NoAugmentation(Settings):
    """The augmentation section of a task that has none."""


class NoTraining(Settings):
    """The training section of a task that trains nothing."""

    epochs: int = Field(0, ge=0, le=0, description="nothing is trained")


@dataclass(frozen=True)
class Absent:
    """What stands in place of a signature that a network cannot have, with the reason in words."""

    reason: str


@dataclass(frozen=True)
class Task:
    """One kind of problem. No paths, no hyper-parameters, no I/O: variety is in the parts.

    Attributes:
        name: the field's own name, with hyphens.
        raw: what one raw example is.
        target: what an example should be answered with.
        featurizer_settings: type of the recipe's ``featurizer`` section.
        settings: type of the recipe's ``model`` section.
        augmentation_settings: type of the recipe's ``augmentation`` section.
        build: makes the network.
        objective: the metric that decides; where a network is trained on it, an Objective with its loss.
        decode: in graph, from network outputs and labels to named outputs, each with a batch axis.
        signatures: in graph, name to a function of (network, raw, decode) that makes a signature, or gives
            an Absent.
        report: names of the report's sections, in order; see flows/reports/report.py.
        evaluator: how its outputs are measured; None for a task whose course measures in its own way.
        fit: what the network learns from the training split alone, before it is built; None where it
            learns nothing.
        rules: type of the recipe's ``data`` section.
        training: type of the recipe's ``training`` section.
    """

    name: str
    raw: RawKind
    featurizer_settings: type[BaseModel]
    settings: type[BaseModel]
    augmentation_settings: type[BaseModel]
    build: Callable[[Blueprint], Network]
    objective: Measure
    decode: Callable[[Any, tuple[str, ...]], dict[str, Any]]
    signatures: Mapping[str, Callable[..., Any]]
    report: tuple[str, ...]
    evaluator: Evaluator | None = None
    target: Target = CLASS
    fit: Fit | None = None
    rules: type[SourceRules] = IngestRules
    training: type[BaseModel] = TrainingSettings
