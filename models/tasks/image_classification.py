"""Which of several classes a photo belongs to."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field, RootModel

from features.images.augmentation import AugmentationSettings, ImageAugmentation
from features.images.featurizer import ImageFeaturizer, ImageFeaturizerSettings, image_featurizer
from features.spec import IMAGE
from models.explain import sheets
from models.explain import signatures as heat_signatures
from models.export import decoding, signatures
from models.network import Network
from models.networks import assembly, cnn
from models.networks.cnn import CnnSettings
from models.objective import CLASSIFICATION
from models.pretrained.applications import HubSettings, KerasSettings, _hub, _keras
from models.task import Blueprint, Task


class ModelSettings(
    RootModel[Annotated[HubSettings | KerasSettings | CnnSettings, Field(discriminator="kind")]]
):
    """The model section: its ``kind`` says which of the three it is."""


def _cnn(blueprint: Blueprint, settings: CnnSettings) -> tuple[ImageFeaturizer, Any, int, str]:
    featurizer = image_featurizer(blueprint.featurizer, (64, 64))
    sizes = settings.model_dump(include={"filters", "depth", "kernel", "dense", "dropout", "weight_decay"})
    network = cnn.convolutions(featurizer.spec.shape, **sizes)
    return featurizer, network, network.output_shape[-1], "scratch"


BACKBONES: dict[str, Callable[..., tuple[ImageFeaturizer, Any, int, str]]] = {
    "hub": _hub,
    "keras": _keras,
    "cnn": _cnn,
}


def build(blueprint: Blueprint) -> Network:
    """Make the network that a recipe's settings describe."""
    settings = blueprint.model.root
    featurizer, backbone, width, mode = BACKBONES[settings.kind](blueprint, settings)
    head = settings.model_dump(include={"hidden", "fine_tune_epochs", "fine_tune_learning_rate"})
    augmentation = ImageAugmentation(blueprint.augmentation)
    return assembly.network(
        featurizer,
        backbone,
        width=width,
        classes=len(blueprint.labels),
        mode=mode,
        epochs=blueprint.epochs,
        dropout=0.0 if settings.kind == "cnn" else settings.dropout,
        augmentation=augmentation if augmentation.active else None,
        **head,
    )


IMAGE_CLASSIFICATION = Task(
    name="image-classification",
    raw=IMAGE,
    featurizer_settings=ImageFeaturizerSettings,
    settings=ModelSettings,
    augmentation_settings=AugmentationSettings,
    build=build,
    objective=CLASSIFICATION,
    decode=decoding.classes,
    signatures={
        "serving_default": signatures.from_raw,
        "embed": signatures.embed,
        "from_pixels": signatures.from_features("pixels"),
        "occlusion": heat_signatures.occlusion(sheets.of_images),
        "grad_cam": heat_signatures.grad_cam(sheets.of_images),
    },
    report=("classification", "mistakes", "heatmaps", "kernels"),
)
