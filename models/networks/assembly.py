"""Put featurizer, backbone and head together, and plan the phases of their training."""

import hashlib
from collections.abc import Sequence
from typing import Any

import keras

from features.datasets.feature_store import fingerprint
from features.errors import ConfigError
from models.network import Network, Phase
from models.networks import last_maps
from models.networks.cnn import head as build_head
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


def network(
    featurizer: Any,
    backbone: Any,
    *,
    width: int,
    classes: int,
    hidden: Sequence[int] = (),
    dropout: float = 0.0,
    max_norm: float | None = None,
    **legs: Any,
) -> Network:
    """Join the parts and plan their training.

    Args:
        featurizer: raw examples to features.
        backbone: layer or model from features to vectors [batch, width].
        width: length of the backbone's vector.
        classes: length of the output.
        hidden: units of dense layers in the head.
        dropout: before the logits.
        max_norm: largest L2 norm of the weights of a logit; None for no limit.
        **legs: mode, epochs and the rest, as `phases` takes them.
    """
    head = build_head(width, classes, hidden=hidden, dropout=dropout, max_norm=max_norm)
    inputs = keras.Input(featurizer.spec.shape, dtype=featurizer.spec.dtype, name="features")
    vectors = backbone(inputs)
    whole, embed = keras.Model(inputs, head(vectors)), keras.Model(inputs, vectors)
    found = last_maps.of(backbone)
    legs_of = phases(featurizer, backbone, head, whole, **legs)
    return Network(featurizer, whole, embed, legs_of, maps=found and found.then(head))


def over_windows(
    featurizer: Any,
    backbone: Any,
    *,
    width: int,
    classes: int,
    hidden: Sequence[int] = (),
    dropout: float = 0.0,
    **legs: Any,
) -> Network:
    """Join parts that see one window each: an example's answer is the mean over its windows.

    Arguments as of `network`; features are [batch, windows, ...]. The view ``windows`` gives the logits
    of each window, [batch, windows, classes].
    """
    vectors_of = EachWindow(backbone)
    inputs = keras.Input(featurizer.spec.shape, dtype=featurizer.spec.dtype, name="features")
    vectors = vectors_of(inputs)
    vector = keras.Input(vectors.shape[1:], name="vectors")
    of_one = build_head(width, classes, hidden=hidden, dropout=dropout)
    logits = EachWindow(of_one)(vector)
    each, head = keras.Model(vector, logits), keras.Model(vector, MeanScore()(logits))
    whole, windows = keras.Model(inputs, head(vectors)), keras.Model(inputs, each(vectors))
    embed = keras.Model(inputs, MeanVector()(vectors))
    legs_of = phases(featurizer, vectors_of, head, whole, **legs)
    found = last_maps.of(backbone)
    return Network(featurizer, whole, embed, legs_of, {"windows": windows}, found and found.then(of_one))


def phases(
    featurizer: Any,
    backbone: Any,
    head: keras.Model,
    whole: keras.Model,
    *,
    mode: str,
    epochs: int,
    augmentation: Any | None = None,
    fine_tune_epochs: int = 0,
    fine_tune_learning_rate: float | None = None,
) -> tuple[Phase, ...]:
    """Plan what is trained on what, in which order.

    Args:
        featurizer: raw examples to features.
        backbone: features to vectors.
        head: vectors to outputs.
        whole: features to outputs.
        mode: ``scratch`` trains everything at once; ``frozen`` trains the head on vectors computed
            once; ``fine-tune`` does that first and then trains everything at a lower rate.
        epochs: of the first phase.
        augmentation: random changes of the features while training, or None.
        fine_tune_epochs: of the second phase.
        fine_tune_learning_rate: highest learning rate of the second phase.

    Raises:
        ConfigError: a backbone that is to be fine-tuned has nothing that trains.
    """
    features = Stage(featurizer)
    if mode == "scratch":
        return (Phase("train", features, whole, augmentation, epochs),)
    if mode == "frozen" and augmentation is not None:
        # Random changes cannot be cached behind the backbone: it runs in every epoch, unchanged.
        backbone.trainable = False
        return (Phase("head", features, whole, augmentation, epochs),)
    first = Phase("head", Stage(featurizer, backbone), head, None, epochs)
    if mode != "fine-tune":
        return (first,)
    if not backbone.trainable_variables:
        raise ConfigError(
            "the backbone cannot be fine-tuned",
            got="no variables that train",
            expected="a module that lists its weights as trainable variables",
            todo="set model.mode=frozen, or choose another module",
        )
    return (
        first,
        Phase("fine-tune", features, whole, augmentation, fine_tune_epochs, fine_tune_learning_rate),
    )
