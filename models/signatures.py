"""The named functions of an exported model: each takes what a client has and gives named outputs."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from features.spec import RawKind
from models.tasks.task import Network

#: What a signature is made from: the network, the raw kind and the decoding of its outputs.
Signature = Callable[[Network, RawKind, Callable[[Any], dict[str, Any]]], Any]


def from_raw(network: Network, raw: RawKind, decode: Callable[[Any], dict[str, Any]]) -> Any:
    """Make the signature from raw examples [batch] to decoded outputs: ``serving_default``."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.as_dtype(raw.dtype), name=raw.input)])
    def serving_default(examples: Any) -> dict[str, Any]:
        return decode(network.model(network.featurizer(examples), training=False))

    return serving_default


def embed(network: Network, raw: RawKind, decode: Callable[[Any], dict[str, Any]]) -> Any:
    """Make the signature from raw examples [batch] to the vector before the head [batch, d]."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.as_dtype(raw.dtype), name=raw.input)])
    def embed(examples: Any) -> dict[str, Any]:
        return {"embedding": network.embed(network.featurizer(examples), training=False)}

    return embed


def from_features(name: str) -> Signature:
    """Make the maker of a signature from features [batch, ...], named as given, to decoded outputs."""

    def make(network: Network, raw: RawKind, decode: Callable[[Any], dict[str, Any]]) -> Any:
        spec = network.featurizer.spec

        @tf.function(input_signature=[tf.TensorSpec([None, *spec.shape], tf.as_dtype(spec.dtype), name=name)])
        def from_features(features: Any) -> dict[str, Any]:
            return decode(network.model(features, training=False))

        return from_features

    return make
