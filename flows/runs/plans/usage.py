"""What of a request can be checked at once: names, paths and settings; imports no TensorFlow."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from features.errors import NoInputError, UsageError
from features.storage.objects import is_url
from flows.runs.plans import catalogue, defaults, schemas
from flows.runs.plans import recipe as config
from flows.runs.plans.request import Request
from flows.workspace import model_name

ROLES = ("input", "target", "split", "fold")


def check(request: Request) -> None:
    """Check a request as far as that takes no time; `flows.runs.plans.plan.resolve` checks all of it.

    Raises:
        UsageError: no such recipe or role of a column, an unreadable override, seed or model name.
        NoInputError: the data or the recipe file do not exist.
        ConfigError: no such task, an unknown setting or a bad value.
    """
    model_name(request.name)
    check_roles(request.columns)
    catalogue.require(request.task)
    if not is_url(request.data) and not _exists(request.data):
        raise NoInputError(
            "the data does not exist", got=request.data[:200], todo="check the path given to --data"
        )
    if not 0 <= request.seed < 2**32:
        raise UsageError("invalid seed", got=request.seed, expected=f"an integer from 0 to {2**32 - 1}")
    kinds = schemas.types(request.task)
    recipe = config.read_recipe(
        request.task, defaults.chosen(request), request.overrides, schemas.names(kinds)
    )
    config.resolve(recipe, checks(kinds, request.seed))


def check_roles(columns: Mapping[str, str | list[str]]) -> None:
    """Check which roles columns are given.

    Raises:
        UsageError: there is no such role, or several columns have one that is for one.
    """
    if unknown := sorted(columns.keys() - set(ROLES)):
        raise UsageError("no such column role", got=ascii(unknown[0]), expected=f"one of {', '.join(ROLES)}")
    several = sorted(
        role for role, named in columns.items() if not isinstance(named, str) and role != "target"
    )
    if several:
        raise UsageError(
            f"several columns cannot be the {several[0]}",
            got=ascii(columns[several[0]]),
            expected="one column",
        )


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except OSError:  # a name longer than the file system takes
        return False


def checks(kinds: Mapping[str, type[BaseModel]], seed: int) -> dict[str, config.Check]:
    """Return the check of every section by its type; the splits follow the seed, where there are any."""
    common = {"seed": seed} if "seed" in kinds["data"].model_fields else {}
    section_defaults = {"data": common}
    return {
        section: functools.partial(_checked, kind, section, section_defaults.get(section, {}))
        for section, kind in kinds.items()
    }


def _checked(
    kind: type[BaseModel], section: str, section_defaults: dict[str, Any], content: dict[str, Any]
) -> BaseModel:
    return config.check(kind, section_defaults | content, section)
