"""Recipes: one runnable YAML per way of training, resolved to a frozen, typed value.

A recipe has the sections ``task``, ``data``, ``featurizer``, ``model``, ``augmentation``,
``training``, ``gate`` and ``canary``. Each is checked by the pydantic model that lives beside the code it
configures; unknown keys are refused. ``--set section.key=value`` overrides one
value; the section may be left out where one section alone has such a setting.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from features.errors import ConfigError, NoInputError, UsageError
from features.names import near

Settings = TypeVar("Settings", bound=BaseModel)

#: Turns the plain content of one section into its typed settings.
Check = Callable[[dict[str, Any]], BaseModel]

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
#: In place of a recipe's name: each recipe of the task is tried by ``servable tune``.
AUTO = "auto"


class GateSettings(BaseModel):
    """What a Run must pass to become a Release."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    parity: float = Field(
        1e-5,
        gt=0,
        description="largest difference between the scores of training graph, SavedModel and server",
    )
    parity_rows: int = Field(64, ge=1, description="number of test examples to compare")
    max_latency_ms: float | None = Field(
        None, gt=0, description="maximum median latency of one example, in process"
    )
    min_metric: float | None = Field(None, description="minimum of the main metric on the test split")
    max_regression: float = Field(
        0.0, ge=0, description="how much worse than the version in service a model may be"
    )
    allow_ops: tuple[str, ...] = Field((), description="ops to allow beyond the list of safe ones")


class CanarySettings(BaseModel):
    """How a version on trial is judged."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trial: bool = Field(
        False,
        description="whether a new version is a canary first, where another one serves",
    )
    share: float = Field(
        10.0,
        ge=0,
        le=100,
        description="percentage of the requests without version and label that a canary answers",
    )
    promote: bool = Field(True, description="whether a canary without fault is promoted")
    min_requests: int = Field(200, ge=1, description="number of requests it answers before that")
    min_minutes: float = Field(10.0, ge=0, description="minutes it answers before that")
    max_error_rate: float = Field(
        0.01,
        ge=0,
        le=1,
        description="largest share of requests on which it fails and the stable version does not",
    )
    max_latency_ratio: float = Field(
        2.0, gt=0, description="maximum median latency, as a multiple of the stable version's"
    )
    max_score_distance: float = Field(
        0.5,
        gt=0,
        le=1,
        description="maximum Kolmogorov-Smirnov distance between the scores of both versions",
    )
    max_label_share: float = Field(
        0.95,
        gt=0,
        le=1,
        description="maximum share of one label, if the stable version gives it less than half as often",
    )
    window: float = Field(10.0, gt=0, description="seconds over which failures and latencies are counted")


def known_recipes(task: str) -> list[str]:
    """List the names of the recipes that come with Servable for a task."""
    return sorted(path.stem for path in (RECIPES / task).glob("*.yaml"))


def default_recipe(task: str) -> str:
    """Name the recipe a task uses when none is requested: the one whose file says ``default: true``."""
    names = known_recipes(task)
    return next((name for name in names if shipped(task, name).get("default") is True), names[0])


def shipped(task: str, name: str) -> dict[str, Any]:
    """Read a recipe that comes with Servable, as it stands."""
    return _load(RECIPES / task / f"{name}.yaml")


def recipe_path(task: str, recipe: str | None) -> Path:
    """Find the file of a recipe given by name or by path.

    Raises:
        NoInputError: there is no such file.
        UsageError: there is no recipe of that name for the task.
    """
    chosen = recipe or default_recipe(task)
    if chosen in known_recipes(task):
        return RECIPES / task / f"{chosen}.yaml"
    if Path(chosen).suffix in (".yaml", ".yml"):
        if not Path(chosen).is_file():
            raise NoInputError("no recipe file", got=chosen, todo="check the path given to --recipe")
        return Path(chosen)
    raise UsageError(
        f"no recipe with this name for {task}",
        got=chosen,
        expected=f"one of {', '.join(known_recipes(task))}, or the path of a .yaml file",
        todo="use servable tune, which tries all of them"
        if chosen == AUTO
        else near(chosen, known_recipes(task)),
    )


def read_recipe(
    task: str,
    recipe: str | None,
    overrides: Sequence[str] = (),
    settings: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> dict[str, Any]:
    """Read a recipe and apply ``key=value`` overrides; the result is plain data, not yet checked.

    Args:
        task: name of the task.
        recipe: its name or path; None for the task's default.
        overrides: each ``section.key=value`` or, where one section alone has the key, ``key=value``.
        settings: names of the settings of each section, to find the section of a key by.
    """
    path = recipe_path(task, recipe)
    content = _load(path)
    content.pop("default", None)
    content.setdefault("task", task)
    content.setdefault("name", path.stem)
    for override in overrides:
        _apply(content, override, settings)
    _keep_epochs(content, overrides)
    if content["task"] != task:
        raise ConfigError(f"recipe {path.name} is for another task", got=content["task"], expected=task)
    if not isinstance(content["name"], str):
        raise ConfigError(f"invalid name in recipe {path.name}", got=repr(content["name"]), expected="a text")
    return content


def _keep_epochs(content: dict[str, Any], overrides: Sequence[str]) -> None:
    """Let no minimum of the recipe raise a number of epochs that the user set himself."""
    keys = {override.partition("=")[0].strip().rpartition(".")[2] for override in overrides}
    training = content.get("training")
    if "epochs" in keys and "min_steps" not in keys and isinstance(training, dict):
        training.pop("min_steps", None)


def _load(path: Path) -> dict[str, Any]:
    try:
        # From bytes, since YAML tells UTF-16 from UTF-8 by itself.
        content = yaml.safe_load(path.read_bytes())
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"recipe {path} is not YAML", got=str(error), expected="a YAML mapping in UTF-8 or UTF-16"
        ) from error
    if not isinstance(content, dict):
        raise ConfigError(
            f"recipe {path} is not a mapping", got=type(content).__name__, expected="sections as keys"
        )
    return content


def _apply(content: dict[str, Any], override: str, settings: Mapping[str, Collection[str]]) -> None:
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise UsageError("cannot read --set", got=override, expected="section.key=value")
    place = content
    if len(parts) == 1:
        parts = [*_owner(content, parts[0], settings), *parts]
    for part in parts[:-1]:
        inner = place.get(part)
        if not isinstance(inner, dict):
            inner = place[part] = {}
        place = inner
    try:
        place[parts[-1]] = _value(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise UsageError("cannot read the value of --set", got=override, expected="a YAML value") from error


def _owner(content: Mapping[str, Any], key: str, settings: Mapping[str, Collection[str]]) -> list[str]:
    """Name the section that a key without one is meant in; nothing if the recipe has the key itself."""
    owners = [name for name, inner in content.items() if isinstance(inner, dict) and key in inner]
    owners = owners or [section for section, keys in settings.items() if key in keys]
    if key in content or key in settings or not (owners or settings):
        return []
    if not owners:
        raise ConfigError(
            "no such setting",
            got=key,
            todo=near(key, {name for keys in settings.values() for name in keys})
            or "list the settings with servable recipes TASK RECIPE",
        )
    if len(owners) > 1:
        meant = " or ".join(f"{owner}.{key}" for owner in owners)
        raise UsageError("ambiguous key in --set", got=key, expected=meant)
    return owners


def _value(text: str) -> Any:
    value = yaml.safe_load(text)
    if isinstance(value, str):
        # YAML 1.1 reads 1e-3 as a string; engineers mean a number.
        try:
            return float(value)
        except ValueError:
            return value
    return value


def check(kind: type[Settings], content: Mapping[str, Any] | None, section: str) -> Settings:
    """Turn one section of a recipe into its typed settings.

    Raises:
        ConfigError: an unknown key or a bad value; names section, key, got and expected.
    """
    try:
        return kind.model_validate(dict(content or {}))
    except ValidationError as error:
        first, schema = error.errors()[0], kind.model_json_schema()
        path, keys = _locate(schema, first["loc"])
        # A setting of several types has an error for each.
        expected = [each["msg"] for each in error.errors() if _locate(schema, each["loc"])[0] == path]
        where = ".".join([section, *path])
        unknown = first["type"] == "extra_forbidden"
        raise ConfigError(
            f"recipe setting {where}",
            got=repr(first.get("input"))[:120],
            expected=f"one of the keys {', '.join(keys)}" if unknown else " or ".join(expected),
            todo=(near(path[-1], keys) if unknown else None) or "correct the recipe or the --set option",
        ) from error


def _locate(schema: dict[str, Any], location: Sequence[str | int]) -> tuple[list[str], list[str]]:
    """Return the path of keys to an error, and the valid keys beside the last one."""
    definitions, here, path = schema.get("$defs", {}), schema, []
    for part in location:
        variants = here.get("discriminator", {}).get("mapping", {})
        inner = here.get("properties", {}).get(part, {})
        if part in variants:
            # pydantic names the chosen variant, which is no key of the recipe.
            inner = {"$ref": variants[part]}
        else:
            path.append(str(part))
            if not inner or "anyOf" in inner:
                break
        here = definitions.get(inner.get("$ref", "").rpartition("/")[2], here)
    return path, sorted(here.get("properties", {}))


def resolve(recipe: Mapping[str, Any], sections: Mapping[str, Check]) -> dict[str, Any]:
    """Check every section and fill in every default; the result is plain data again.

    Raises:
        ConfigError: an unknown section, an unknown key or a bad value.
    """
    unknown = sorted(map(str, recipe.keys() - {"task", "name", *sections}))
    if unknown:
        raise ConfigError(
            "unknown section in the recipe",
            got=unknown[0],
            expected=f"one of {', '.join(sorted(sections))}",
            todo=near(unknown[0], sections) or "list the settings with servable recipes TASK RECIPE",
        )
    resolved: dict[str, Any] = {"task": recipe["task"], "name": recipe["name"]}
    for section, check_section in sections.items():
        content = recipe.get(section) or {}
        if not isinstance(content, dict):
            raise ConfigError(
                f"recipe section {section}", got=repr(content), expected="settings as key: value"
            )
        resolved[section] = check_section(content).model_dump(mode="json")
    return resolved
