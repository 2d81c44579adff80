"""Ask a served model where in a file the evidence for a label lies, and draw it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import UsageError
from features.names import printable
from flows.queries import question as predict
from flows.queries.places import Place
from flows.queries.reading import raw_inputs

#: Method on the command line to signature.
METHODS = {"occlusion": "occlusion", "grad-cam": "grad_cam"}


def question(name: str, file: Path, method: str, further: Mapping[str, str | None], **where: Any) -> Any:
    """Put the question to a model.

    Args:
        name: the model.
        file: what is explained.
        method: one of METHODS.
        further: label, patch, stride and fill, None for the usual.
        **where: version and timeout, as of predict.Question.

    Raises:
        UsageError: there is no such method.
        NoInputError: there is no such file.
    """
    raw_inputs.require([file])
    if method not in METHODS:
        raise UsageError("no such method", got=method, expected=f"one of {', '.join(METHODS)}")
    inputs = {key: value for key, value in further.items() if value is not None}
    return predict.Question(name, [file], inputs, METHODS[method], **where)


def answered(asked: predict.Question, place: Place) -> Any:
    """Send the question and give the answer.

    Raises:
        UsageError: the release has no such heatmap; says what it has.
        NoInputError, ServerError: as of predict.
    """
    require(asked, place)
    ((_, answer),) = predict.asked(asked, place)
    return answer


def require(asked: predict.Question, place: Place) -> None:
    """Check that the release has the signature.

    Raises:
        UsageError: it has not; says what it has.
    """
    with place.open(asked.name, asked.version, asked.timeout) as client:
        metadata = client.metadata(asked.name, version=asked.version)
    if asked.signature in metadata.signatures:
        return
    others = [method for method, signature in METHODS.items() if signature in metadata.signatures]
    if "explain" in metadata.signatures:
        todo = f'ask servable predict {asked.name} "TEXT" --signature explain'
    else:
        todo = f"use --method {others[0]}" if others else "its report and its MLflow version say why"
    raise UsageError(
        f"{asked.name} has no signature {asked.signature}",
        got=f"version {metadata.version} with {', '.join(sorted(metadata.signatures))}",
        expected="a model of images or log-mel sounds; grad-cam needs a classifier with convolutional maps",
        todo=todo,
    )


def draw(answer: Mapping[str, np.ndarray], title: str, out: Path) -> None:
    """Write the overlay with colour bar, label and score as PNG."""
    from models.figures.drawing import canvas, overlays

    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(canvas.png(overlays.figure(overlays.read(answer), title)))


def plain(answer: Any, method: str, file: Path) -> dict[str, Any]:
    """Put an answer in plain data: the map as rows, its size, the label explained, the unoccluded score."""
    rows, columns = int(answer["rows"][0]), int(answer["columns"][0])
    fields = {
        "input": str(file),
        "method": method,
        "label": answer["label"][0].decode("utf-8", "replace"),
        "score": float(answer["score"][0]),
        "size": [rows, columns],
        "heatmap": answer["heatmap"][0].tolist(),
    }
    fields |= {name: int(answer[name][0]) for name in ("patch", "stride") if name in answer}
    fields |= {name: answer[name][0].tolist() for name in ("seconds", "hertz") if name in answer}
    return fields | {"model": answer.model, "version": answer.version}


def sentence(told: Mapping[str, Any]) -> str:
    """Put an answer in one line for people: what was explained, and where the map is strongest."""
    heat = np.array(told["heatmap"])
    row, column = np.unravel_index(np.abs(heat).argmax(), heat.shape)
    place = f"row {row + 1} of {heat.shape[0]}, column {column + 1} of {heat.shape[1]}"
    if "seconds" in told:
        place = f"{told['seconds'][row]:.2f} s, {told['hertz'][column]:,.0f} Hz"
    strongest = f"strongest {heat[row, column]:+.3g} at {place}"
    return printable(f"{told['input']}: {told['label']} {told['score']:.3f}; {strongest}")
