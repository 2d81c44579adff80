"""How this process optimises graphs before their first run."""

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, rewriter_config_pb2
from tensorflow.python.eager import context


@contextmanager
def optimised_once() -> Iterator[None]:
    """Let TensorFlow pass once over a graph, not twice, before its first run in the body.

    A release waits for each of its signatures to be optimised, which takes longer than its answer. As in the
    server's sessions the second pass changes no answer and no call's time, and takes a third of all; training
    steps are left as they are. TensorFlow has no public name for it.
    """
    running = context.context()
    before = running._config
    config = config_pb2.ConfigProto()
    if before is not None:
        config.CopyFrom(before)
    config.graph_options.rewrite_options.meta_optimizer_iterations = rewriter_config_pb2.RewriterConfig.ONE
    running._config = config
    _forget_options()
    try:
        yield
    finally:
        running._config = before
        _forget_options()


def _forget_options() -> None:
    """Let this thread read the configuration anew; another one reads it at its first call."""
    tf.config.optimizer.set_experimental_options({})
