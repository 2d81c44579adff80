"""Where in a photo named points are: the corners of eyes, the joints of a hand, the ends of a part."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import keras
import numpy as np
from pydantic import Field, RootModel

from features.errors import ConfigError
from features.images.augmentation import PointAugmentation, PointAugmentationSettings
from features.images.featurizer import ImageFeaturizerSettings
from features.ingest.rules import PointRules
from features.settings import Settings
from features.spec import IMAGE
from features.targets import points
from features.targets.points import POINTS
from models.evaluation.measures.points import POINTS as MEASURED
from models.explain import sheets, subjects
from models.explain import signatures as heat_signatures
from models.export import decoding, signatures
from models.network import Network
from models.networks import assembly
from models.networks.assembly import Places, Schedule
from models.networks.images import keypoints, pyramid
from models.pretrained import pyramids
from models.pretrained.pyramids import CnnPyramidSettings, KerasPyramidSettings
from models.task import Blueprint, Task
from models.training.settings import KeypointSettings

#: Side of the featurizer's images where the recipe names none, in pixels.
SIDE = 160
COARSEST = 32


class HeadSettings(Settings):
    """What finds the points."""

    head: Literal["heatmaps", "coordinates"] = Field(
        "heatmaps", description="heatmaps: the mean place of a map for each point; coordinates: a dense layer"
    )
    stride: Literal[4, 8, 16] = Field(8, description="pixels of the image that one place of a heat map spans")
    dropout: float = Field(0.2, ge=0, lt=1, description="dropout rate before the dense layer of coordinates")


class PretrainedSettings(HeadSettings, KerasPyramidSettings):
    """Heads over the inner maps of a pretrained network."""


class ScratchSettings(HeadSettings, CnnPyramidSettings):
    """Heads over convolutions from scratch."""


class ModelSettings(RootModel[Annotated[PretrainedSettings | ScratchSettings, Field(discriminator="kind")]]):
    """The model section: its ``kind`` says whether it is pretrained."""


def fit(blueprint: Blueprint, photos: Iterable[bytes]) -> Mapping[str, Any]:
    """Measure the mean shape of the training split, in shares of width and height.

    Raises:
        ConfigError: ``data.distance`` names a point that is not there.
    """
    if unknown := sorted({*(blueprint.rules.distance or ())} - {*blueprint.labels}):
        raise ConfigError(
            "data.distance names an unknown point",
            got=", ".join(map(repr, unknown)),
            expected=f"two of {', '.join(map(repr, blueprint.labels))}",
        )
    encoded = POINTS.encode(blueprint.frame[blueprint.frame["split"] == "train"])
    labelled = np.maximum(encoded[..., 2].sum(axis=0), 1)
    return {"shape": (encoded[..., :2].sum(axis=0) / labelled[:, None]).tolist()}


def build(blueprint: Blueprint) -> Network:
    """Make the network that a recipe's settings describe.

    Its outputs are [batch, points, 5]; see `models.networks.images.keypoints`.
    """
    settings = blueprint.model.root
    featurizer = pyramids.featurizer(blueprint, SIDE)
    pixels = keras.Input(featurizer.spec.shape, name="features")
    count = len(blueprint.labels)
    if settings.head == "heatmaps":
        maps = pyramids.maps(blueprint, pixels, settings.stride, COARSEST)
        joined = pyramid.joined(maps, settings.channels)
        vector = keras.layers.GlobalAveragePooling2D()(joined[max(joined)])
        outputs = keypoints.heat_maps(joined[settings.stride], count, settings.channels)
    else:
        (coarsest,) = pyramids.maps(blueprint, pixels, COARSEST, COARSEST).values()
        vector = keras.layers.GlobalAveragePooling2D()(coarsest)
        shape = np.array(blueprint.fitted["shape"])
        outputs = keypoints.coordinates(coarsest, shape, 2 * settings.channels, settings.dropout)
    partners = points.mirrored(blueprint.labels, blueprint.augmentation.pairs)
    augmentation = PointAugmentation(blueprint.augmentation, partners)
    schedule = Schedule(blueprint.epochs, augmentation if augmentation.active else None)
    whole, embed = keras.Model(pixels, outputs), keras.Model(pixels, vector)
    return assembly.located(featurizer, whole, embed, Places("points"), schedule)


KEYPOINT_DETECTION = Task(
    name="keypoint-detection",
    raw=IMAGE,
    target=POINTS,
    featurizer_settings=ImageFeaturizerSettings,
    settings=ModelSettings,
    augmentation_settings=PointAugmentationSettings,
    build=build,
    objective=keypoints.KEYPOINTS,
    evaluator=MEASURED,
    decode=decoding.points,
    signatures={
        "serving_default": signatures.located,
        "embed": signatures.embed,
        "occlusion": heat_signatures.occlusion(sheets.of_images, subjects.of_point),
    },
    report=("point metrics", "worst points", "training", "kernels"),
    fit=fit,
    rules=PointRules,
    training=KeypointSettings,
)
