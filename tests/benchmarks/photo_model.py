"""An image classifier as a release holds one: JPEG bytes, a hub module, a dense head, scores."""

from pathlib import Path

import tensorflow as tf

CLASSES = 2


class _Classifier(tf.Module):
    def __init__(self, module: Path) -> None:
        super().__init__()
        self.features = tf.saved_model.load(str(module))
        self.head = tf.Variable(tf.random.stateless_normal((1280, CLASSES), seed=(0, 0)), name="head")

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def classify(self, image_bytes):
        images = tf.map_fn(
            self._decoded, image_bytes, fn_output_signature=tf.TensorSpec([224, 224, 3], tf.float32)
        )
        return {"scores": tf.nn.softmax(self.features(images) @ self.head)}

    def _decoded(self, raw):
        image = tf.io.decode_jpeg(raw, channels=3, dct_method="INTEGER_ACCURATE")
        return tf.image.resize(tf.cast(image, tf.float32) / 255, (224, 224))


def save(module: Path, path: Path) -> Path:
    """Save the classifier on a hub module and give its path."""
    model = _Classifier(module)
    tf.saved_model.save(model, str(path), signatures={"serving_default": model.classify})
    return path
