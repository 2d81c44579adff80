"""The named functions of an exported model: each takes what a client has and gives named outputs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from features.spec import RawKind
from models.network import Network
from models.networks import windows

#: What a signature is made from: the network, the raw kind and the decoding of its outputs. Gives a function,
#: or an Absent.
Signature = Callable[[Network, RawKind, Callable[[Any], dict[str, Any]]], Any]


#: Inputs that a request may leave out, with the values that then hold for every example of it.
DEFAULTS: dict[str, list[float]] = {"score_threshold": [np.nan], "iou_threshold": [np.nan]}


def from_raw(network: Network, raw: RawKind, decode: Callable[[Any], dict[str, Any]]) -> Any:
    """Make the signature from raw examples [batch] to decoded outputs: ``serving_default``."""

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.as_dtype(raw.dtype), name=raw.input)], autograph=False
    )
    def serving_default(examples: Any) -> dict[str, Any]:
        return decode(network.model(network.featurizer(examples), training=False))

    return serving_default


def located(network: Network, raw: RawKind, decode: Callable[[Any], dict[str, Any]]) -> Any:
    """Make ``serving_default`` of a network that answers in pixels of the image as displayed."""

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.as_dtype(raw.dtype), name=raw.input)], autograph=False
    )
    def serving_default(examples: Any) -> dict[str, Any]:
        features, sizes = network.featurizer.located(examples)
        assert network.locate is not None, "a network without places has no such signature"
        return network.locate(decode(network.model(features, training=False)), sizes)

    return serving_default


def detect(network: Network, raw: RawKind, decode: Callable[..., dict[str, Any]]) -> Any:
    """Make ``serving_default`` of a detector with thresholds of each example, or one for all.

    NaN takes the recipe's, and so does a request that leaves a threshold out.
    """
    thresholds = [
        tf.TensorSpec([None], tf.float32, name=name) for name in ("score_threshold", "iou_threshold")
    ]

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.as_dtype(raw.dtype), name=raw.input), *thresholds],
        autograph=False,
    )
    def detect(examples: Any, score_threshold: Any, iou_threshold: Any) -> dict[str, Any]:
        features, sizes = network.featurizer.located(examples)
        assert network.locate is not None, "a detector answers with places"
        outputs = network.model(features, training=False)
        return network.locate(decode(outputs, scores=score_threshold, overlaps=iou_threshold), sizes)

    return detect


def embed(network: Network, raw: RawKind, decode: Callable[[Any], dict[str, Any]]) -> Any:
    """Make the signature from raw examples [batch] to the vector before the head [batch, d]."""

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.as_dtype(raw.dtype), name=raw.input)], autograph=False
    )
    def embed(examples: Any) -> dict[str, Any]:
        return {"embedding": network.embed(network.featurizer(examples), training=False)}

    return embed


def of_texts(network: Network, raw: RawKind, decode: Callable[[Any], dict[str, Any]]) -> Any:
    """Make ``serving_default`` of a network over tokens: it also says how much of a text was read.

    Beside the decoded outputs: ``tokens`` int32 [batch], how many the text has; ``truncated`` [batch],
    whether it has more than are read.
    """

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.as_dtype(raw.dtype), name=raw.input)], autograph=False
    )
    def serving_default(texts: Any) -> dict[str, Any]:
        tokens = network.featurizer.tokens(texts)
        read = network.featurizer.cut(tokens)
        return decode(network.model(network.featurizer.ids(read), training=False)) | {
            "tokens": tf.cast(tokens.row_lengths(), tf.int32),
            "truncated": tokens.row_lengths() > read.row_lengths(),
        }

    return serving_default


def windowed(network: Network, raw: RawKind, decode: Callable[[Any], dict[str, Any]]) -> Any:
    """Make ``serving_default`` of a network over windows: it also says when what was seen.

    Beside the decoded outputs: ``window_scores`` [batch, windows, classes], 0 for windows that an example
    of the batch lacks; ``window_starts`` [batch, windows], in seconds, 0 likewise; ``windows`` [batch].
    """

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.as_dtype(raw.dtype), name=raw.input)], autograph=False
    )
    def serving_default(examples: Any) -> dict[str, Any]:
        return _over_windows(network, network.featurizer(examples), decode)

    return serving_default


def heard(network: Network, raw: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Answer one raw example window by window with the training graph.

    Returns:
        Scores [windows, classes], and when each window starts, in seconds [windows].
    """
    features = network.featurizer(tf.constant([raw]))
    logits = network.views["windows"](features, training=False)
    starts = network.featurizer.starts(tf.shape(logits)[1])
    return windows.scores(logits)[0].numpy(), starts.numpy()


def from_samples(network: Network, raw: RawKind, decode: Callable[[Any], dict[str, Any]]) -> Any:
    """Make the signature from float32 samples [batch, time] at the training rate to decoded outputs."""

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32, name="samples")], autograph=False)
    def from_samples(samples: Any) -> dict[str, Any]:
        return _over_windows(network, network.featurizer.from_samples(samples), decode)

    return from_samples


def _over_windows(network: Network, features: Any, decode: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    logits = network.views["windows"](features, training=False)
    there = windows.present(logits)
    starts = network.featurizer.starts(tf.shape(logits)[1])
    return decode(network.model(features, training=False)) | {
        "window_scores": windows.scores(logits),
        "window_starts": tf.where(there, starts[tf.newaxis], 0.0),
        "windows": tf.reduce_sum(tf.cast(there, tf.int32), 1),
    }


def from_features(name: str) -> Signature:
    """Make the maker of a signature from features [batch, ...], named as given, to decoded outputs."""

    def make(network: Network, raw: RawKind, decode: Callable[[Any], dict[str, Any]]) -> Any:
        spec = network.featurizer.spec

        @tf.function(
            input_signature=[tf.TensorSpec([None, *spec.shape], tf.as_dtype(spec.dtype), name=name)],
            autograph=False,
        )
        def from_features(features: Any) -> dict[str, Any]:
            return decode(network.model(features, training=False))

        return from_features

    return make
