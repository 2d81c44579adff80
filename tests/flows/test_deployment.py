"""The form of a training in Prefect's UI: choices, descriptions, defaults, refusals."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from flows.runs.plans import recipe
from flows.runs.plans.form import of_task
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


def test_the_form_of_a_schedule_has_the_choices_of_its_task(form: dict[str, Any]) -> None:
    narrowed = Draft202012Validator(of_task(form, "image-classification"))
    for given, fits in (
        ({"recipe": "cnn"}, True),
        ({"recipe": None}, True),
        ({"recipe": "gru"}, False),
        ({"task": "audio-classification"}, False),
    ):
        assert narrowed.is_valid(NEEDED | given) is fits
    assert "audio-classification" in form["properties"]["task"]["enum"]


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
