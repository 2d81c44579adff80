"""What a model answers to one example, in the few numbers and words whose distribution is watched."""

from collections.abc import Mapping

import numpy as np

from models.monitoring.measures import Measures

#: Begins the name of every measure of an answer, apart from those of inputs.
ANSWER = "answer"
#: Outputs of one number for each example that say how sure or how much.
_NUMBERS = ("score", "confidence", "count")


def describe(outputs: Mapping[str, np.ndarray]) -> Measures:
    """Describe the answer to one example.

    Args:
        outputs: of ``serving_default`` by name, of one row each.

    Returns:
        Those that the answer has of: ``answer label``; ``answer score`` (the best of several), ``answer
        confidence``, ``answer count``; the numbers of a regression, ``answer NAME``.
    """
    found: Measures = {}
    label = _first(outputs, "label")
    if label is None and "count" in outputs:
        label = _first(outputs, "labels") if int(outputs["count"].ravel()[0]) else b"(nothing)"
    if isinstance(label, bytes):
        found["label"] = label.decode("utf-8", "replace")
    found |= {name: float(outputs[name].ravel()[0]) for name in _NUMBERS if _size(outputs, name) == 1}
    if "score" not in found and _size(outputs, "scores"):
        found["score"] = float(outputs["scores"].max())
    if "names" in outputs and "values" in outputs:
        names = (name.decode("utf-8", "replace") for name in outputs["names"].ravel())
        found |= dict(zip(names, map(float, outputs["values"].ravel()), strict=True))
    return {f"{ANSWER} {name}": value for name, value in found.items()}


def _size(outputs: Mapping[str, np.ndarray], name: str) -> int:
    return outputs[name].size if name in outputs else 0


def _first(outputs: Mapping[str, np.ndarray], name: str) -> object:
    return outputs[name].ravel()[0] if _size(outputs, name) else None
