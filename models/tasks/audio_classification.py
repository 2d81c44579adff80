"""Which of several classes a sound belongs to."""

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal

import keras
import numpy as np
from keras import layers
from pydantic import Field, RootModel

from features.errors import ConfigError
from features.settings import Settings
from features.sounds.augmentation.windows import AudioAugmentation, AudioAugmentationSettings
from features.sounds.featurizer import AudioFeaturizer, AudioFeaturizerSettings, Features, band_statistics
from features.sounds.rules import AudioRules
from features.spec import AUDIO
from features.targets.classes import CLASS
from models.evaluation.measures.classification import CLASSES
from models.explain import sheets
from models.explain import signatures as heat_signatures
from models.export import decoding, signatures
from models.network import Backbone, Network
from models.networks import assembly, blend
from models.networks.images import cnn
from models.networks.sounds import moments
from models.networks.texts import rnn
from models.networks.texts.rnn import RnnSettings
from models.objective import CLASSIFICATION
from models.pretrained.audio_hub import AudioHubLayer, HubSettings
from models.task import Blueprint, Task

#: Weights of network and linear model that a few validated sounds change little, and how little.
EQUAL, DOUBT = (0.5, 0.5), 3.0


class CnnSettings(Settings):
    """Convolutions over the spectrogram, as over an image."""

    kind: Literal["cnn"] = Field(description="convolutions from scratch")
    filters: tuple[int, ...] = Field((32, 64, 128), min_length=1, description="feature maps of each block")
    depth: int = Field(2, ge=1, le=8, description="convolutions per block")
    kernel: int = Field(3, ge=1, le=11, description="kernel size in frames and bands")
    stride: int = Field(
        1, ge=1, le=4, description="frames and bands between two places of the first convolution"
    )
    pooling: Literal["all", "time", "peaks"] = Field(
        "time",
        description="all: average feature maps over time and bands; time: over time only; peaks: over time, "
        "with the largest values beside the averages",
    )
    dense: tuple[int, ...] = Field((), description="units of dense layers after the pooling")
    dropout: float = Field(0.2, ge=0, lt=1, description="dropout rate after each block")
    weight_decay: float = Field(0.0, ge=0, description="factor of the L2 penalty on kernels")
    wide: int = Field(
        0,
        ge=0,
        description="most training sounds with which the scores of a logistic regression on means, "
        "deviations, extremes and autocorrelations over time are added to the logits; 0 for none",
    )


class ModelSettings(
    RootModel[Annotated[CnnSettings | RnnSettings | HubSettings, Field(discriminator="kind")]]
):
    """The model section: its ``kind`` says which of the three it is."""


def _featurizer(blueprint: Blueprint, features: Features | None = None) -> AudioFeaturizer:
    options = blueprint.featurizer
    own = {"seconds", "hop_seconds", "length", "features"}
    if (features or options.features) != "mfcc":
        own |= {"n_mfcc"}
    return AudioFeaturizer(
        blueprint.rules.sample_rate,
        options.seconds,
        options.hop_seconds,
        options.length,
        features or options.features,
        blueprint.rules.max_audio_seconds,
        options.model_dump(exclude=own),
    )


def fit(blueprint: Blueprint, sounds: Iterable[bytes]) -> Mapping[str, Any]:
    """Measure mean and deviation of each band over the training split; nothing where samples are heard.

    Of at most ``model.wide`` sounds a linear model is fitted as well.
    """
    if blueprint.model.root.kind == "hub":
        return {}
    featurizer, most = _featurizer(blueprint), getattr(blueprint.model.root, "wide", 0)
    if not most or (blueprint.frame["split"] == "train").sum() > most:
        return band_statistics(featurizer, sounds)
    rows: list[np.ndarray] = []
    fitted = band_statistics(
        featurizer, sounds, watch=lambda windows: rows.append(moments.moments(windows).numpy())
    )
    classes = CLASS.encode(blueprint.frame[blueprint.frame["split"] == "train"])
    return fitted | {"moments": moments.fit(np.concatenate(rows), classes, len(blueprint.labels))}


def _normalised(blueprint: Blueprint, shape: tuple[int | None, ...], body: Any) -> keras.Model:
    """Put the scaling by the training split's bands before a network of [frames, bands]."""
    mean, deviation = (np.array(blueprint.fitted[name]) for name in ("mean", "deviation"))
    inputs = keras.Input(shape, name="spectrogram")
    scaled = layers.Normalization(axis=-1, mean=mean, variance=deviation**2)(inputs)
    return keras.Model(inputs, body(scaled), name="spectrogram_network")


def _cnn(blueprint: Blueprint, settings: CnnSettings) -> Backbone:
    featurizer = _featurizer(blueprint)
    shape = featurizer.spec.shape[1:]
    sizes = settings.model_dump(exclude={"kind", "pooling", "wide"})
    # Time runs along the height of the spectrogram, bands along its width.
    pooling = {"all": "all", "time": "height", "peaks": "height-peaks"}[settings.pooling]
    network = cnn.convolutions((*shape, 1), pooling=pooling, **sizes)
    body = _normalised(blueprint, shape, lambda x: network(layers.Reshape((*shape, 1))(x)))
    return Backbone(featurizer, body, network.output_shape[-1])


def _rnn(blueprint: Blueprint, settings: RnnSettings) -> Backbone:
    featurizer = _featurizer(blueprint)
    shape = featurizer.spec.shape[1:]
    network = rnn.recurrent(shape, **settings.model_dump(exclude={"kind"}))
    return Backbone(featurizer, _normalised(blueprint, shape, network), network.output_shape[-1])


def _hub(blueprint: Blueprint, settings: HubSettings) -> Backbone:
    layer = AudioHubLayer(settings.backbone, str(blueprint.hub))
    if blueprint.rules.sample_rate != layer.RATE:
        raise ConfigError(
            f"the module {settings.backbone} needs sounds of one sample rate",
            got=f"data.sample_rate {blueprint.rules.sample_rate}",
            expected=f"{layer.RATE}",
            todo="correct data.sample_rate",
        )
    featurizer = _featurizer(blueprint, "samples")
    return Backbone(featurizer, layer, int(layer.output_shape[-1] or 0), settings.mode)


NETWORKS: dict[str, Callable[[Blueprint, Any], Backbone]] = {
    "cnn": _cnn,
    "rnn": _rnn,
    "hub": _hub,
}


def build(blueprint: Blueprint) -> Network:
    """Make the network that a recipe's settings describe."""
    settings = blueprint.model.root
    head = assembly.Head(
        len(blueprint.labels),
        hidden=getattr(settings, "hidden", ()),
        # Convolutions from scratch drop activations after each block already.
        dropout=0.0 if settings.kind == "cnn" else settings.dropout,
    )
    augmentation = AudioAugmentation(blueprint.augmentation, len(blueprint.labels))
    schedule = assembly.Schedule(
        blueprint.epochs,
        augmentation if augmentation.active else None,
        getattr(settings, "fine_tune_epochs", 0),
        getattr(settings, "fine_tune_learning_rate", None),
    )
    backbone = NETWORKS[settings.kind](blueprint, settings)
    network = assembly.over_windows(backbone, head, schedule)
    fitted = blueprint.fitted.get("moments")
    if not fitted:
        return network
    linear = moments.Linear(backbone.featurizer.spec.shape[-1], len(blueprint.labels), fitted)
    return blend.beside(network, linear, EQUAL, DOUBT, linear.refit)


AUDIO_CLASSIFICATION = Task(
    name="audio-classification",
    raw=AUDIO,
    featurizer_settings=AudioFeaturizerSettings,
    settings=ModelSettings,
    augmentation_settings=AudioAugmentationSettings,
    build=build,
    objective=CLASSIFICATION,
    evaluator=CLASSES,
    decode=decoding.classes,
    signatures={
        "serving_default": signatures.windowed,
        "embed": signatures.embed,
        "from_samples": signatures.from_samples,
        "occlusion": heat_signatures.occlusion(sheets.of_sounds),
        "grad_cam": heat_signatures.grad_cam(sheets.of_sounds),
    },
    report=("metrics", "classes", "mistakes", "heatmaps", "windows", "calibration", "training", "kernels"),
    fit=fit,
    rules=AudioRules,
)
