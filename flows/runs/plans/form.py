"""The parameters of a scheduled training or monitoring as types, from which Prefect's UI makes a form.

A value that does not fit is refused there, before a run is made. Imports nothing heavy.
"""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from flows.runs.plans import catalogue
from flows.workspace import MODEL_NAME

#: Every task, and every recipe of any task.
TASK_NAMES = tuple(catalogue.tasks())
RECIPE_NAMES = tuple(sorted({name for task in TASK_NAMES for name, _, _ in catalogue.recipes(task)}))

if TYPE_CHECKING:
    TaskName = str
    RecipeName = str
else:
    TaskName = Literal[TASK_NAMES]
    RecipeName = Literal[RECIPE_NAMES]

ModelName = Annotated[str, Field(pattern=f"^{MODEL_NAME.pattern}$", examples=["pets"])]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Share = Annotated[float, Field(ge=0, le=1)]
Threshold = Annotated[float, Field(ge=0)]
Hours = Annotated[float, Field(ge=0)]
Examples = Annotated[int, Field(ge=20)]
Override = Annotated[str, Field(pattern=r"^[^=]+=", examples=["training.epochs=2"])]


def choices(task: str) -> dict[str, Any]:
    """Return the types of a training's ``task`` and ``recipe`` that leave the choices of one task."""
    names = tuple(name for name, _, _ in catalogue.recipes(task))
    return {"task": _choice((task,)), "recipe": _choice(names) | None}


def _choice(names: tuple[str, ...]) -> Any:
    # Of a single name pydantic would make a constant, which is no choice in the form.
    return Annotated[Literal[names], Field(json_schema_extra={"enum": list(names)})]


class TableColumns(BaseModel):
    """Which column of a table means what; empty: recognised by its name."""

    model_config = ConfigDict(extra="forbid")

    input: Annotated[
        str | None, Field(description="column of the inputs; comma-separated for tabular tasks")
    ] = None
    target: Annotated[
        str | list[str] | None, Field(description="column of the label, or columns of the numbers")
    ] = None
    split: Annotated[str | None, Field(description="column with train, validation or test")] = None
    fold: Annotated[str | None, Field(description="column with the fold: cross-validate")] = None

    def named(self) -> dict[str, Any]:
        """Return the columns that are given, by role."""
        return self.model_dump(exclude_none=True)
