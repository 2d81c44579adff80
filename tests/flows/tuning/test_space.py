"""What a search tries, as the command line says it."""

from pathlib import Path

import optuna
import pytest

from features.errors import UsageError
from flows.runs.plans import plan as plans
from flows.runs.plans import settings
from flows.runs.plans.request import Request
from flows.tuning import space
from flows.tuning.space import Range, Values
from models import tasks


def test_values_and_ranges_are_told_from_plain_overrides() -> None:
    plain, found = space.parse(
        ("training.epochs=3", "lr=1e-4..1e-2", "units=8..64", "kind=cnn,rnn", "sizes=[1,2]", "dropout=0,0.5")
    )
    assert plain == ("training.epochs=3", "sizes=[1,2]")
    assert found == {
        "lr": Range(1e-4, 1e-2, whole=False),
        "units": Range(8, 64, whole=True),
        "kind": Values(("cnn", "rnn")),
        "dropout": Values((0, 0.5)),
    }


@pytest.mark.parametrize("override", ["lr=1..", "lr=2..1", "lr=a..b", "lr=true..false"])
def test_ranges_that_are_none(override: str) -> None:
    with pytest.raises(UsageError, match="cannot read the range"):
        space.parse((override,))


def test_suggestions_keep_to_the_range_and_its_scale() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    wide = [Range(1e-4, 1.0, whole=False).suggest(study.ask(), "x") for _ in range(200)]
    assert min(wide) >= 1e-4
    assert max(wide) <= 1.0
    # By its logarithm, half of the values lie below the geometric middle.
    assert 0.4 < sum(value < 1e-2 for value in wide) / 200 < 0.6
    whole = {Range(1, 3, whole=True).suggest(study.ask(), "n") for _ in range(50)}
    assert whole == {1, 2, 3}
    assert {type(Values(([1], "a")).suggest(study.ask(), "y")) for _ in range(20)} == {list, str}


def test_the_section_of_a_setting_is_found() -> None:
    names = settings.names(tasks.find("image-classification"))
    found = space.qualified({"patience": Values((1, 2)), "model.kind": Values(("cnn",))}, names)
    assert set(found) == {"training.patience", "model.kind"}
    for wrong in ("nothing", "weight_decay", "data.seed", "validation_fraction", "gate.parity"):
        with pytest.raises(UsageError):
            space.qualified({wrong: Values((1, 2))}, names)


def test_the_usual_space_lies_around_the_recipe(tmp_path: Path) -> None:
    plan = plans.resolve(
        Request("tabular-classification", str(tmp_path), "x", recipe="mlp", workspace=str(tmp_path))
    )
    found = space.usual(plan)
    rate = found["training.learning_rate"]
    assert isinstance(rate, Range)
    assert rate.low < plan.training.learning_rate < rate.high
    assert set(space.defaults(found, plan)) == set(found)
    again = plans.resolve(
        Request(
            "tabular-classification",
            str(tmp_path),
            "x",
            recipe="mlp",
            overrides=space.overrides(space.chosen(found, space.defaults(found, plan))),
            workspace=str(tmp_path),
        )
    )
    # A minimum of steps gives way to epochs that are set.
    same = {key: value for key, value in plan.recipe["training"].items() if key != "min_steps"}
    assert same.items() <= again.recipe["training"].items()


def test_the_usual_space_of_sounds_has_what_else_decides(tmp_path: Path) -> None:
    overrides = ("training.epochs=9", "augmentation.mixup=0.3")
    plan = plans.resolve(
        Request("audio-classification", str(tmp_path), "x", "cnn", overrides, workspace=str(tmp_path))
    )
    found = space.usual(plan)
    assert found["model.pooling"] == Values(("all", "time", "peaks"))
    assert found["augmentation.mixup"] == Values((0.0, 0.2, 0.3, 0.4))
    own = space.defaults(found, plan)
    assert own["augmentation.mixup"] == "0.3"
    # Another way of pooling is tried beside the recipe's own numbers.
    tried = [
        params | {"model.pooling": params["model.pooling"].strip('"')} for params in space.first(found, plan)
    ]
    assert [params.pop("model.pooling") for params in tried] == ["time", "all", "time", "peaks"]
    assert all(params == {key: own[key] for key in params} for params in tried)
