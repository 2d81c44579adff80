"""Which values of which settings a search tries."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import yaml

from features.errors import UsageError
from features.names import near
from flows.runs.plans import schemas, usage
from flows.runs.plans.recipe import AUTO
from flows.runs.plans.request import Request

if TYPE_CHECKING:
    import optuna

    from flows.runs.plans.plan import Plan

#: A range whose ends differ by this factor or more is searched by its logarithm.
_WIDE = 20


@dataclass(frozen=True)
class Range:
    """Numbers from low to high.

    Attributes:
        low: the least.
        high: the greatest.
        whole: whether they are integers.
    """

    low: float
    high: float
    whole: bool

    def suggest(self, trial: "optuna.Trial", key: str) -> Any:
        """Choose a value for a trial."""
        wide = self.low > 0 and self.high / self.low >= _WIDE
        if self.whole:
            return trial.suggest_int(key, int(self.low), int(self.high), log=wide)
        return trial.suggest_float(key, self.low, self.high, log=wide)


@dataclass(frozen=True)
class Values:
    """Some values, in no order."""

    values: tuple[Any, ...]

    def suggest(self, trial: "optuna.Trial", key: str) -> Any:
        """Choose a value for a trial."""
        return json.loads(trial.suggest_categorical(key, [json.dumps(value) for value in self.values]))


#: Setting, as ``--set`` names it, to the values that are tried.
Space = Mapping[str, Range | Values]


def parse(overrides: Iterable[str]) -> tuple[tuple[str, ...], dict[str, Range | Values]]:
    """Tell plain overrides from those that name several values.

    Args:
        overrides: ``key=value``, ``key=a,b,c`` or ``key=low..high``.

    Returns:
        The plain ones, and the space that the others span.

    Raises:
        UsageError: a range has no end, or its ends are no numbers in order.
    """
    plain: list[str] = []
    space: dict[str, Range | Values] = {}
    for override in overrides:
        key, _, text = override.partition("=")
        if ".." in text:
            space[key.strip()] = _range(override, text)
        elif "," in text and not text.lstrip().startswith(("[", "{", '"', "'")):
            space[key.strip()] = Values(tuple(_value(part) for part in text.split(",")))
        else:
            plain.append(override)
    return tuple(plain), space


def check(request: Request) -> None:
    """Check a search as far as that takes no time; `flows.tuning.search` checks all of it.

    Raises:
        ServableError: the request is mistaken, or names what cannot be searched.
    """
    usage.check(plain(request))
    qualified(parse(request.overrides)[1], schemas.names(schemas.types(request.task)))


def plain(request: Request) -> Request:
    """Return the request of a search without what it searches: the recipe's own values stand there.

    Raises:
        UsageError: a range cannot be read.
    """
    overrides, _ = parse(request.overrides)
    return replace(request, recipe=None if request.recipe == AUTO else request.recipe, overrides=overrides)


def _range(override: str, text: str) -> Range:
    low, _, high = text.partition("..")
    ends = [_value(low), _value(high)]
    if (
        not all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends)
        or ends[0] >= ends[1]
    ):
        raise UsageError(
            "cannot read the range", got=override, expected="key=low..high, two numbers in order"
        )
    return Range(float(ends[0]), float(ends[1]), all(isinstance(end, int) for end in ends))


def _value(text: str) -> Any:
    value = yaml.safe_load(text)
    if isinstance(value, str):
        # YAML 1.1 reads 1e-3 as a string.
        try:
            return float(value)
        except ValueError:
            return value.strip()
    return value


def usual(plan: "Plan") -> dict[str, Range | Values]:
    """Return what is worth trying where nothing is named: rates, batch size, epochs, regularisation, pooling.

    The ranges lie around the recipe's own values; settings that the recipe's network lacks are left out.
    """
    training = plan.training
    space: dict[str, Range | Values] = {}
    if hasattr(training, "learning_rate"):
        space["training.learning_rate"] = Range(training.learning_rate / 5, training.learning_rate * 5, False)
        space["training.epochs"] = Values(_around(training.epochs))
        space["training.batch_size"] = Values(_around(training.batch_size))
        space["training.weight_decay"] = Values((0.0, 1e-5, 1e-4, 1e-3, 1e-2))
    if hasattr(training, "label_smoothing"):
        space["training.label_smoothing"] = Values((0.0, 0.05, 0.1))
    if (mixup := getattr(plan.sections.get("augmentation"), "mixup", None)) is not None:
        space["augmentation.mixup"] = Values(tuple(sorted({0.0, 0.2, 0.4, mixup})))
    model = plan.recipe["model"]
    if poolings := _literals(plan.sections["model"], "pooling"):
        space["model.pooling"] = Values(poolings)
    space |= {f"model.{key}": Range(0.0, 0.7, False) for key in ("dropout",) if model.get(key) is not None}
    return space


def _literals(section: Any, name: str) -> tuple[Any, ...]:
    """Return the values that a setting of a section can have, where they are listed; else nothing."""
    field = type(getattr(section, "root", section)).model_fields.get(name)
    kind = None if field is None else field.annotation
    return get_args(kind) if get_origin(kind) is Literal else ()


def _around(number: int) -> tuple[int, ...]:
    return tuple(sorted({max(1, number // 2), number, number * 2}))


def defaults(space: Space, plan: "Plan") -> dict[str, Any]:
    """Return the recipe's own values of the settings that are searched, where the space has them."""
    own = {}
    for key, choice in space.items():
        section, _, name = key.partition(".")
        value = plan.recipe["name"] if key == "recipe" else (plan.recipe.get(section) or {}).get(name)
        inside = value in choice.values if isinstance(choice, Values) else _inside(choice, value)
        if inside:
            own[key] = json.dumps(value) if isinstance(choice, Values) else value
    return own


def first(space: Space, plan: "Plan") -> list[dict[str, Any]]:
    """Return what is tried first: the recipe's own values, then these with another kind of one thing.

    Another recipe, or another way of pooling, changes more than another number does, and is not to be judged
    beside a learning rate that was drawn at random.
    """
    own = defaults(space, plan)
    kinds = {
        key: [value for value in choice.values if isinstance(value, str)]
        for key, choice in space.items()
        if isinstance(choice, Values)
    }
    return [own, *(own | {key: json.dumps(value)} for key, values in kinds.items() for value in values)]


def _inside(choice: Range, value: Any) -> bool:
    return isinstance(value, int | float) and choice.low <= value <= choice.high


def overrides(params: Mapping[str, Any]) -> tuple[str, ...]:
    """Write the values of a trial as overrides of a recipe."""
    return tuple(f"{key}={json.dumps(value)}" for key, value in params.items() if key != "recipe")


def chosen(space: Space, params: Mapping[str, Any]) -> dict[str, Any]:
    """Turn what the search keeps of a trial into the values of its settings."""
    return {
        key: json.loads(value) if isinstance(space.get(key), Values) else value
        for key, value in params.items()
    }


def qualified(space: Space, settings: Mapping[str, Iterable[str]]) -> dict[str, Range | Values]:
    """Name the section of every setting.

    Args:
        space: keys with or without a section.
        settings: names of the settings of each section.

    Raises:
        UsageError: no section, or several, have such a setting; or it decides which data are compared.
    """
    ranges = {}
    for key, choice in space.items():
        full = key if key == "recipe" or "." in key else _section(key, settings)
        if full.startswith(("data.", "gate.")):
            raise UsageError(
                f"{full} cannot be searched",
                got="a setting that no validation metric can judge",
                expected="a setting of featurizer, model, augmentation or training",
            )
        ranges[full] = choice
    return ranges


def _section(key: str, settings: Mapping[str, Iterable[str]]) -> str:
    owners: Sequence[str] = [section for section, names in settings.items() if key in names]
    if len(owners) != 1:
        meant = " or ".join(f"{owner}.{key}" for owner in owners) or "section.key=values"
        similar = None if owners else near(key, {name for names in settings.values() for name in names})
        raise UsageError("cannot tell the section of a setting", got=key, expected=meant, todo=similar)
    return f"{owners[0]}.{key}"
