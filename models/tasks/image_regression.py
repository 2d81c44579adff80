"""Numbers that a photo shows: an angle, a count, a size."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from features.images.augmentation import NumberAugmentation, NumberAugmentationSettings
from features.images.featurizer import ImageFeaturizerSettings
from features.ingest.rules import NumberRules
from features.spec import IMAGE
from features.targets import numbers
from features.targets.numbers import NUMBERS
from models.evaluation.measures import regression
from models.export import decoding, signatures
from models.network import Network
from models.networks import assembly
from models.objective import REGRESSION
from models.pretrained import image_backbones
from models.pretrained.image_backbones import ModelSettings
from models.task import Blueprint, Task
from models.training.settings import RegressionSettings


def fit(blueprint: Blueprint, photos: Iterable[bytes]) -> Mapping[str, Any]:
    """Measure mean and deviation of each number over the training split."""
    return numbers.standard(blueprint.frame)


def build(blueprint: Blueprint) -> Network:
    """Make the network that a recipe's settings describe; it answers in the targets' own units."""
    mean, deviation = (np.array(blueprint.fitted[name], np.float32) for name in ("mean", "deviation"))
    head = image_backbones.head(blueprint, _signs(blueprint), (mean, deviation))
    augmentation = NumberAugmentation(blueprint.augmentation, blueprint.labels)
    schedule = image_backbones.schedule(blueprint, augmentation)
    return assembly.network(image_backbones.backbone(blueprint), head, schedule)


def _signs(blueprint: Blueprint) -> np.ndarray:
    """Return the sign that each number has in a mirror image, as the augmentation section names them."""
    return np.array([-1.0 if name in blueprint.augmentation.negated else 1.0 for name in blueprint.labels])


IMAGE_REGRESSION = Task(
    name="image-regression",
    raw=IMAGE,
    target=NUMBERS,
    featurizer_settings=ImageFeaturizerSettings,
    settings=ModelSettings,
    augmentation_settings=NumberAugmentationSettings,
    build=build,
    objective=REGRESSION,
    evaluator=regression.NUMBERS,
    decode=decoding.numbers,
    signatures={
        "serving_default": signatures.from_raw,
        "embed": signatures.embed,
        "from_pixels": signatures.from_features("pixels"),
    },
    report=("number metrics", "predictions", "largest errors", "training", "kernels"),
    fit=fit,
    rules=NumberRules,
    training=RegressionSettings,
)
