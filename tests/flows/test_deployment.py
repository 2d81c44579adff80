"""The form of a training in Prefect's UI: choices, descriptions, defaults, refusals."""

from contextlib import nullcontext
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from flows import deployment
from flows.runs.plans import recipe
from models.tasks import TASKS

NEEDED = {"task": "image-classification", "data": "photos", "name": "pets"}


@pytest.fixture(scope="module")
def form() -> dict[str, Any]:
    """The schema that Prefect makes of the flow's parameters."""
    from flows.deployment import train_model

    return train_model.parameters.model_dump()


def test_tasks_and_recipes_are_choices(form: dict[str, Any]) -> None:
    assert form["properties"]["task"]["enum"] == sorted(TASKS)
    (recipes,) = [each["enum"] for each in form["properties"]["recipe"]["anyOf"] if "enum" in each]
    assert set(recipes) == {name for task in TASKS for name in recipe.known_recipes(task)}


@pytest.mark.parametrize(
    ("given", "fits"),
    [
        ({"recipe": "cnn"}, True),
        ({"recipe": None}, True),
        ({"recipe_file": "own.yaml"}, True),
        ({"recipe": "gru"}, False),
        ({"task": "audio-classification"}, False),
    ],
)
def test_the_flow_of_a_task_takes_its_recipes_alone(given: dict[str, Any], fits: bool) -> None:
    from prefect.exceptions import ParameterTypeError

    from flows.deployment import train_image_classification

    own = train_image_classification.parameters.model_dump()
    assert Draft202012Validator(own).is_valid(NEEDED | given) is fits
    with nullcontext() if fits else pytest.raises(ParameterTypeError, match="Input should be "):
        train_image_classification.validate_parameters(NEEDED | given)


@pytest.mark.parametrize("task", sorted(TASKS))
def test_every_task_has_a_flow_with_choices(form: dict[str, Any], task: str) -> None:
    own = getattr(deployment, f"train_{task.replace('-', '_')}").parameters.model_dump()
    assert own["properties"]["task"]["enum"] == [task]
    (recipes,) = [each["enum"] for each in own["properties"]["recipe"]["anyOf"] if "enum" in each]
    assert recipes == recipe.known_recipes(task)
    described = [{n: p["description"] for n, p in each["properties"].items()} for each in (form, own)]
    assert described[0] == described[1]
    with pytest.raises(AttributeError, match="no attribute 'train_anything'"):
        _ = deployment.train_anything


def test_every_parameter_is_described(form: dict[str, Any]) -> None:
    assert form["required"] == ["task", "data", "name"]
    for name, parameter in form["properties"].items():
        assert parameter["description"], name
    for name, column in form["definitions"]["TableColumns"]["properties"].items():
        assert column["description"], name
    assert form["properties"]["seed"]["default"] == 0


@pytest.mark.parametrize(
    ("given", "fits"),
    [
        ({}, True),
        ({"recipe": "cnn", "overrides": ["training.epochs=2"], "seed": 7}, True),
        ({"columns": {"input": "file", "target": ["x", "y"]}}, True),
        ({"task": "image-something"}, False),
        ({"recipe": "best"}, False),
        ({"name": "../x"}, False),
        ({"seed": -1}, False),
        ({"overrides": ["epochs"]}, False),
        ({"columns": {"weight": "w"}}, False),
    ],
)
def test_what_does_not_fit_is_refused_by_the_form(
    form: dict[str, Any], given: dict[str, Any], fits: bool
) -> None:
    from flows.deployment import train_model

    parameters = NEEDED | given
    assert Draft202012Validator(form).is_valid(parameters) is fits
    if fits:
        train_model.validate_parameters(parameters)
