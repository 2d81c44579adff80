"""TF-Hub modules as Keras 3 layers.

``hub.KerasLayer`` belongs to the older Keras and is refused by Keras 3. This layer loads the
reusable SavedModel itself and adopts its variables, so that they train, freeze, checkpoint and
export like any other layer's.
"""

import inspect
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from features.errors import ConfigError
from models.network import Maps
from models.pretrained import hub_maps
from models.pretrained.hub_modules import load, module_fingerprint, resolve

__all__ = ["HubLayer", "load", "module_fingerprint", "resolve"]


@keras.saving.register_keras_serializable("servable")
class HubLayer(keras.Layer):
    """A reusable SavedModel as a layer: pixels [batch, h, w, 3] in [0, 1] to vectors [batch, d].

    Args:
        handle: the logical name; kept in the config, resolved again where the layer is loaded.
        cache: folder of fetched modules.
        batch_norm: ``inference`` keeps batch-norm statistics fixed while the rest trains, which on
            small data is the better choice; ``training`` updates them.

    Attributes:
        input_shape_of_one: shape of one input without the batch axis, None if it is free.
        output_shape_of_one: shape of one output without the batch axis.
    """

    def __init__(
        self,
        handle: str,
        cache: str = "hub",
        batch_norm: str = "inference",
        trainable: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(trainable=True, **({"dtype": "float32"} | options))
        self.supports_jit = False
        self.handle, self.cache, self.batch_norm = handle, str(cache), batch_norm
        self.folder = resolve(handle, Path(cache))
        self.module = load(self.folder, handle)
        self._check_callable()
        self._adopt()
        self._takes_training = _takes_training(self.module)
        self.input_shape_of_one, self.output_shape_of_one = self._shapes()
        self.trainable = trainable
        self.built = True

    def _check_callable(self) -> None:
        if not callable(self.module) or not getattr(self.module.__call__, "concrete_functions", None):
            raise ConfigError(
                f"the module {self.handle} cannot be used as a backbone",
                got="a SavedModel without a callable"
                + (" but with signatures" if getattr(self.module, "signatures", None) else ""),
                expected="a reusable SavedModel in TF2 form",
                todo="choose a TF2 feature vector module",
            )

    def _shapes(self) -> tuple[tuple[int | None, ...], tuple[int | None, ...]]:
        input_spec, output_spec = self._signature()
        if not isinstance(output_spec, tf.TensorSpec):
            raise ConfigError(
                f"the hub module {self.handle} has more than one output",
                got=_described(output_spec),
                expected="one tensor [batch, d]",
                todo="choose a feature vector module",
            )
        return tuple(input_spec.shape[1:]), tuple(output_spec.shape[1:])

    def _signature(self) -> tuple[tf.TensorSpec, Any]:
        """Return the single input tensor of the module, flags aside, and its output.

        Raises:
            ConfigError: it takes several tensors, or something of unknown rank.
        """
        function = self.module.__call__.concrete_functions[0]
        tensors = [
            spec
            for spec in tf.nest.flatten(function.structured_input_signature)
            if isinstance(spec, tf.TensorSpec) and not (spec.dtype == tf.bool and spec.shape.rank == 0)
        ]
        outputs = function.structured_outputs
        ranks = [spec.shape.rank for spec in (*tensors, *tf.nest.flatten(outputs))]
        if len(tensors) != 1 or not ranks[0] or None in ranks:
            raise ConfigError(
                f"the module {self.handle} cannot be used as a backbone",
                got=f"{', '.join(map(_described, tensors)) or 'nothing'} to {_described(outputs)}",
                expected="one input tensor, of known rank",
                todo="choose a TF2 feature vector module",
            )
        return tensors[0], outputs

    def _adopt(self) -> None:
        # Both lists are optional in a published module: what is in neither does not train.
        trainable = list(getattr(self.module, "trainable_variables", ()))
        rest = {id(variable): variable for variable in getattr(self.module, "variables", ())}
        for function in self.module.__call__.concrete_functions:
            rest |= {id(variable): variable for variable in function.variables}
        for variable in trainable:
            rest.pop(id(variable), None)
        # A Keras variable made from a tf.Variable shares it: training moves the module's own weights.
        self.adopted = [
            keras.Variable(
                initializer=variable,
                trainable=is_trainable,
                dtype=variable.dtype.name,
                name=f"{number:04d}_" + variable.name.partition(":")[0].replace("/", "_"),
            )
            for is_trainable, group in ((True, trainable), (False, rest.values()))
            for number, variable in enumerate(group)
        ]

    def require(self, height: int | None, width: int | None) -> None:
        """Check that the module takes images, of a requested size, and gives vectors.

        Args:
            height: in pixels, None for whatever the module wants.
            width: likewise.

        Raises:
            ConfigError: it takes something else, or images of another size alone.
        """
        input_shape, output_shape = self.input_shape_of_one, self.output_shape_of_one
        spec, _ = self._signature()
        plain = spec.dtype == tf.float32 and spec.shape[0] is None
        if (
            not plain
            or len(input_shape) != 3
            or input_shape[2] not in (3, None)
            or len(output_shape) != 1
            or output_shape[0] is None
        ):
            raise ConfigError(
                f"the module {self.handle} is not an image backbone",
                got=f"{_described(spec)} to {list(output_shape)}",
                expected="float32 pixels in [0, 1], (None, height, width, 3), to [d]",
                todo="choose an image feature vector module",
            )
        for name, size, fixed in (("height", height, input_shape[0]), ("width", width, input_shape[1])):
            if None not in (size, fixed) and size != fixed:
                raise ConfigError(
                    f"the module {self.handle} needs images of one size",
                    got=f"featurizer.{name} {size}",
                    expected=f"{fixed}",
                    todo=f"leave featurizer.{name} out, or choose another module",
                )

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Apply the module; dropout and batch-norm follow ``training`` only where they may."""
        learn = bool(training) and self.trainable
        if self._takes_training:
            outputs = self.module(inputs, training=learn and self.batch_norm == "training")
        else:
            outputs = self.module(inputs)
        if learn:
            for loss in getattr(self.module, "regularization_losses", ()):
                self.add_loss(loss())
        return outputs

    def maps(self) -> Maps | None:
        """Find the module's last convolutional maps; None if it does not show them."""
        return hub_maps.of(self.module)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return [batch, d]."""
        return (input_shape[0], *self.output_shape_of_one)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration of the layer, without its weights."""
        own = {"handle": self.handle, "cache": self.cache, "batch_norm": self.batch_norm}
        return super().get_config() | own | {"trainable": self.trainable}

    @property
    def fingerprint(self) -> str:
        """Hash of the module as it was published; says nothing of later fine-tuning."""
        return module_fingerprint(self.folder)


def _takes_training(module: Any) -> bool:
    spec = getattr(module.__call__, "function_spec", None) or getattr(module.__call__, "_function_spec", None)
    if spec is not None and "training" in getattr(spec.fullargspec, "args", []) + spec.fullargspec.kwonlyargs:
        return True
    return "training" in inspect.signature(module.__call__).parameters


def _described(spec: Any) -> str:
    """Describe a tensor, or several, by dtype and shape."""
    if isinstance(spec, tf.TensorSpec):
        return f"{spec.dtype.name} {spec.shape}"
    return ", ".join(map(_described, tf.nest.flatten(spec)))
