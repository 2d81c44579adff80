"""Make training on the same machine give bit-equal weights for the same seed."""

import keras
import tensorflow as tf


def fix(seed: int) -> None:
    """Seed Python, NumPy and TensorFlow, and use deterministic kernels; call it before a model is built.

    Seeds alone are not enough: parallel reductions still differ from run to run.
    """
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
