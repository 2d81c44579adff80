"""Recipes: shipped ones resolve, overrides apply, mistakes are named."""

import pytest
import yaml

from features.errors import ConfigError, NoInputError, UsageError
from flows.runs.plans import plan
from flows.runs.plans import recipe as config
from flows.runs.plans.request import Request
from models import tasks

EVERY_RECIPE = [(task, recipe) for task in tasks.TASKS for recipe in config.known_recipes(task)]


@pytest.mark.parametrize(("task", "recipe"), EVERY_RECIPE)
def test_every_shipped_recipe_resolves_and_resolves_to_itself(task, recipe):
    sections = plan.sections(tasks.find(task), seed=3)
    resolved = config.resolve(config.read_recipe(task, recipe), sections)
    again = config.resolve(yaml.safe_load(yaml.safe_dump(resolved)), sections)
    assert again == resolved
    # A corpus is not split, so that no seed decides it.
    assert resolved["data"].get("seed", 3) == 3
    assert ("seed" in resolved["data"]) is (task != "word-vectors")


@pytest.mark.parametrize(("task", "recipe"), EVERY_RECIPE)
def test_every_recipe_says_how_it_is_run_and_what_to_expect(task, recipe):
    text = config.recipe_path(task, recipe).read_text()
    header = [line for line in text.splitlines() if line.startswith("#")]
    assert any("servable " in line for line in header)
    assert len(header) >= 4


def test_contract_names_of_image_classification():
    assert {"frozen", "fine-tune", "cnn", "keras"} <= set(config.known_recipes("image-classification"))
    assert config.default_recipe("image-classification") == "frozen"


def test_overrides_reach_the_typed_settings():
    overrides = (
        "training.learning_rate=1e-4",
        "model.filters=[8, 16]",
        "augmentation.flip=both",
        "gate.min_metric=0.5",
    )
    recipe = config.read_recipe("image-classification", "cnn", overrides)
    sections = plan.sections(tasks.find("image-classification"), seed=0)
    resolved = config.resolve(recipe, sections)
    assert resolved["training"]["learning_rate"] == 1e-4
    assert resolved["model"]["filters"] == [8, 16]
    assert resolved["augmentation"]["flip"] == "both"
    assert resolved["gate"]["min_metric"] == 0.5


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("training.learningrate=1", ["training.learningrate", "learning_rate"]),
        ("training.epochs=0", ["training.epochs", "0", "greater than or equal to 1"]),
        ("nowhere.x=1", ["nowhere", "training"]),
        ("model.kind=transformer", ["model", "transformer"]),
        ("model.filters=many", ["filters", "many"]),
        ("training=fast", ["training", "fast"]),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_expected(override, words):
    recipe = config.read_recipe("image-classification", "cnn", (override,))
    with pytest.raises(ConfigError) as caught:
        config.resolve(recipe, plan.sections(tasks.find("image-classification"), seed=0))
    for word in words:
        assert word in str(caught.value)
    assert caught.value.exit_code == 78


def test_a_key_that_one_section_has_needs_no_section():
    recipe = config.read_recipe("image-clustering", None, ("k=2",))
    assert recipe["model"]["k"] == 2
    assert "k" not in recipe
    named = config.read_recipe("image-clustering", None, ("name=mine", "unheard=1"))
    assert (named["name"], named["unheard"]) == ("mine", 1)
    with pytest.raises(
        UsageError, match=r"ambiguous key in --set; got dropout; expected a\.dropout or b\.dropout"
    ):
        config._apply({"a": {"dropout": 1}, "b": {"dropout": 2}}, "dropout=3", {})


def test_epochs_that_a_user_sets_are_kept():
    for overrides, wanted in (
        (("training.epochs=2",), None),
        (("epochs=2",), None),
        (("learning_rate=1e-3",), 1000),
    ):
        recipe = config.read_recipe("tabular-classification", "mlp", overrides)
        assert recipe["training"].get("min_steps") == wanted
    both = config.read_recipe("tabular-classification", "mlp", ("epochs=2", "training.min_steps=7"))
    assert both["training"]["min_steps"] == 7


@pytest.mark.parametrize("override", ["training.epochs", "=3", "training..epochs=3", "training.epochs=[1"])
def test_an_unreadable_override_is_a_usage_error(override):
    with pytest.raises(UsageError):
        config.read_recipe("image-classification", "cnn", (override,))


def test_unknown_recipes_and_files(tmp_path):
    with pytest.raises(UsageError, match="cnn, digits, fine-tune"):
        config.read_recipe("image-classification", "resnet")
    with pytest.raises(NoInputError):
        config.read_recipe("image-classification", str(tmp_path / "mine.yaml"))


def test_a_recipe_file_of_ones_own(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("task: image-classification\nmodel: {kind: cnn}\n")
    recipe = config.read_recipe("image-classification", str(mine))
    assert recipe["name"] == "mine"
    mine.write_text("task: audio-classification\n")
    with pytest.raises(ConfigError, match="for another task"):
        config.read_recipe("image-classification", str(mine))
    mine.write_text("- a\n- list\n")
    with pytest.raises(ConfigError, match="not a mapping"):
        config.read_recipe("image-classification", str(mine))
    mine.write_text("a: [\n")
    with pytest.raises(ConfigError, match="not YAML"):
        config.read_recipe("image-classification", str(mine))


def test_a_training_of_an_earlier_version_has_the_defaults_of_a_section_it_lacks():
    now = plan.resolve(Request("image-classification", ".", "pets", recipe="cnn"))
    recorded = {name: content for name, content in now.recipe.items() if name != "canary"}
    assert plan.Plan(now.request, recorded).sections == now.sections
