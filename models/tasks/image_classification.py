"""Which of several classes a photo belongs to."""

import numpy as np

from features.images.augmentation import AugmentationSettings, ImageAugmentation
from features.images.featurizer import ImageFeaturizerSettings
from features.spec import IMAGE
from models.evaluation.measures.classification import CLASSES
from models.explain import sheets
from models.explain import signatures as heat_signatures
from models.export import decoding, signatures
from models.network import Network
from models.networks import assembly
from models.objective import CLASSIFICATION
from models.pretrained import image_backbones
from models.pretrained.image_backbones import ModelSettings
from models.task import Blueprint, Task


def build(blueprint: Blueprint) -> Network:
    """Make the network that a recipe's settings describe."""
    head = image_backbones.head(blueprint, np.ones(len(blueprint.labels)))
    schedule = image_backbones.schedule(blueprint, ImageAugmentation(blueprint.augmentation))
    return assembly.network(image_backbones.backbone(blueprint), head, schedule)


IMAGE_CLASSIFICATION = Task(
    name="image-classification",
    raw=IMAGE,
    featurizer_settings=ImageFeaturizerSettings,
    settings=ModelSettings,
    augmentation_settings=AugmentationSettings,
    build=build,
    objective=CLASSIFICATION,
    evaluator=CLASSES,
    decode=decoding.classes,
    signatures={
        "serving_default": signatures.from_raw,
        "embed": signatures.embed,
        "from_pixels": signatures.from_features("pixels"),
        "occlusion": heat_signatures.occlusion(sheets.of_images),
        "grad_cam": heat_signatures.grad_cam(sheets.of_images),
    },
    report=("metrics", "classes", "mistakes", "heatmaps", "calibration", "training", "kernels"),
)
