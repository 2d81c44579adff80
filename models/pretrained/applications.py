"""What turns pixels into a vector: a hub module, a keras.applications network or our own convolutions."""

import difflib
import hashlib
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
from pydantic import Field, field_validator

from features.errors import ConfigError, NoInputError, UnavailableError
from features.settings import Settings
from models import network
from models.networks.images import last_maps as mapping


def known_applications() -> dict[str, Callable]:
    """Map the names of keras.applications networks to their constructors."""
    return {
        name: value
        for name, value in vars(keras.applications).items()
        if callable(value) and name[0].isupper()
    }


@keras.saving.register_keras_serializable("servable")
class ApplicationBackbone(keras.Layer):
    """A keras.applications network as a layer: pixels [batch, h, w, 3] in [0, 1] to vectors [batch, d].

    Args:
        application: the network's name, as in keras.applications.
        shape: [h, w, 3] of one image.
        learn_batch_norm: whether training updates batch-norm statistics; else these layers, and dropout
            within the network, always work as in inference.
        weights: ``imagenet``, the path of a weights file, or None for random ones. Not kept in the config:
            a layer made again gets its weights from where it was saved.
        layer: name of the layer whose maps are the vector, place by place; None: the last maps, averaged over
            all places.
        crop: shares of the maps' height that are left out, at the top and at the bottom. The network sees the
            whole image: where it was cut, the rows there would be those of an image that ends in the middle.

    Attributes:
        width: d.
    """

    def __init__(
        self,
        application: str,
        shape: Sequence[int | None],
        learn_batch_norm: bool = True,
        weights: str | None = None,
        layer: str | None = None,
        crop: Sequence[float] = (0.0, 0.0),
        **options: Any,
    ) -> None:
        super().__init__(**({"dtype": "float32"} | options))
        self.layer, self.crop = layer, tuple(crop)
        self.application, self.shape_of_one = application, tuple(shape)
        self.learn_batch_norm = learn_batch_norm
        constructor = known_applications()[application]
        self.preprocess = sys.modules[constructor.__module__].preprocess_input
        self.network = constructor(
            include_top=False, weights=weights, input_shape=self.shape_of_one, pooling="avg"
        )
        if layer is not None or any(self.crop):
            self.network = _up_to(self.network, layer, self.crop)
        self.width = self.network.output_shape[-1]
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Scale pixels as the network was trained on, and apply it."""
        # Handed on in a functional model, the outer call's flag would win over one fixed here.
        return self.network(self.prepared(inputs), training=bool(training) and self.learn_batch_norm)

    def prepared(self, inputs: Any) -> Any:
        """Scale pixels in [0, 1] as the network was trained on."""
        return self.preprocess(inputs * 255.0)

    def maps(self) -> network.Maps | None:
        """Find the network's last convolutional maps; None where they do not cover the whole image."""
        last_maps = None if any(self.crop) else mapping.of(self.network)
        return last_maps and last_maps.following(self.prepared)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return [batch, d]."""
        return (input_shape[0], self.width)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration of the layer, without its weights."""
        own: dict[str, Any] = {"application": self.application, "shape": self.shape_of_one}
        own |= {"layer": self.layer, "crop": self.crop}
        return super().get_config() | own | {"learn_batch_norm": self.learn_batch_norm}

    @property
    def fingerprint(self) -> str:
        """Hash of the network and its present weights; the names Keras gives layers play no part."""
        cut = f" maps {self.layer} {self.crop}" if self.layer or any(self.crop) else ""
        digest = hashlib.sha256(f"{self.application} {self.shape_of_one} {keras.__version__}{cut}".encode())
        for variable in self.network.weights:
            digest.update(np.ascontiguousarray(variable.numpy()).tobytes())
        return digest.hexdigest()[:16]


def _up_to(network: keras.Model, layer: str | None, crop: Sequence[float]) -> keras.Model:
    """Cut a network off after the maps of a layer, of which every place is kept; or average its last maps.

    Args:
        network: pixels to pooled maps.
        layer: whose maps are kept; None for the last ones.
        crop: shares of the maps' height that are left out, at the top and at the bottom.
    """
    maps = {each.name: each.output for each in network.layers if len(each.output.shape) == 4}
    if layer is not None and layer not in maps:
        near = difflib.get_close_matches(layer, maps, n=3, cutoff=0.7)
        raise ConfigError(
            f"{network.name} has no maps of this layer",
            got=layer,
            expected=f"one of its {len(maps)} layers with maps, such as {', '.join([*maps][-3:])}",
            todo=f"did you mean {' or '.join(near)}?" if near else "correct model.layer",
        )
    x = maps[layer or [*maps][-1]]
    rows = tuple(round(share * x.shape[1]) for share in crop)
    x = keras.layers.Cropping2D((rows, (0, 0)))(x) if any(rows) else x
    gather = keras.layers.GlobalAveragePooling2D() if layer is None else keras.layers.Flatten()
    return keras.Model(network.input, gather(x), name=network.name)


def application(
    name: str,
    weights: str | None,
    shape: tuple[int | None, ...],
    *,
    learn_batch_norm: bool = True,
    layer: str | None = None,
    crop: Sequence[float] = (0.0, 0.0),
) -> ApplicationBackbone:
    """Build a keras.applications network up to its pooled features, or up to the maps of a layer.

    Args:
        name: as in keras.applications, for example MobileNetV2.
        weights: ``imagenet``, the path of a weights file, or None for random ones.
        shape: [h, w, 3] of one image in [0, 1].
        learn_batch_norm: as in ApplicationBackbone.
        layer: as in ApplicationBackbone.
        crop: as in ApplicationBackbone.

    Raises:
        ConfigError: no such network or layer, or weights that do not fit it.
        NoInputError: no such weights file.
        UnavailableError: the ImageNet weights cannot be fetched.
    """
    names = known_applications()
    if name not in names:
        raise ConfigError(
            "no such keras.applications network",
            got=name,
            expected=", ".join(sorted(names)),
            todo=_suggestion(name, names),
        )
    if weights not in (None, "imagenet") and not Path(str(weights)).is_file():
        raise NoInputError(
            "no such weights file",
            got=weights,
            expected="imagenet, a file or null",
            todo="correct model.weights",
        )
    try:
        return ApplicationBackbone(
            name, shape, learn_batch_norm, weights, layer, crop, name=f"backbone_{name.lower()}"
        )
    except Exception as error:
        # Keras raises Exception itself, and no kind of it, for an address that cannot be fetched.
        if not isinstance(error, OSError | ValueError) and type(error) is not Exception:
            raise
        raise _refused(name, weights, error) from error


def _suggestion(name: str, names: Iterable[str]) -> str | None:
    folded = {one.casefold(): one for one in names}
    near = difflib.get_close_matches(re.sub(r"[\W_]", "", name.casefold()), folded, n=3, cutoff=0.7)
    return f"did you mean {' or '.join(folded[one] for one in near)}?" if near else None


def _refused(name: str, weights: str | None, error: Exception) -> Exception:
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
    if weights == "imagenet" and (not isinstance(error, ValueError) or "corrupted file" in text):
        return UnavailableError(
            f"cannot download the ImageNet weights of {name}",
            got=text,
            todo="give a file with --set model.weights=PATH, or --set model.weights=null to start at random",
        )
    return ConfigError(f"cannot build {name}", got=text, todo="correct model.weights or featurizer.height")


#: MobileNet V2 is the smallest module that is good on photos: 11 MB.
DEFAULT_MODULE = "https://tfhub.dev/google/imagenet/mobilenet_v2_100_224/feature_vector/5"


class Pretrained(Settings):
    """What backbones with weights of their own share."""

    mode: Literal["frozen", "fine-tune"] = Field(
        "frozen", description="frozen: train the head only; fine-tune: then train everything"
    )
    hidden: tuple[int, ...] = Field((), description="units of dense layers between backbone and logits")
    dropout: float = Field(0.2, ge=0, lt=1, description="dropout rate before the logits")
    fine_tune_epochs: int = Field(5, ge=1, description="epochs in which everything is trained")
    fine_tune_learning_rate: float = Field(1e-5, gt=0, description="peak learning rate of these epochs")
    batch_norm: Literal["inference", "training"] = Field(
        "inference", description="inference: keep the backbone's batch-norm statistics; training: update them"
    )
    mirrored: bool = Field(
        False, description="whether to average the predictions for an image and its mirror image"
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
    layer: str | None = Field(
        None, description="layer whose maps are kept place by place; null: the last maps, averaged"
    )
    crop: tuple[float, float] = Field(
        (0.0, 0.0),
        description="shares of the maps' height left out at the top and at the bottom, such as the sky",
    )

    @field_validator("crop")
    @classmethod
    def _leaves_something(cls, crop: tuple[float, float]) -> tuple[float, float]:
        if min(crop) < 0 or sum(crop) > 0.9:
            raise ValueError("expected two shares of the height, at least 0 and together at most 0.9")
        return crop
