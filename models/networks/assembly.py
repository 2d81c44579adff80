"""Put featurizer, backbone and head together, and plan the phases of their training."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from features.datasets.feature_store import fingerprint
from features.errors import ConfigError
from features.targets import upright
from models.network import Backbone, Network, Phase
from models.networks.images import last_maps, mirrored
from models.networks.images.cnn import head as build_head
from models.networks.windows import EachWindow, MeanScore, MeanVector


class Stage:
    """Layers applied one after the other in inference mode: pure, and named by their fingerprint."""

    def __init__(self, *layers: Any) -> None:
        self.layers = layers

    def __call__(self, batch: Any) -> Any:
        """Apply every layer to a batch."""
        for layer in self.layers:
            batch = layer(batch, training=False) if isinstance(layer, keras.Model) else layer(batch)
        return batch

    @property
    def padding(self) -> float | None:
        """What fills rows of varying length; None where all are equally long."""
        return getattr(self.layers[0], "padding", None)

    @property
    def fingerprint(self) -> str:
        """Hash of what is computed: 16 hexadecimal digits."""
        joined = "/".join(fingerprint(layer) for layer in self.layers)
        return hashlib.sha256(joined.encode()).hexdigest()[:16]


#: Mean and deviation of each output, [outputs].
Standard = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Head:
    """What turns vectors into outputs.

    Attributes:
        outputs: length of the output.
        hidden: units of dense layers before it.
        dropout: share of activations dropped before the output.
        max_norm: largest L2 norm of the weights of an output; None for no limit.
        standard: mean and deviation [outputs] that outputs are brought to, where the network answers in the
            targets' own units; the loss is then that of standardised numbers.
        signs: 1 or -1 for each output, where the backbone sees images both ways (see `mirrored.BothWays`):
            the sign that the output of a mirror image has; None for another backbone.
    """

    outputs: int
    hidden: Sequence[int] = ()
    dropout: float = 0.0
    max_norm: float | None = None
    standard: Standard | None = None
    signs: np.ndarray | None = None

    def build(self, width: int) -> keras.Model:
        """Make a new head over vectors [batch, width]."""
        if self.signs is not None:
            one_way = replace(self, signs=None)
            return mirrored.agreed(one_way.build(width // 2), width // 2, self.signs)
        return build_head(
            width,
            self.outputs,
            hidden=self.hidden,
            dropout=self.dropout,
            max_norm=self.max_norm,
            standard=self.standard,
        )


@dataclass(frozen=True)
class Schedule:
    """How long what is trained.

    Attributes:
        epochs: of the first phase.
        augmentation: random changes of the features while training, or None.
        fine_tune_epochs: of the second phase.
        fine_tune_learning_rate: highest learning rate of the second phase.
    """

    epochs: int
    augmentation: Any | None = None
    fine_tune_epochs: int = 0
    fine_tune_learning_rate: float | None = None


def network(backbone: Backbone, head: Head, schedule: Schedule) -> Network:
    """Join the parts and plan their training."""
    layers = head.build(backbone.width)
    inputs = _inputs(backbone.featurizer)
    vectors = backbone.body(inputs)
    whole, embed = keras.Model(inputs, layers(vectors)), keras.Model(inputs, vectors)
    maps = last_maps.of(backbone.body)
    legs = phases(backbone, layers, whole, head, schedule)
    return Network(backbone.featurizer, whole, embed, legs, maps=maps and maps.then(layers))


def _inputs(featurizer: Any) -> Any:
    return keras.Input(featurizer.spec.shape, dtype=featurizer.spec.dtype, name="features")


@dataclass(frozen=True)
class Places:
    """What of a network's outputs and targets are coordinates.

    Attributes:
        output: the decoded output that holds them, [batch, n, 2 k] of x and y in turn, as shares of the
            features' width and height; the first columns of encoded targets are of the same form.
        finish: what is done to outputs in pixels of images of sizes [batch, 2].
        settle: what is done to targets in the coordinates of the features.
    """

    output: str
    finish: Callable[[Mapping[str, Any], Any], dict[str, Any]] = lambda outputs, sizes: dict(outputs)
    settle: Callable[[np.ndarray], np.ndarray] = lambda targets: targets


def located(
    featurizer: Any,
    whole: keras.Model,
    embed: keras.Model,
    places: Places,
    schedule: Schedule,
) -> Network:
    """Make a network that answers where something is, trained at once.

    Args:
        featurizer: of images.
        whole: features to outputs.
        embed: features to vectors.
        places: what of outputs and targets are coordinates.
        schedule: epochs and augmentation.
    """

    def moved(move: Any, coordinates: Any, sizes: Any) -> Any:
        shape = tf.shape(coordinates)
        pairs = move(tf.reshape(coordinates, [shape[0], -1, 2]), sizes)
        return tf.reshape(pairs, shape)

    def locate(outputs: Mapping[str, Any], sizes: Any) -> dict[str, Any]:
        pixels = moved(featurizer.restored, outputs[places.output], sizes)
        return places.finish({**outputs, places.output: pixels}, sizes)

    def place(targets: np.ndarray, frame: Any) -> np.ndarray:
        columns = targets.shape[2] // 2 * 2
        coordinates = moved(featurizer.placed, targets[..., :columns], upright.sizes(frame))
        return places.settle(np.concatenate([coordinates.numpy(), targets[..., columns:]], axis=2))

    stage = Stage(featurizer)
    leg = Phase("train", stage, whole, schedule.augmentation, schedule.epochs, place=place)
    return Network(featurizer, whole, embed, (leg,), locate=locate)


def over_windows(backbone: Backbone, head: Head, schedule: Schedule) -> Network:
    """Join parts that see one window each: an example's answer is the mean over its windows.

    Arguments as of `network`; features are [batch, windows, ...]. The view ``windows`` gives the logits
    of each window, [batch, windows, classes].
    """
    vectors_of = EachWindow(backbone.body)
    inputs = _inputs(backbone.featurizer)
    vectors = vectors_of(inputs)
    vector = keras.Input(vectors.shape[1:], name="vectors")
    of_one = head.build(backbone.width)
    logits = EachWindow(of_one)(vector)
    each, mean = keras.Model(vector, logits), keras.Model(vector, MeanScore()(logits))
    whole, windows = keras.Model(inputs, mean(vectors)), keras.Model(inputs, each(vectors))
    embed = keras.Model(inputs, MeanVector()(vectors))
    legs = phases(replace(backbone, body=vectors_of), mean, whole, head, schedule)
    maps = last_maps.of(backbone.body)
    return Network(backbone.featurizer, whole, embed, legs, {"windows": windows}, maps and maps.then(of_one))


def phases(
    backbone: Backbone, layers: keras.Model, whole: keras.Model, head: Head, schedule: Schedule
) -> tuple[Phase, ...]:
    """Plan what is trained on what, in which order.

    Args:
        backbone: with the mode of its training.
        layers: the head, from vectors to outputs.
        whole: features to outputs.
        head: what the layers were made from.
        schedule: epochs, rates and augmentation.

    Raises:
        ConfigError: a backbone that is to be fine-tuned has nothing that trains.
    """
    features, augmentation = Stage(backbone.featurizer), schedule.augmentation
    scale = None if head.standard is None else head.standard[1]
    if backbone.mode == "scratch":
        return (Phase("train", features, whole, augmentation, schedule.epochs, scale=scale),)
    if backbone.mode == "frozen" and augmentation is not None:
        # Random changes cannot be cached behind the backbone: it runs in every epoch, unchanged.
        backbone.body.trainable = False
        return (Phase("head", features, whole, augmentation, schedule.epochs, scale=scale),)
    vectors = Stage(backbone.featurizer, backbone.body)
    first = Phase("head", vectors, layers, None, schedule.epochs, scale=scale)
    if backbone.mode != "fine-tune":
        return (first,)
    if not backbone.body.trainable_variables:
        raise ConfigError(
            "the backbone cannot be fine-tuned",
            got="no trainable variables",
            expected="a module that lists its weights as trainable variables",
            todo="set model.mode=frozen, or choose another module",
        )
    epochs, rate = schedule.fine_tune_epochs, schedule.fine_tune_learning_rate
    return first, Phase("fine-tune", features, whole, augmentation, epochs, rate, scale=scale)
