"""TensorFlow's graph optimizer, and where it costs more than it saves."""

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

_SWITCH = "disable_meta_optimizer"


@contextmanager
def off() -> Iterator[None]:
    """Run functions as they were traced, where each is called a few times only.

    A decoder of images or sounds is a hundred small functions, which are optimised anew for every function
    that decodes: that takes seconds, a few answers take less. A function that was called outside is
    instantiated again inside, and the other way round.
    """
    before = tf.config.optimizer.get_experimental_options().get(_SWITCH, False)
    tf.config.optimizer.set_experimental_options({_SWITCH: True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({_SWITCH: before})
