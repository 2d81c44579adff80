"""What a training will do, resolved before it begins: every setting checked, every default filled in."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from features.datasets.snapshot import Snapshot
from features.datasets.survey import survey
from features.settings import Settings
from features.sources.recognise import Columns
from flows.runs.plans import defaults, settings, usage
from flows.runs.plans import recipe as config
from flows.runs.plans.request import Request
from flows.tracking import tracking
from flows.workspace import Workspace, fingerprint
from models import tasks
from models.task import Task

#: Sections of a recipe beside ``task`` and ``name``; the task says what its own three are made of.
SECTIONS = ("data", "featurizer", "model", "augmentation", "training", "gate", "canary")
#: Of these, what no training's outcome depends on.
_AFTERWARDS = ("gate", "canary")


@dataclass(frozen=True)
class Plan:
    """A request with its recipe resolved; ``recipe`` is plain data that MLflow and the manifest record."""

    request: Request
    recipe: dict[str, Any]

    @property
    def name(self) -> str:
        """The model's name."""
        return self.request.name

    @cached_property
    def workspace(self) -> Workspace:
        """Where everything is written."""
        return Workspace.open(Path(self.request.workspace))

    @cached_property
    def task(self) -> Task:
        """The kind of model."""
        return tasks.find(self.request.task)

    @cached_property
    def columns(self) -> Columns:
        """Which column of a table means what."""
        return columns(self.request.columns)

    @cached_property
    def sections(self) -> dict[str, Any]:
        """The typed settings of every section; the defaults of one that an earlier version did not have."""
        checks = sections(self.task, self.request.seed)
        return {name: check(self.recipe.get(name) or {}) for name, check in checks.items()}

    @property
    def rules(self) -> Any:
        """How data are read, limited and split."""
        return self.sections["data"]

    @property
    def training(self) -> Any:
        """How the model is trained."""
        return self.sections["training"]

    @property
    def gate(self) -> config.GateSettings:
        """What the run must pass."""
        return self.sections["gate"]

    @property
    def canary(self) -> config.CanarySettings:
        """How it is tried before it is stable."""
        return self.sections["canary"]

    def adapted(self, dataset: Snapshot) -> "Plan":
        """Decide from the training split what the recipe leaves to it with ``auto``."""
        split = survey(dataset, self.rules.as_settled(dataset.card))
        decided = {
            name: section.adapted(split).model_dump(mode="json")
            for name, section in self.sections.items()
            if isinstance(section, Settings)
        }
        return replace(self, recipe=self.recipe | decided)

    def differing(self, other: "Plan") -> list[str]:
        """List the settings that are others in another plan of the task, as ``--set`` takes them."""
        return [
            f"{section}.{name}={value}"
            for section in SECTIONS
            for name, value in self.recipe[section].items()
            if value != other.recipe[section].get(name)
        ]

    def key(self, dataset_fingerprint: str) -> str:
        """Name all that decides the outcome of the training."""
        decisive = {section: self.recipe[section] for section in SECTIONS if section not in _AFTERWARDS}
        return fingerprint([self.request.task, decisive, dataset_fingerprint, self.request.seed])


def resolve(request: Request) -> Plan:
    """Check a request and its recipe as a whole, before any data are read.

    Raises:
        UsageError: no such recipe or role of a column, an unreadable override or model name.
        NoInputError: the data or the recipe file do not exist.
        ConfigError: no such task, an unknown setting or a bad value; MLFLOW_TRACKING_URI cannot work.
    """
    usage.check(request)
    tracking.tracking_uri(Workspace.open(Path(request.workspace)))
    task = tasks.find(request.task)
    recipe = config.read_recipe(
        request.task, defaults.chosen(request), request.overrides, settings.names(task)
    )
    return Plan(request, config.resolve(recipe, sections(task, request.seed)))


def columns(given: Mapping[str, str | list[str]]) -> Columns:
    """Read which column has which role.

    Raises:
        UsageError: there is no such role.
    """
    usage.check_roles(given)
    named: dict[str, Any] = {
        role: column if isinstance(column, str) else tuple(column) for role, column in given.items()
    }
    return Columns(**named)


def sections(task: Task, seed: int) -> dict[str, config.Check]:
    """Name the check of every section of a task's recipes."""
    return usage.checks(settings.types(task), seed)
