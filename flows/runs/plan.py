"""What a training will do, resolved before it begins: every setting checked, every default filled in."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from features.errors import NoInputError, UsageError
from features.sources.recognise import Columns
from flows.runs import recipe as config
from flows.runs import settings
from flows.runs.request import Request
from flows.tracking import tracking
from flows.workspace import Workspace, fingerprint, model_name
from models import tasks
from models.task import Task

#: Sections of a recipe beside ``task`` and ``name``; the task says what its own three are made of.
SECTIONS = ("data", "featurizer", "model", "augmentation", "training", "gate", "canary")
#: Of these, what no training's outcome depends on.
_AFTERWARDS = ("gate", "canary")
_ROLES = ("input", "target", "split", "fold")


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
        """The typed settings of every section."""
        checks = sections(self.task, self.request.seed)
        return {name: check(self.recipe[name]) for name, check in checks.items()}

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
    model_name(request.name)
    tracking.tracking_uri(Workspace.open(Path(request.workspace)))
    columns(request.columns)
    task = tasks.find(request.task)
    if not _exists(request.data):
        raise NoInputError(
            "the data does not exist", got=request.data[:200], todo="check the path given to --data"
        )
    if not 0 <= request.seed < 2**32:
        raise UsageError("invalid seed", got=request.seed, expected=f"an integer from 0 to {2**32 - 1}")
    recipe = config.read_recipe(request.task, request.recipe, request.overrides, settings.names(task))
    return Plan(request, config.resolve(recipe, sections(task, request.seed)))


def typed_sections(task: str, recipe: str) -> dict[str, BaseModel]:
    """Return the typed settings of a recipe as it stands, by section.

    Raises:
        ConfigError: no such task, an unknown setting or a bad value.
        UsageError: no such recipe.
        NoInputError: the recipe's file does not exist.
    """
    content = config.read_recipe(task, recipe)
    checks = sections(tasks.find(task), seed=0)
    resolved = config.resolve(content, checks)
    return {section: check(resolved[section]) for section, check in checks.items()}


def columns(given: Mapping[str, str | list[str]]) -> Columns:
    """Read which column has which role.

    Raises:
        UsageError: there is no such role.
    """
    if unknown := sorted(given.keys() - set(_ROLES)):
        raise UsageError(
            "no such role of a column", got=ascii(unknown[0]), expected=f"one of {', '.join(_ROLES)}"
        )
    several = sorted(role for role, named in given.items() if not isinstance(named, str) and role != "target")
    if several:
        raise UsageError(
            f"several columns cannot be the {several[0]}", got=ascii(given[several[0]]), expected="one column"
        )
    named: dict[str, Any] = {
        role: column if isinstance(column, str) else tuple(column) for role, column in given.items()
    }
    return Columns(**named)


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except OSError:  # a name longer than the file system takes
        return False


def sections(task: Task, seed: int) -> dict[str, config.Check]:
    """Name the check of every section of a task's recipes."""
    # The splits follow the seed of the training, where there are any.
    common = {"seed": seed} if "seed" in task.rules.model_fields else {}
    given = {"data": common}
    return {
        section: functools.partial(_checked, kind, section, given.get(section, {}))
        for section, kind in settings.types(task).items()
    }


def _checked(
    kind: type[BaseModel], section: str, given: dict[str, Any], content: dict[str, Any]
) -> BaseModel:
    return config.check(kind, given | content, section)
