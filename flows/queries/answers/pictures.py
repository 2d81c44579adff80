"""The picture of one answer: an image with its neighbours, its points or its boxes, or a piano roll."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from features.errors import StorageError, UsageError
from features.formats import midi
from features.formats.midi import Note
from features.images.preview import preview
from flows.queries.answers import neighbours

if TYPE_CHECKING:
    from PIL.Image import Image

    from serving.client.predictor import Predictor

#: Pixels of the longer side of a picture that is drawn on: small ones are enlarged up to it.
LONGEST = 1280
SMALL = 640
#: Outputs that have a value for each note.
NOTE_OUTPUTS = ("onsets", "offsets", "pitches", "velocities")
#: Points whose names are written beside them, at most.
NAMED = 20


def require_one(examples: Sequence[Any]) -> None:
    """Check that one example alone goes into a picture.

    Raises:
        UsageError: there is none, or several.
    """
    if len(examples) != 1:
        raise UsageError("--out draws the answer to one example", got=f"{len(examples)} examples")


def draw(client: "Predictor", answer: Mapping[str, Any], out: Path) -> None:
    """Draw an answer; the ending of the file says its format: MIDI for notes as well.

    Raises:
        UsageError: the answer is none that can be drawn, or the file's ending no image's.
        StorageError: the file cannot be written.
    """
    make = next((make for output, make in _PICTURES.items() if output in answer), None)
    if make is None:
        raise UsageError(
            f"answers of {answer['model']} cannot be drawn",
            got=", ".join(sorted(set(answer) - {"input", "model", "version"})),
            expected="points, boxes or neighbours of an image, or notes",
            todo="leave --out out",
        )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if "onsets" in answer and out.suffix.lower() in midi.SUFFIXES:
            out.write_bytes(midi.write(_notes(answer)))
            return
        # A JPEG halves colours by default, which blurs thin lines.
        make(client, answer).save(out, quality=92, subsampling=0)
    except ValueError as error:
        raise UsageError(
            f"cannot write {out}", got=f"the ending {out.suffix or 'none'}", expected="such as .png or .jpg"
        ) from error
    except OSError as error:
        raise StorageError(f"cannot write {out}", got=error.strerror, todo="name another file") from error


def _opened(answer: Mapping[str, Any]) -> tuple["Image", np.ndarray]:
    """Open the image of an answer, and return its width and height as displayed."""
    import io

    from PIL import Image, ImageOps

    from models.figures.drawing import marks

    raw = Path(answer["input"]).read_bytes()
    image = preview(raw, LONGEST)
    if image is None:
        raise UsageError("--out draws on images", got=answer["input"], expected="an image")
    with Image.open(io.BytesIO(raw)) as opened:
        size = ImageOps.exif_transpose(opened).size
    return marks.enlarged(image, SMALL), np.array(size)


def _points(client: "Predictor", answer: Mapping[str, Any]) -> "Image":
    from models.figures.drawing import marks

    picture, size = _opened(answer)
    names = list(answer["scores"])
    return marks.points(
        picture, np.array(answer["points"]) / size, names=names if len(names) <= NAMED else ()
    )


def _boxes(client: "Predictor", answer: Mapping[str, Any]) -> "Image":
    from models.figures.drawing import marks

    picture, size = _opened(answer)
    count = answer["count"]
    captions = [
        f"{label} {score:.2f}"
        for label, score in zip(answer["labels"][:count], answer["scores"][:count], strict=True)
    ]
    colors = [marks.color_of(place) for place in answer["classes"][:count]]
    return marks.boxes(
        picture, np.array(answer["boxes"][:count]).reshape(-1, 4) / np.tile(size, 2), captions, colors
    )


def _notes(answer: Mapping[str, Any]) -> list[Note]:
    rows = zip(*(answer[name] for name in NOTE_OUTPUTS), strict=True)
    return [Note(a, b, pitch, int(np.clip(round(loud), 1, 127)), b) for a, b, pitch, loud in rows]


def _roll(client: "Predictor", answer: Mapping[str, Any]) -> "Image":
    import io

    from PIL import Image

    from models.figures import notes
    from models.figures.drawing.canvas import png

    rows = np.array([answer[name] for name in NOTE_OUTPUTS], np.float64).T.reshape(-1, 4)
    with Image.open(io.BytesIO(png(notes.roll(rows)))) as drawn:
        return drawn.convert("RGB")


#: Output that tells what an answer is, to what draws it.
_PICTURES: dict[str, Callable[["Predictor", Mapping[str, Any]], "Image"]] = {
    "boxes": _boxes,
    "points": _points,
    "onsets": _roll,
    "ids": neighbours.picture,
}
