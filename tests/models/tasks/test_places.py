"""The recipes of keypoint-detection and object-detection build the networks that they name."""

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from features.errors import ConfigError
from models import tasks
from models.export.export import signatures
from tests.models import places
from tests.models.objects import random_boxes

UNTRAINED = "model.weights=null"


@pytest.mark.parametrize(
    ("recipe", "overrides", "layer"),
    [
        ("default", [UNTRAINED], "expectation"),
        ("coordinates", [UNTRAINED], "offsets"),
        ("scratch", [], "expectation"),
        ("scratch", ["model.head=coordinates"], "offsets"),
    ],
)
def test_recipes_of_keypoint_detection_build(recipe: str, overrides: list[str], layer: str) -> None:
    network = places.network("keypoint-detection", recipe, *overrides)
    assert network.model.output_shape == (None, 2, 5)
    assert network.model.get_layer(layer) is not None
    assert network.featurizer.spec.shape == (128, 128, 3)
    (phase,) = network.phases
    assert phase.augmentation.active
    assert phase.augmentation.settings.flip == "horizontal"
    if layer == "expectation":
        assert network.model.get_layer("heat").output.shape == (None, 16, 16, 2)
    backbones = [one for one in network.model.layers if isinstance(one, keras.Model)]
    assert len(backbones) == (recipe != "scratch")


@pytest.mark.parametrize(
    ("recipe", "overrides", "strides"),
    [
        ("default", [UNTRAINED], (8, 16, 32)),
        ("scratch", [], (8, 16, 32)),
        ("scratch", ["model.stride=16", "featurizer.height=192"], (16, 32)),
        ("scratch", ["model.stride=32"], (32,)),
    ],
)
def test_recipes_of_object_detection_build(recipe: str, overrides: list[str], strides: tuple) -> None:
    network = places.network("object-detection", recipe, *overrides)
    height, width, _ = network.featurizer.spec.shape
    count = sum(height // stride * (width // stride) for stride in strides)
    assert network.model.output_shape == (None, count, 9)
    assert network.phases[0].augmentation.active


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_targets_are_placed_and_answers_restored(resize: str) -> None:
    """What training is given comes back as pixels, of boxes as far as the features show them."""
    network = places.network(
        "object-detection", "scratch", f"featurizer.resize={resize}", "model.filters=[8, 8, 8]"
    )
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"width": [300, 80, 64], "height": [60, 91, 64], "orientation": [1, 6, 1]})
    sizes = np.array([[300, 60], [91, 80], [64, 64]], np.int32)
    boxes = np.stack([random_boxes(random, 4) for _ in range(3)])
    targets = np.concatenate([boxes, np.zeros((3, 4, 1))], axis=2).astype(np.float32)
    placed = network.phases[0].place(targets, frame)
    there = placed[..., 4] >= 0
    assert there.all() or resize == "crop"
    assert ((placed[there][:, :4] >= 0) & (placed[there][:, :4] <= 1)).all()
    answers = {"boxes": tf.constant(placed[..., :4]), "count": tf.constant([4, 4, 4])}
    found = network.locate(answers, sizes)["boxes"].numpy()
    shown = boxes * np.tile(sizes, 2)[:, None]
    if resize == "crop":
        least = (sizes - sizes.min(axis=1, keepdims=True)) // 2
        seen = np.concatenate([least, least + sizes.min(axis=1, keepdims=True)], axis=1)[:, None]
        shown = np.clip(shown, np.tile(seen[..., :2], 2), np.tile(seen[..., 2:], 2))
    np.testing.assert_allclose(found[there], shown[there], atol=0.02)


def test_signatures_of_a_detector_take_thresholds_of_each_example() -> None:
    network = places.small("object-detection")
    task = tasks.find("object-detection")
    made = signatures(network, task, places.LABELS["object-detection"])
    assert set(made) == {"serving_default", "detect", "embed", "occlusion"}
    outputs = made["detect"].structured_outputs
    assert outputs["boxes"].shape.as_list() == [None, 7, 4]
    assert set(outputs) == {"boxes", "classes", "labels", "scores", "count"}


def test_pairs_that_name_no_point_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"augmentation\.pairs names an unknown point"):
        places.network("keypoint-detection", "scratch", "augmentation.pairs=[[a, b]]")
