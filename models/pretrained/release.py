"""A published model as the source of vectors: its ``embed`` signature, its preprocessing with it."""

from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from features.errors import ConfigError
from features.spec import FeatureSpec
from models.pretrained.hub_modules import load, module_fingerprint


@keras.saving.register_keras_serializable("servable")
class ReleaseEmbedding(keras.Layer):
    """Raw examples, string [batch], to the vectors of a release, float32 [batch, d].

    Args:
        folder: of the release.
        argument: name of the input its ``embed`` must take.

    Raises:
        ConfigError: the release has no such signature.
    """

    def __init__(self, folder: str, argument: str, **options: Any) -> None:
        super().__init__(autocast=False, **({"trainable": False, "dtype": "float32"} | options))
        self.folder, self.argument = folder, argument
        self.module = load(Path(folder), folder)
        self.answer = self.module.signatures.get("embed")
        inputs = self.answer.structured_input_signature[1] if self.answer is not None else {}
        if set(inputs) != {argument} or "embedding" not in self.answer.structured_outputs:
            raise ConfigError(
                "this release has no embeddings of such examples",
                got=f"{folder} with the signatures {', '.join(sorted(self.module.signatures))}",
                expected=f"embed, from {argument} to embedding",
                todo="name another model in model.backbone",
            )
        self.width = int(self.answer.structured_outputs["embedding"].shape[-1])
        self._convert_input_args = False
        self.built = True

    @property
    def spec(self) -> FeatureSpec:
        """One vector, float32 [d]."""
        return FeatureSpec((self.width,), "float32")

    @property
    def resources(self) -> tuple[Any, ...]:
        """The weights that embed reads, and no others of the release; an exported model holds them."""
        return tuple(self.answer.variables)

    @property
    def fingerprint(self) -> str:
        """Hash of the release's graph and weights: 16 hexadecimal digits."""
        return module_fingerprint(Path(self.folder))

    def call(self, examples: Any) -> Any:
        """Return the vectors of raw examples."""
        return self.answer(**{self.argument: tf.convert_to_tensor(examples)})["embedding"]

    def compute_output_spec(self, examples: Any) -> keras.KerasTensor:
        """Return the shape and dtype of the output."""
        return keras.KerasTensor((examples.shape[0], self.width), dtype="float32")

    def get_config(self) -> dict[str, Any]:
        """Return the configuration of the layer."""
        return super().get_config() | {"folder": self.folder, "argument": self.argument}
