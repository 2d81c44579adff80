"""Which objects a photo shows, and where: a box, a class and a score for each."""

from dataclasses import replace
from functools import partial
from typing import Annotated, Literal

import keras
from pydantic import Field, RootModel

from features.images.augmentation import BoxAugmentation, BoxAugmentationSettings
from features.images.featurizer import ImageFeaturizerSettings
from features.ingest.rules import BoxRules
from features.settings import Settings
from features.spec import IMAGE
from features.targets import boxes
from features.targets.boxes import BOXES
from models.evaluation.measures.boxes import BOXES as MEASURED
from models.explain import sheets, subjects
from models.explain import signatures as heat_signatures
from models.export import decoding, signatures
from models.export.decoding import Thresholds
from models.network import Network
from models.networks import assembly
from models.networks.assembly import Places, Schedule
from models.networks.images import detector, pyramid
from models.pretrained import pyramids
from models.pretrained.pyramids import CnnPyramidSettings, KerasPyramidSettings
from models.task import Blueprint, Task
from models.training.settings import DetectionSettings

#: Side of the featurizer's images where the recipe names none, in pixels.
SIDE = 256
COARSEST = 32


#: Boxes are cut off at the edges of the image, and at those of the features.
PLACES = Places("boxes", decoding.within, boxes.cut_off)


class HeadSettings(Settings):
    """What says class and box, and which of them are answered."""

    stride: Literal[4, 8, 16, 32] = Field(
        8, description="pixels between two places of the finest scale; the coarsest is 32"
    )
    depth: int = Field(1, ge=0, le=4, description="convolutions of each branch before its answers")
    score_threshold: float = Field(0.05, ge=0, le=1, description="minimum score of a box")
    iou_threshold: float = Field(
        0.6, ge=0, le=1, description="maximum overlap (IoU) of two boxes of one class"
    )
    max_boxes: int = Field(100, ge=1, le=1000, description="maximum number of boxes of an image")


class PretrainedSettings(HeadSettings, KerasPyramidSettings):
    """A detector over the inner maps of a pretrained network."""


class ScratchSettings(HeadSettings, CnnPyramidSettings):
    """A detector over convolutions from scratch."""


class ModelSettings(RootModel[Annotated[PretrainedSettings | ScratchSettings, Field(discriminator="kind")]]):
    """The model section: its ``kind`` says whether it is pretrained."""


def build(blueprint: Blueprint) -> Network:
    """Make the network that a recipe's settings describe.

    Its outputs are [batch, places, 6 + classes]; see `models.networks.images.detector`.
    """
    settings = blueprint.model.root
    featurizer = pyramids.featurizer(blueprint, SIDE)
    pixels = keras.Input(featurizer.spec.shape, name="features")
    maps = pyramid.joined(pyramids.maps(blueprint, pixels, settings.stride, COARSEST), settings.channels)
    outputs = detector.heads(maps, len(blueprint.labels), settings.channels, settings.depth)
    vector = keras.layers.GlobalAveragePooling2D()(maps[max(maps)])
    augmentation = BoxAugmentation(blueprint.augmentation)
    schedule = Schedule(blueprint.epochs, augmentation if augmentation.active else None)
    whole, embed = keras.Model(pixels, outputs), keras.Model(pixels, vector)
    thresholds = Thresholds(settings.score_threshold, settings.iou_threshold, settings.max_boxes)
    network = assembly.located(featurizer, whole, embed, PLACES, schedule)
    return replace(network, decode=partial(decoding.boxes, thresholds=thresholds))


OBJECT_DETECTION = Task(
    name="object-detection",
    raw=IMAGE,
    target=BOXES,
    featurizer_settings=ImageFeaturizerSettings,
    settings=ModelSettings,
    augmentation_settings=BoxAugmentationSettings,
    build=build,
    objective=detector.DETECTION,
    evaluator=MEASURED,
    decode=decoding.boxes,
    signatures={
        "serving_default": signatures.located,
        "detect": signatures.detect,
        "embed": signatures.embed,
        "occlusion": heat_signatures.occlusion(sheets.of_images, subjects.of_box),
    },
    report=("box metrics", "box errors", "training", "kernels"),
    rules=BoxRules,
    training=DetectionSettings,
)
