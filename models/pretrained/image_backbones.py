"""The backbones of image tasks: a hub module, a keras.applications network, or convolutions from scratch."""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
from pydantic import Field, RootModel

from features.images.featurizer import image_featurizer
from models.network import Backbone
from models.networks.assembly import Head, Schedule, Standard
from models.networks.images import cnn
from models.networks.images.cnn import CnnSettings
from models.networks.images.mirrored import BothWays
from models.pretrained.applications import HubSettings, KerasSettings, application
from models.pretrained.hub import HubLayer
from models.task import Blueprint


class ModelSettings(
    RootModel[Annotated[HubSettings | KerasSettings | CnnSettings, Field(discriminator="kind")]]
):
    """The model section: its ``kind`` says which of the three it is."""


def _hub(blueprint: Blueprint, settings: HubSettings) -> Backbone:
    layer = HubLayer(settings.backbone, str(blueprint.hub), settings.batch_norm)
    layer.require(blueprint.featurizer.height, blueprint.featurizer.width)
    featurizer = image_featurizer(blueprint.featurizer, layer.input_shape_of_one)
    return Backbone(featurizer, layer, int(layer.output_shape_of_one[-1] or 0), settings.mode)


def _keras(blueprint: Blueprint, settings: KerasSettings) -> Backbone:
    featurizer = image_featurizer(blueprint.featurizer, (224, 224))
    learn = settings.weights is None or settings.batch_norm == "training"
    network = application(
        settings.backbone,
        settings.weights,
        featurizer.spec.shape,
        learn_batch_norm=learn,
        layer=settings.layer,
        crop=settings.crop,
    )
    return Backbone(featurizer, network, network.width, settings.mode if settings.weights else "scratch")


def _cnn(blueprint: Blueprint, settings: CnnSettings) -> Backbone:
    featurizer = image_featurizer(blueprint.featurizer, (64, 64))
    network = cnn.convolutions(featurizer.spec.shape, **settings.model_dump(exclude={"kind", "mirrored"}))
    return Backbone(featurizer, network, network.output_shape[-1])


BACKBONES: dict[str, Callable[[Blueprint, Any], Backbone]] = {"hub": _hub, "keras": _keras, "cnn": _cnn}


def backbone(blueprint: Blueprint) -> Backbone:
    """Make the backbone that a recipe's model section describes.

    Raises:
        ConfigError: no such module, or one that is none of images.
        UnavailableError: the module or its weights cannot be fetched.
    """
    settings = blueprint.model.root
    one_way = BACKBONES[settings.kind](blueprint, settings)
    if not settings.mirrored:
        return one_way
    return replace(one_way, body=BothWays(one_way.body, one_way.width), width=2 * one_way.width)


def head(blueprint: Blueprint, signs: np.ndarray, standard: Standard | None = None) -> Head:
    """Make the head that a recipe's model section describes.

    Args:
        blueprint: of the task.
        signs: of the outputs of a mirror image, used where the recipe sees images both ways.
        standard: see `Head`.
    """
    settings = blueprint.model.root
    return Head(
        len(blueprint.labels),
        hidden=getattr(settings, "hidden", ()),
        # Convolutions from scratch drop activations after each block already.
        dropout=0.0 if settings.kind == "cnn" else settings.dropout,
        standard=standard,
        signs=signs if settings.mirrored else None,
    )


def schedule(blueprint: Blueprint, augmentation: Any) -> Schedule:
    """Make the schedule that a recipe's model section describes.

    Args:
        blueprint: of the task.
        augmentation: of images; left out where none of its changes is on.
    """
    settings = blueprint.model.root
    return Schedule(
        blueprint.epochs,
        augmentation if augmentation.active else None,
        getattr(settings, "fine_tune_epochs", 0),
        getattr(settings, "fine_tune_learning_rate", None),
    )
