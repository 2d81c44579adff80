"""The pyramids of tasks that say where something is: inner maps of a pretrained network, or from scratch."""

from typing import Any, Literal

from pydantic import Field

from features.images.featurizer import ImageFeaturizer, image_featurizer
from features.settings import Settings
from models.networks.images import pyramid
from models.pretrained.applications import DEFAULT_MODULE
from models.pretrained.inner_maps import inner_maps
from models.task import Blueprint


class PyramidSettings(Settings):
    """What pretrained pyramids and those from scratch share."""

    channels: int = Field(64, ge=8, le=512, description="channels of the pyramid's maps")


class KerasPyramidSettings(PyramidSettings):
    """The inner maps of a keras.applications network."""

    kind: Literal["keras"] = Field(description="inner maps of a keras.applications network")
    backbone: str = Field("MobileNetV2", description="name in keras.applications")
    weights: str | None = Field(
        DEFAULT_MODULE,
        description="a TF-Hub module of the same network, imagenet, a weights file, or null for random ones",
    )
    frozen: Literal[0, 4, 8, 16, 32] = Field(
        4, description="layers up to the last maps of this stride keep their weights; 0 trains all"
    )


class CnnPyramidSettings(PyramidSettings):
    """Convolutions from scratch."""

    kind: Literal["cnn"] = Field(description="convolutions from scratch")
    filters: tuple[int, ...] = Field(
        (16, 32, 64, 96, 128),
        min_length=3,
        max_length=5,
        description="feature maps of each block; each block halves height and width",
    )
    depth: int = Field(2, ge=1, le=8, description="convolutions per block")


def featurizer(blueprint: Blueprint, size: int) -> ImageFeaturizer:
    """Make the featurizer; a size of pixels where the recipe names none."""
    return image_featurizer(blueprint.featurizer, (size, size))


def maps(blueprint: Blueprint, pixels: Any, finest: int, coarsest: int) -> dict[int, Any]:
    """Build maps of the strides from the finest to the coarsest.

    Args:
        blueprint: of the task.
        pixels: [batch, h, w, 3] in [0, 1].
        finest: stride.
        coarsest: stride.
    """
    settings = blueprint.model.root
    if settings.kind == "keras":
        shape = tuple(pixels.shape[1:])
        backbone = inner_maps(
            settings.backbone,
            settings.weights,
            shape,
            blueprint.hub,
            settings.frozen if settings.weights else 0,
        )
        every = {int(stride): x for stride, x in backbone(pixels).items()}
    else:
        every = pyramid.scratch(pixels, settings.filters, settings.depth)
    return {stride: x for stride, x in every.items() if finest <= stride <= coarsest}
