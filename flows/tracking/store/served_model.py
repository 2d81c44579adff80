"""Answer requests of MLflow with a SavedModel; this file travels with every registered model.

It imports nothing of Servable, so that ``mlflow models serve`` and ``mlflow.pyfunc.load_model`` need nothing
but MLflow and TensorFlow.
"""

from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

DEFAULT = "serving_default"


def _load_pyfunc(path: str) -> "ServedModel":
    """Load a SavedModel; MLflow calls this."""
    return ServedModel(path)


class ServedModel:
    """The signatures of a SavedModel; ``serving_default`` answers unless ``signature_name`` says otherwise.

    Args:
        path: folder of the SavedModel.
    """

    def __init__(self, path: str) -> None:
        # The functions of a model do not keep its variables alive: the model does.
        self.model = tf.saved_model.load(path)

    def predict(
        self, data: pd.DataFrame | dict[str, Any], params: dict[str, Any] | None = None
    ) -> pd.DataFrame | dict[str, Any]:
        """Answer a batch.

        Args:
            data: one column per input; a row, or an entry of each list, is one example.
            params: ``signature_name`` chooses the signature.

        Returns:
            One column per output, as a frame for a frame; texts as str where they are UTF-8, but for outputs
            called ``..._bytes``.

        Raises:
            ValueError: there is no such signature, or an input is missing.
        """
        name = (params or {}).get("signature_name") or DEFAULT
        if name not in self.model.signatures:
            raise ValueError(
                f"no signature {name!r}; the model has {', '.join(sorted(self.model.signatures))}"
            )
        function = self.model.signatures[name]
        specs = function.structured_input_signature[1]
        if missing := sorted(specs.keys() - set(data)):
            raise ValueError(f"no input {missing[0]!r}; {name} takes {', '.join(sorted(specs))}")
        answers = function(**{key: _tensor(data[key], spec) for key, spec in specs.items()})
        columns = {key: _column(key, value.numpy()) for key, value in answers.items()}
        return pd.DataFrame(columns) if isinstance(data, pd.DataFrame) else columns


def _tensor(values: Any, spec: tf.TensorSpec) -> tf.Tensor:
    if isinstance(values, (pd.Series, np.ndarray)):
        values = values.tolist()
    return tf.constant([_plain(value) for value in values], spec.dtype)


def _plain(value: Any) -> Any:
    """Return nested lists for arrays of arrays, which TensorFlow does not take."""
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _column(name: str, values: np.ndarray) -> list[Any]:
    if values.dtype != object or name.endswith("_bytes"):
        return values.tolist()
    try:
        texts = [text.decode() for text in values.ravel()]
    except UnicodeDecodeError:
        return values.tolist()
    return np.array(texts, object).reshape(values.shape).tolist()
