"""The schemas beside the recipes, against the types they were written from."""

import pytest

from features.errors import ConfigError
from flows.runs.plans import plan, schemas, settings, usage
from flows.runs.plans import recipe as config
from models import tasks

BAD = [
    ("training.epochs=many", "training.epochs"),
    ("training.epochs=0", "training.epochs"),
    ("training.optimizer=sgdd", "training.optimizer"),
    ("model.nope=1", "model.nope"),
    ("model.filters=[]", "model.filters"),
    ("model.kind=resnet", "model"),
    ("gate.allow_ops=Abs", "gate.allow_ops"),
    ("data.merge={a: [1]}", "data.merge"),
    ("trainin.epochs=3", "trainin"),
]


@pytest.mark.parametrize("task", sorted(tasks.TASKS))
def test_the_files_are_those_of_the_types(task: str) -> None:
    kept = schemas.path(task).read_text(encoding="utf-8")
    assert kept == settings.schema(task), "a setting has changed: run python -m flows.runs.plans.settings"


@pytest.mark.parametrize("task", sorted(tasks.TASKS))
def test_recipes_resolve_as_by_the_types(task: str) -> None:
    found, kinds = tasks.find(task), schemas.types(task)
    assert schemas.names(kinds) == settings.names(found)
    for recipe in config.known_recipes(task):
        content = config.read_recipe(task, recipe)
        quick = config.resolve(content, usage.checks(kinds, seed=3))
        assert quick == config.resolve(content, plan.sections(found, seed=3))


@pytest.mark.parametrize(("override", "where"), BAD)
def test_mistakes_are_told_in_the_same_words(override: str, where: str) -> None:
    task = "image-classification"
    content = config.read_recipe(task, "cnn", [override])
    told = []
    for checks in (usage.checks(schemas.types(task), 0), plan.sections(tasks.find(task), 0)):
        with pytest.raises(ConfigError) as refused:
            config.resolve(content, checks)
        told.append(str(refused.value))
    assert told[0] == told[1]
    assert where in told[0]


def test_what_rests_on_several_settings_is_left_to_the_types() -> None:
    task, whole = "image-classification", ["data.test_fraction=0.6", "data.validation_fraction=0.6"]
    content = config.read_recipe(task, "cnn", whole)
    config.resolve(content, usage.checks(schemas.types(task), 0))
    with pytest.raises(ConfigError):
        config.resolve(content, plan.sections(tasks.find(task), 0))
