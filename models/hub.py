"""TF-Hub modules as Keras 3 layers.

``hub.KerasLayer`` belongs to the older Keras and is refused by Keras 3. This layer loads the
reusable SavedModel itself and adopts its variables, so that they train, freeze, checkpoint and
export like any other layer's.
"""

import contextlib
import hashlib
import inspect
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from features.errors import ConfigError, UnavailableError
from models import hub_maps
from models.maps import Maps

#: Owner, model, framework, variation and, where it is named, the version.
KAGGLE_HANDLE = re.compile(r"[\w-]+/[\w.-]+/tensorFlow[12]/[\w.-]+(/\d+)?", re.IGNORECASE)


def resolve(handle: str, cache: Path) -> Path:
    """Find the folder of a module, fetching it into the cache where the handle is an address.

    Args:
        handle: a folder, a tfhub.dev or Kaggle address, or a Kaggle handle such as
            ``google/mobilenet-v2/tensorFlow2/100-224-feature-vector/1``.
        cache: persistent folder of fetched modules, one per SHA-1 of the handle.

    Raises:
        ConfigError: a path that holds no SavedModel.
        UnavailableError: the address cannot be reached and is not in the cache.
    """
    if KAGGLE_HANDLE.fullmatch(handle) and not Path(handle).exists():
        handle = f"https://www.kaggle.com/models/{handle}"
    if "://" not in handle:
        return _local(handle)
    held = cache / hashlib.sha1(handle.encode(), usedforsecurity=False).hexdigest()
    if (held / "saved_model.pb").is_file():
        return held
    cache.mkdir(parents=True, exist_ok=True)
    try:
        with warnings.catch_warnings(), _cache_dir(cache):
            # It imports pkg_resources, which says that it is deprecated.
            warnings.simplefilter("ignore")
            import tensorflow_hub as hub

            return Path(hub.resolve(handle))
    except Exception as error:
        raise UnavailableError(
            f"cannot fetch the hub module {handle}",
            got=f"{type(error).__name__}: {error}"[:200],
            expected="a reachable address",
            todo=f"give the folder of an unpacked module with --set model.backbone=PATH, "
            f"or put its content at {held}",
        ) from error


def _local(path: str) -> Path:
    folder = Path(path)
    if not (folder / "saved_model.pb").is_file():
        raise ConfigError(
            "no hub module here",
            got=path,
            expected="a folder with saved_model.pb, or a https:// handle",
            todo="correct model.backbone",
        )
    return folder.absolute()


@contextlib.contextmanager
def _cache_dir(cache: Path) -> Iterator[None]:
    before = os.environ.get("TFHUB_CACHE_DIR")
    os.environ["TFHUB_CACHE_DIR"] = str(cache)
    try:
        yield
    finally:
        if before is None:
            del os.environ["TFHUB_CACHE_DIR"]
        else:
            os.environ["TFHUB_CACHE_DIR"] = before


def module_fingerprint(folder: Path) -> str:
    """Hash a module's graph and weights, whatever folder it lies in; 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        inner = path.relative_to(folder).as_posix()
        if inner.startswith(("saved_model.pb", "variables/", "assets/")):
            digest.update(inner.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


@keras.saving.register_keras_serializable("servable")
class HubLayer(keras.Layer):
    """A reusable SavedModel as a layer: pixels [batch, h, w, 3] in [0, 1] to vectors [batch, d].

    Args:
        handle: the logical name; kept in the config, resolved again where the layer is loaded.
        cache: folder of fetched modules.
        batch_norm: ``inference`` keeps batch-norm statistics fixed while the rest trains, which on
            small data is the better choice; ``training`` updates them.

    Attributes:
        input_shape_of_one: shape of one input without the batch axis, None where it is free.
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
        self.module = tf.saved_model.load(str(self.folder))
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
                got="a SavedModel without a callable",
                expected="a reusable SavedModel in TF2 form",
                todo="choose a TF2 feature vector module",
            )

    def _shapes(self) -> tuple[tuple[int | None, ...], tuple[int | None, ...]]:
        return _shapes(self.module)

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
        """Check that the module takes images, of a wanted size, and gives vectors.

        Args:
            height: in pixels, None for whatever the module wants.
            width: likewise.

        Raises:
            ConfigError: it takes something else, or images of another size alone.
        """
        taken, given = self.input_shape_of_one, self.output_shape_of_one
        if len(taken) != 3 or taken[2] not in (3, None) or len(given) != 1 or given[0] is None:
            raise ConfigError(
                f"the module {self.handle} is no image backbone",
                got=f"{list(taken)} to {list(given)}",
                expected="[height, width, 3] to [d]",
                todo="choose an image feature vector module",
            )
        for name, wanted, fixed in (("height", height, taken[0]), ("width", width, taken[1])):
            if None not in (wanted, fixed) and wanted != fixed:
                raise ConfigError(
                    f"the module {self.handle} takes images of one size",
                    got=f"featurizer.{name} {wanted}",
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
        """Find the module's last convolutional maps; None where it does not show them."""
        return hub_maps.of(self.module)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Give [batch, d]."""
        return (input_shape[0], *self.output_shape_of_one)

    def get_config(self) -> dict[str, Any]:
        """Give the arguments that make this layer again; weights are not part of it."""
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


def _shapes(module: Any) -> tuple[tuple[int | None, ...], tuple[int | None, ...]]:
    function = module.__call__.concrete_functions[0]
    (first, *_), _ = function.structured_input_signature
    output = function.structured_outputs
    if not isinstance(output, tf.TensorSpec):
        raise ConfigError(
            "the hub module gives more than one output",
            got=str(type(output).__name__),
            expected="one tensor [batch, d]",
            todo="choose a feature vector module",
        )
    return tuple(first.shape[1:]), tuple(output.shape[1:])
