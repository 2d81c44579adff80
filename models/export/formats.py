"""A release in other forms, each held against the release itself: an archive, LiteRT, a Keras file."""

import tempfile
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from features.errors import ExportError
from features.storage.files import write_file, writing
from features.storage.trees import sha256
from models.network import Network

#: Largest difference of an output from the release's, relative to its size: other kernels, other roundings.
TOLERANCE = 1e-4
#: Signatures that a LiteRT model is made of, the first that a release has: raw files need decoders that
#: LiteRT lacks, so a device decodes them itself.
SIGNATURES = ("from_pixels", "from_samples", "serving_default")
#: Length of an axis that the signature leaves open, in an example of it.
_OPEN = 8000


def archive(release: Path, out: Path) -> float:
    """Write the release as a zip file, in which it lies as MODEL/VERSION.

    Args:
        release: folder of a release, MODEL/VERSION.
        out: the file, which must not exist.

    Returns:
        0: every file was read again and is the same.

    Raises:
        ExportError: it is not.
    """
    root = release.parent.parent
    files = sorted(path for path in release.rglob("*") if path.is_file())
    with writing(out) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in files:
            packed.write(path, path.relative_to(root))
    with zipfile.ZipFile(out) as packed, tempfile.TemporaryDirectory() as folder:
        packed.extractall(folder)
        for path in files:
            if sha256(Path(folder) / path.relative_to(root)) != sha256(path):
                out.unlink()
                raise ExportError(f"{out.name} does not contain what was written", got=path.name)
    return 0.0


def lite(release: Path, out: Path, signature: str | None = None) -> tuple[str, float]:
    """Convert one signature for LiteRT (TensorFlow Lite), and compare its answers.

    Args:
        release: folder of a release.
        out: the file, which must not exist.
        signature: its name; None for the first of SIGNATURES that there is.

    Returns:
        The signature, and the largest difference of an output.

    Raises:
        ExportError: LiteRT has no such operations, or answers otherwise.
    """
    loaded = tf.saved_model.load(str(release))
    name = signature or next(each for each in SIGNATURES if each in loaded.signatures)
    if name not in loaded.signatures:
        names = ", ".join(sorted(loaded.signatures))
        raise ExportError("no signature of this name", got=name, expected=f"one of {names}")
    converter = tf.lite.TFLiteConverter.from_saved_model(str(release), signature_keys=[name])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    try:
        content = converter.convert()
    except Exception as error:
        raise ExportError(
            f"signature {name} cannot be converted for LiteRT",
            got=_reason(error),
            todo="name another with --signature, or export a zip or Keras file",
        ) from error
    inputs = {
        key: _example(spec) for key, spec in loaded.signatures[name].structured_input_signature[1].items()
    }
    expected = {key: value.numpy() for key, value in loaded.signatures[name](**inputs).items()}
    with warnings.catch_warnings(action="ignore"):
        interpreter = tf.lite.Interpreter(model_content=content)
    answers = interpreter.get_signature_runner(name)(**{key: value.numpy() for key, value in inputs.items()})
    difference = _difference(out.name, expected, answers)
    write_file(out, content)
    return name, difference


def keras_file(network: Network, out: Path) -> float:
    """Save the network from features to outputs as a .keras file, load it again and compare its outputs.

    The featurizer is not part of it. Loading needs Servable's layers: ``import models.tasks``.

    Raises:
        ExportError: a layer cannot be saved, or the loaded network answers otherwise.
    """
    inputs = [_example(spec) for spec in network.model.inputs]
    expected = _outputs(network.model(inputs if len(inputs) > 1 else inputs[0], training=False))
    with tempfile.TemporaryDirectory(dir=out.absolute().parent) as folder:
        place = Path(folder) / "network.keras"
        try:
            # Keras's own files give NumPy's new rules reason to warn.
            with warnings.catch_warnings(action="ignore"):
                network.model.save(place)
                loaded = keras.saving.load_model(place, compile=False)
        except Exception as error:
            raise ExportError(
                "the network cannot be saved as a Keras file", got=_reason(error), todo="export a zip file"
            ) from error
        answers = _outputs(loaded(inputs if len(inputs) > 1 else inputs[0], training=False))
        difference = _difference(out.name, expected, answers)
        place.replace(out)
    return difference


def _outputs(values: Any) -> dict[str, np.ndarray]:
    flat = keras.tree.flatten(values)
    return {f"output {place}": np.asarray(value) for place, value in enumerate(flat)}


def _example(spec: Any) -> Any:
    """Make an input of a signature: numbers of the range that pixels have, and noise of sounds."""
    open_axis = 1 if len(spec.shape) != 2 else _OPEN
    shape = [1, *(open_axis if side is None else int(side) for side in spec.shape[1:])]
    random = np.random.default_rng(0)
    dtype = tf.as_dtype(spec.dtype)
    if dtype == tf.string:
        return tf.constant(np.full(shape, b"1", object))
    if dtype.is_integer:
        return tf.constant(random.integers(0, 4, shape), dtype)
    top = 255.0 if len(shape) == 4 else 0.1
    return tf.constant(random.uniform(0, top, shape), dtype)


def _difference(what: str, expected: Mapping[str, np.ndarray], answers: Mapping[str, np.ndarray]) -> float:
    """Return the largest difference of two answers, relative to the largest value of the output."""
    largest = 0.0
    for name, value in expected.items():
        other = answers[name]
        if value.dtype.kind in "fc":
            size = max(1.0, float(np.abs(value).max(initial=0.0)))
            largest = max(largest, float(np.abs(other - value).max(initial=0.0)) / size)
        elif not np.array_equal(other, value):
            largest = float("inf")
        if not largest <= TOLERANCE:
            raise ExportError(
                f"{what} gives other answers than the release", got=f"a difference of {largest:.2g} in {name}"
            )
    return largest


def _reason(error: Exception) -> str:
    """Choose the line of an error that says which operation or layer is at fault."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    named = [line for line in lines if line.startswith(("Custom ops:", "Flex ops:"))]
    return (named or lines or [type(error).__name__])[0][:200]
