"""A network as training and export see it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras


@dataclass(frozen=True)
class Maps:
    """A network cut in two at its last convolutional maps, both halves in inference mode.

    Attributes:
        before: features [n, ...] to maps [n, height, width, channels].
        after: maps to the network's output [n, d].
    """

    before: Callable[[Any], Any]
    after: Callable[[Any], Any]

    def then(self, head: keras.Model) -> "Maps":
        """Go on from the output through a head."""
        return Maps(self.before, lambda maps: head(self.after(maps), training=False))

    def following(self, earlier: Callable[[Any], Any]) -> "Maps":
        """Put what prepares the features before the first half."""
        return Maps(lambda features: self.before(earlier(features)), self.after)


@dataclass(frozen=True)
class Backbone:
    """What comes before the head.

    Attributes:
        featurizer: raw examples [batch] to features.
        body: layer or model from features to vectors [batch, width].
        width: length of a vector.
        mode: ``scratch`` trains everything at once; ``frozen`` trains the head on vectors computed once;
            ``fine-tune`` does that first and then trains everything at a lower rate.
    """

    featurizer: Any
    body: Any
    width: int
    mode: str = "scratch"


@dataclass(frozen=True)
class Phase:
    """One leg of training.

    Attributes:
        name: as in metrics and checkpoints.
        stage: a pure, frozen callable from a batch of raw examples to the phase's input; what it
            gives is computed once and cached.
        model: uncompiled; stage output to the network's output.
        augmentation: random, training only, after the cache; None for none.
        epochs: passes over the training split.
        learning_rate: highest learning rate; None leaves it to the training settings.
        scale: [outputs], what the loss divides targets and outputs by; None where they need none.
        place: from encoded targets and the manifest's rows to targets in the coordinates of the features,
            or in the numbers that were fitted; None where targets are ready as they are encoded.
        forced: from targets to what the model takes beside its input while it is trained and measured, such
            as the words before each place (teacher forcing); None where it takes its input alone.
    """

    name: str
    stage: Any
    model: keras.Model
    augmentation: Any | None
    epochs: int
    learning_rate: float | None = None
    scale: Any | None = None
    place: Callable[[Any, Any], Any] | None = None
    forced: Callable[[Any], Any] | None = None

    def given(self, inputs: Any, targets: Any) -> Any:
        """Return what the model is called with: its input, with what it is told of the targets."""
        return inputs if self.forced is None else [inputs, self.forced(targets)]


@dataclass(frozen=True)
class Network:
    """A model with its featurizer, and how it is trained.

    Attributes:
        featurizer: raw examples [batch] to features.
        model: features to outputs, the whole as it is exported.
        embed: features to the vector before the head [batch, d].
        phases: legs of training, in order.
        views: further models over the same features, by name, for signatures of the task's own.
        maps: the same network cut at its last convolutional maps; over windows, that of one window. None
            where it has none, or a backbone keeps them to itself.
        locate: from decoded outputs in the coordinates of the features, and the width and height of each
            image [batch, 2], to outputs in pixels of the images; None where outputs have no place.
        decode: from outputs and labels to named outputs, where the recipe has a say in it; None: the task's.
        calibrate: called once the weights are trained, with batches of the validation split, inputs of the
            last phase and targets: sets variables that gradients do not move, such as thresholds; None sets
            none.
        settle: called at the end, where there is a validation split, with batches of both splits: fits anew
            what was fitted to the training split alone, so that validation could judge it. None fits nothing.
        write: from features to outputs, where the model itself must be told what comes before (see
            `Phase.forced`): one place after the other. None: the model.
    """

    featurizer: Any
    model: keras.Model
    embed: keras.Model
    phases: tuple[Phase, ...]
    views: Mapping[str, keras.Model] = field(default_factory=dict)
    maps: Maps | None = None
    locate: Callable[[Mapping[str, Any], Any], dict[str, Any]] | None = None
    decode: Callable[[Any, tuple[str, ...]], dict[str, Any]] | None = None
    calibrate: Callable[[Sequence[tuple[Any, Any]]], None] | None = None
    settle: Callable[[Sequence[tuple[Any, Any]]], None] | None = None
    write: Callable[..., Any] | None = None
