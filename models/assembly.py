"""Put featurizer, backbone and head together, and plan the phases of their training."""

import hashlib
from collections.abc import Sequence
from typing import Any

import keras

from features.store import fingerprint
from models.cnn import head as build_head
from models.tasks.task import Network, Phase


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
    mode: str,
    epochs: int,
    hidden: Sequence[int] = (),
    dropout: float = 0.0,
    augmentation: Any | None = None,
    fine_tune_epochs: int = 0,
    fine_tune_learning_rate: float | None = None,
) -> Network:
    """Join the parts and plan their training.

    Args:
        featurizer: raw examples to features.
        backbone: layer or model from features to vectors [batch, width].
        width: length of the backbone's vector.
        classes: length of the output.
        mode: ``scratch`` trains everything at once; ``frozen`` trains the head on vectors computed
            once; ``fine-tune`` does that first and then trains everything at a lower rate.
        epochs: of the first phase.
        hidden: units of dense layers in the head.
        dropout: before the logits.
        augmentation: random changes of the features while training, or None.
        fine_tune_epochs: of the second phase.
        fine_tune_learning_rate: highest learning rate of the second phase.
    """
    head = build_head(width, classes, hidden=hidden, dropout=dropout)
    inputs = keras.Input(featurizer.spec.shape, dtype=featurizer.spec.dtype, name="features")
    vectors = backbone(inputs)
    whole, embed = keras.Model(inputs, head(vectors)), keras.Model(inputs, vectors)
    pixels = Stage(featurizer)
    if mode == "scratch":
        phases: tuple[Phase, ...] = (Phase("train", pixels, whole, augmentation, epochs),)
    elif mode == "frozen" and augmentation is not None:
        # Random changes cannot be cached behind the backbone: it runs in every epoch, unchanged.
        backbone.trainable = False
        phases = (Phase("head", pixels, whole, augmentation, epochs),)
    else:
        phases = (Phase("head", Stage(featurizer, backbone), head, None, epochs),)
    if mode == "fine-tune":
        phases += (
            Phase("fine-tune", pixels, whole, augmentation, fine_tune_epochs, fine_tune_learning_rate),
        )
    return Network(featurizer, whole, embed, phases)
