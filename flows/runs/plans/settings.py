"""The settings of a recipe: their names, values, defaults and meanings."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, RootModel
from pydantic_core import PydanticUndefined

from flows.runs.plans import catalogue, schemas, usage
from flows.runs.plans import recipe as config

if TYPE_CHECKING:
    from models.task import Task


@dataclass(frozen=True)
class Setting:
    """One setting of a recipe.

    Attributes:
        key: section and name, as ``--set`` takes them.
        value: as the recipe has it.
        default: where the recipe says nothing; None where it must say something.
        required: whether it must.
        meaning: in words.
    """

    key: str
    value: Any
    default: Any
    required: bool
    meaning: str


def typed_sections(task: str, recipe: str | None) -> dict[str, BaseModel]:
    """Return the typed settings of a recipe as it stands, by section; imports no task, which takes seconds.

    Raises:
        ConfigError: no such task, an unknown setting or a bad value.
        UsageError: no such recipe.
        NoInputError: the recipe's file does not exist.
    """
    catalogue.require(task)
    kinds = schemas.types(task)
    resolved = config.resolve(config.read_recipe(task, recipe), usage.checks(kinds, seed=0))
    return {section: kind.model_validate(resolved[section]) for section, kind in kinds.items()}


def types(task: "Task") -> dict[str, type[BaseModel]]:
    """Return the type of every section of a task's recipes."""
    return {
        "data": task.rules,
        "featurizer": task.featurizer_settings,
        "model": task.settings,
        "augmentation": task.augmentation_settings,
        "training": task.training,
        "gate": config.GateSettings,
        "canary": config.CanarySettings,
    }


def names(task: "Task") -> dict[str, set[str]]:
    """Return the names of the settings of every section, whatever its ``kind``."""
    return schemas.names(types(task))


def listed(sections: Mapping[str, BaseModel]) -> list[Setting]:
    """List the settings of typed sections, such as `Plan.sections`, in their order."""
    return [setting for section, typed in sections.items() for setting in _settings(section, typed)]


def _settings(section: str, typed: BaseModel) -> Iterator[Setting]:
    chosen = typed.root if isinstance(typed, RootModel) else typed
    content = chosen.model_dump(mode="json")
    for name, field in type(chosen).model_fields.items():
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        yield Setting(
            f"{section}.{name}", content[name], _plain(default), field.is_required(), field.description or ""
        )


def _plain(value: Any) -> Any:
    return None if value is PydanticUndefined else list(value) if isinstance(value, tuple) else value


def schema(task: str) -> str:
    """Write the schemas of a task's settings from their types, as `flows.runs.plans.schemas` reads them."""
    from models import tasks

    section_schemas = {name: kind.model_json_schema() for name, kind in types(tasks.find(task)).items()}
    return json.dumps(section_schemas, indent=1, ensure_ascii=False) + "\n"


def write_schemas() -> None:
    """Write the schemas of all tasks."""
    from models import tasks

    for task in tasks.TASKS:
        schemas.path(task).write_text(schema(task), encoding="utf-8")


if __name__ == "__main__":
    write_schemas()
