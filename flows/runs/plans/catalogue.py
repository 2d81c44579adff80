"""What there is to choose from: tasks and their recipes; imports nothing heavy."""

import ast
from pathlib import Path

import models
from features.errors import ConfigError
from features.names import near
from flows.runs.plans import recipe as config


def tasks() -> dict[str, str]:
    """Return a sentence on each task; imports no task, which takes seconds."""
    return {name: _docstring(_package() / "tasks" / f"{name.replace('-', '_')}.py") for name in _names()}


def _names() -> list[str]:
    return sorted(folder.name for folder in config.RECIPES.iterdir() if folder.is_dir())


def _package() -> Path:
    return Path(models.__file__ or "").parent


def _docstring(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]


def require(task: str) -> None:
    """Check that there is a task of this name.

    Raises:
        ConfigError: there is none; lists those there are.
    """
    if task not in _names():
        raise ConfigError(
            "no such task", got=task, expected=f"one of {', '.join(_names())}", todo=near(task, _names())
        )


#: What a recipe's ``default`` says, in words.
DEFAULTS = {True: "yes", "module": "where its module is at hand"}


def recipes(task: str) -> list[tuple[str, str | None, str]]:
    """List the recipes of a task: name, when it is the default (None: never), and what it is for.

    Raises:
        ConfigError: there is no such task.
    """
    require(task)
    return [
        (
            name,
            DEFAULTS.get(config.shipped(task, name).get("default", False)),
            _comment(config.RECIPES / task / f"{name}.yaml"),
        )
        for name in config.known_recipes(task)
    ]


def _comment(path: Path) -> str:
    return path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
