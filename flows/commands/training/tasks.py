"""``servable tasks``: what can be trained."""

import json

from flows.commands.options import JsonOption
from flows.console import terminal


def tasks(json_output: JsonOption = False) -> None:
    """List the tasks with their recipes."""
    from flows.runs.plans import catalogue, recipe

    rows = [
        {
            "task": name,
            "predicts": sentence,
            "recipes": recipe.known_recipes(name),
            "default": recipe.default_recipe(name),
        }
        for name, sentence in catalogue.tasks().items()
    ]
    if json_output:
        for row in rows:
            print(json.dumps(row))
        return
    terminal.table(
        "",
        ("task", "predicts", "recipes"),
        [(row["task"], row["predicts"], ", ".join(row["recipes"])) for row in rows],
    )
    terminal.note("settings of a recipe: servable recipes TASK RECIPE")
