"""TF-Hub audio modules, such as YAMNet, as a Keras 3 layer."""

from typing import Any, Literal

import keras
import tensorflow as tf
from pydantic import Field

from features.errors import ConfigError
from features.settings import Settings
from models.pretrained.hub import HubLayer


@keras.saving.register_keras_serializable("servable")
class AudioHubLayer(HubLayer):
    """A reusable SavedModel from one waveform to embeddings, as a layer: [n, samples] to [n, d].

    Such modules take one waveform, float32 [samples] in [-1, 1] at 16 kHz, and give scores, embeddings
    [frames, d] and a spectrogram. The layer gives the mean of the embeddings of each waveform.
    """

    RATE = 16_000

    def _shapes(self) -> tuple[tuple[int | None, ...], tuple[int | None, ...]]:
        first, outputs = self._signature()
        self._place = self._embeddings(first, outputs)
        return (None,), (int(tf.nest.flatten(outputs)[self._place].shape[-1]),)

    def _embeddings(self, input_spec: Any, outputs: Any) -> int:
        """Find the embeddings among the outputs: the second of three, as the common interface has it."""
        flat = tf.nest.flatten(outputs)
        if len(input_spec.shape) == 1 and input_spec.dtype == tf.float32:
            place = 1 if len(flat) > 1 else 0
            if len(flat[place].shape) == 2 and flat[place].shape[-1] is not None:
                return place
        raise ConfigError(
            f"the module {self.handle} is not an audio backbone",
            got=f"{list(input_spec.shape)} to {[list(one.shape) for one in flat]}",
            expected="samples [n] to scores [frames, classes], embeddings [frames, d], spectrogram",
            todo="choose an audio module such as YAMNet",
        )

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Apply the module to each waveform."""

        def one(waveform: Any) -> Any:
            return tf.reduce_mean(tf.nest.flatten(self.module(waveform))[self._place], axis=0)

        width = self.output_shape_of_one[0]
        spec = tf.TensorSpec([width], tf.float32)
        return tf.map_fn(one, inputs, fn_output_signature=spec, parallel_iterations=8)

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """Return [n, d]."""
        return (None, *self.output_shape_of_one)


DEFAULT_MODULE = "https://tfhub.dev/google/yamnet/1"


class HubSettings(Settings):
    """A TF-Hub audio module; it hears samples at 16 kHz."""

    kind: Literal["hub"] = Field(description="a TF-Hub module")
    backbone: str = Field(DEFAULT_MODULE, description="tfhub.dev or Kaggle handle, or a module's folder")
    mode: Literal["frozen", "fine-tune"] = Field(
        "frozen", description="frozen: train the head only; fine-tune: then train everything"
    )
    hidden: tuple[int, ...] = Field((), description="units of dense layers between backbone and logits")
    dropout: float = Field(0.3, ge=0, lt=1, description="dropout rate before the logits")
    fine_tune_epochs: int = Field(5, ge=1, description="epochs in which everything is trained")
    fine_tune_learning_rate: float = Field(1e-5, gt=0, description="peak learning rate of these epochs")
