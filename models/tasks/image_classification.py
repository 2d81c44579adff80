"""Which of several classes a photo belongs to."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Field, RootModel

from features.images.augmentation import AugmentationSettings, ImageAugmentation
from features.images.featurizer import ImageFeaturizer
from features.settings import Settings
from features.spec import IMAGE
from models.networks import assembly, cnn
from models.pretrained import applications
from models.export import decoding, signatures
from models.explain import signatures as heat_signatures, sheets
from models.pretrained.hub import HubLayer
from models.objective import CLASSIFICATION
from models.task import Blueprint, Network, Task

#: MobileNet V2 is the smallest module that is good on photos: 11 MB.
DEFAULT_MODULE = "https://tfhub.dev/google/imagenet/mobilenet_v2_100_224/feature_vector/5"


class ImageFeaturizerSettings(Settings):
    """Size in pixels that images are brought to, and how; None takes what the backbone wants."""

    height: int | None = Field(None, ge=8, le=2048, description="pixels; null takes what the backbone wants")
    width: int | None = Field(None, ge=8, le=2048, description="pixels; null takes what the backbone wants")
    resize: Literal["stretch", "crop", "pad"] = Field(
        "stretch", description="what becomes of the aspect ratio"
    )


class Pretrained(Settings):
    """What backbones with weights of their own share."""

    mode: Literal["frozen", "fine-tune"] = Field(
        "frozen", description="frozen trains the head alone; fine-tune then trains everything"
    )
    hidden: tuple[int, ...] = Field((), description="units of dense layers between backbone and logits")
    dropout: float = Field(0.2, ge=0, lt=1, description="share of activations dropped before the logits")
    fine_tune_epochs: int = Field(5, ge=1, description="passes with everything trained")
    fine_tune_learning_rate: float = Field(1e-5, gt=0, description="the highest of these passes")
    batch_norm: Literal["inference", "training"] = Field(
        "inference", description="whether fine-tuning keeps the backbone's batch-norm statistics"
    )


class HubSettings(Pretrained):
    """A TF-Hub module by handle or folder."""

    kind: Literal["hub"] = Field(description="a TF-Hub module")
    backbone: str = Field(DEFAULT_MODULE, description="tfhub.dev or Kaggle handle, or a module's folder")


class KerasSettings(Pretrained):
    """A keras.applications network; without weights everything trains from the start."""

    kind: Literal["keras"] = Field(description="a keras.applications network")
    backbone: str = Field("MobileNetV2", description="name in keras.applications")
    weights: str | None = Field("imagenet", description="imagenet, a weights file, or null for random ones")


class CnnSettings(Settings):
    """A plain stack of convolutions, trained from scratch."""

    kind: Literal["cnn"] = Field(description="convolutions from scratch")
    filters: tuple[int, ...] = Field(
        (32, 64, 128), min_length=1, description="feature maps of each block; blocks halve height and width"
    )
    depth: int = Field(2, ge=1, le=8, description="convolutions in a block")
    kernel: int = Field(3, ge=1, le=11, description="height and width of a kernel, in pixels")
    dense: tuple[int, ...] = Field((), description="units of dense layers after the pooling")
    dropout: float = Field(0.2, ge=0, lt=1, description="share of activations dropped after each block")
    weight_decay: float = Field(0.0, ge=0, description="factor of the L2 penalty on kernels")


class ModelSettings(
    RootModel[Annotated[HubSettings | KerasSettings | CnnSettings, Field(discriminator="kind")]]
):
    """The model section: its ``kind`` says which of the three it is."""


def image_featurizer(wanted: ImageFeaturizerSettings, shape: tuple[int | None, ...]) -> ImageFeaturizer:
    """Make the featurizer of the wanted size, or of a backbone's shape [h, w, 3], 224 where that is free."""
    height, width = shape[0] or 224, shape[1] or 224
    return ImageFeaturizer(wanted.height or height, wanted.width or width, resize=wanted.resize)


def _hub(blueprint: Blueprint, settings: HubSettings) -> tuple[ImageFeaturizer, HubLayer, int, str]:
    layer = HubLayer(settings.backbone, str(blueprint.hub), settings.batch_norm)
    layer.require(blueprint.featurizer.height, blueprint.featurizer.width)
    featurizer = image_featurizer(blueprint.featurizer, layer.input_shape_of_one)
    return featurizer, layer, int(layer.output_shape_of_one[-1] or 0), settings.mode


def _keras(blueprint: Blueprint, settings: KerasSettings) -> tuple[ImageFeaturizer, Any, int, str]:
    featurizer = image_featurizer(blueprint.featurizer, (224, 224))
    learn = settings.weights is None or settings.batch_norm == "training"
    network = applications.application(
        settings.backbone, settings.weights, featurizer.spec.shape, learn_batch_norm=learn
    )
    mode = settings.mode if settings.weights else "scratch"
    return featurizer, network, network.width, mode


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
