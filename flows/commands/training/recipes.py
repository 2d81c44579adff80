"""``servable recipes``: ways of training, and what can be set in each."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer

from flows.commands.options import JsonOption
from flows.console import terminal


def recipes(
    task: Annotated[str | None, typer.Argument(help="Show only the recipes of this task.")] = None,
    recipe: Annotated[
        str | None,
        typer.Argument(help="Show every setting of this recipe: a name, or the path of a YAML file."),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """List the recipes of the tasks, or the settings of one recipe."""
    from flows.runs.plans import catalogue

    if task is not None and recipe is not None:
        _show(json_output, ("setting", "value", "default", "meaning"), _settings(task, recipe))
        return
    rows = [
        {"task": name, "recipe": each, "default": default, "for": purpose}
        for name in ([task] if task else catalogue.tasks())
        for each, default, purpose in catalogue.recipes(name)
    ]
    _show(json_output, ("task", "recipe", "default", "for"), rows)


def _settings(task: str, recipe: str) -> list[dict[str, Any]]:
    """Describe the settings of a recipe; those without a default must be given."""
    from flows.runs.plans import settings

    return [
        {
            "setting": each.key,
            "value": each.value,
            "default": "(required)" if each.required else each.default,
            "meaning": each.meaning,
        }
        for each in settings.listed(settings.typed_sections(task, recipe))
    ]


def _show(json_output: bool, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    if json_output:
        for row in rows:
            print(json.dumps(row))
    else:
        terminal.table("", columns, [[_cell(row[column]) for column in columns] for row in rows])


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else "-" if value is None else json.dumps(value)
