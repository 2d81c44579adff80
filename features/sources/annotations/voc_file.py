"""Read one annotation file of Pascal VOC: XML, under limits, without a DOCTYPE and what it could define."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.parsers import expat

from features.quarantine import RefusedError
from features.sources.annotations.annotation import CORNERS, Annotation, Box, different
from features.storage.files import read_file

#: A larger file is no annotation of one image.
MOST_BYTES = 16 << 20

_ROOT = "annotation"
_OBJECT = (_ROOT, "object")
_IMAGE: Mapping[tuple[str, ...], str] = {
    (_ROOT, "filename"): "filename",
    (_ROOT, "size", "width"): "width",
    (_ROOT, "size", "height"): "height",
}
_PARTS: Mapping[tuple[str, ...], str] = {(*_OBJECT, "name"): "name"} | {
    (*_OBJECT, "bndbox", corner): corner for corner in CORNERS
}


@dataclass(frozen=True)
class VocFile:
    """What an annotation file says.

    Attributes:
        filename: of its image, as written; empty where it names none.
        annotation: the objects, numbered from 1.
    """

    filename: str
    annotation: Annotation


def read(path: bytes) -> VocFile | None:
    """Read a file; None where it is XML of something else.

    Raises:
        RefusedError: ``bad_annotation``, or as of `read_file`.
    """
    content, _ = read_file(path, MOST_BYTES)
    return parse(content)


def parse(content: bytes) -> VocFile | None:
    """Parse the content of a file; None where it is XML of something else.

    Raises:
        RefusedError: ``bad_annotation``: the XML is not well-formed, or has a DOCTYPE.
    """
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise RefusedError("bad_annotation", f"malformed XML: {error}") from None
    except (LookupError, ValueError) as error:
        raise RefusedError("bad_annotation", f"XML in an encoding that is not read: {error}") from None
    return reader.file() if reader.known else None


def _refuse_doctype(name: str, *_: object) -> None:
    raise RefusedError(
        "bad_annotation", f"the XML has a DOCTYPE {name!r}, which is refused: remove that line"
    )


@dataclass
class _Reader:
    """Collects the few elements that count, by their whole path: an object's parts have boxes as well."""

    known: bool = False
    path: list[str] = field(default_factory=list)
    image: dict[str, str] = field(default_factory=dict)
    objects: list[dict[str, str]] = field(default_factory=list)

    def start(self, name: str, _: object) -> None:
        self.path.append(name)
        if len(self.path) == 1:
            self.known = name == _ROOT
        elif tuple(self.path) == _OBJECT:
            self.objects.append({})

    def end(self, _: str) -> None:
        self.path.pop()

    def text(self, text: str) -> None:
        path = tuple(self.path)
        if key := _IMAGE.get(path):
            self.image[key] = self.image.get(key, "") + text
        elif key := _PARTS.get(path):
            self.objects[-1][key] = self.objects[-1].get(key, "") + text

    def file(self) -> VocFile:
        """Return what was collected."""
        boxes = tuple(_box(parts, place) for place, parts in enumerate(self.objects, start=1))
        size = (_stripped(self.image, "width"), _stripped(self.image, "height"))
        # Tools that do not know the size write zeros.
        sizes = () if size == ("0", "0") else different([size])
        return VocFile(_stripped(self.image, "filename"), Annotation(boxes, sizes))


def _box(parts: Mapping[str, str], place: int) -> Box:
    xmin, ymin, xmax, ymax = (_stripped(parts, corner) for corner in CORNERS)
    return Box(_stripped(parts, "name"), (xmin, ymin, xmax, ymax), place)


def _stripped(parts: Mapping[str, str], key: str) -> str:
    return parts.get(key, "").strip()
