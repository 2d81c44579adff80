"""The vocabulary all rooms share: raw kinds, feature specs, splits, progress.

Imports nothing heavy: the serving room and the command line load it at start.
"""

from collections.abc import Callable
from dataclasses import dataclass

from features.formats import content_type, sounds

#: Called as progress(stage, done, total) while work continues; total is None if it is unknown.
Progress = Callable[[str, int, int | None], None]

SPLITS = ("train", "validation", "test")


def silent(stage: str, done: int, total: int | None) -> None:
    """Show no progress."""


@dataclass(frozen=True)
class RawKind:
    """What one raw example is, before any featurizer.

    Attributes:
        name: the kind's name, as in ``image``.
        folder: of features/, with the kind's check, featurizer and agreement.
        input: name of the input tensor in ``serving_default``.
        dtype: TensorFlow dtype name of that tensor; its shape is [batch].
        suffixes: file name endings (lower case, with dot) of its files, decodable or not. Files with none
            of them are examples where their content says so; files without any ending are taken as well.
        contents: names of `content_type.sniff` that are of this kind, decodable or not; none where the
            ending alone decides.
        lookalikes: endings of files that look like examples and are skipped, as their content cannot decide.
        cells: whether a table holds the examples themselves, and not the paths of files.
        lines: whether every line of a file is an example, without a label: ingest makes a Corpus of them.
        rows: whether an example is a table's whole row, as one line of CSV.
    """

    name: str
    folder: str
    input: str
    dtype: str
    suffixes: frozenset[str]
    contents: frozenset[str] = frozenset()
    lookalikes: frozenset[str] = frozenset()
    cells: bool = False
    lines: bool = False
    rows: bool = False


_PHOTOS = """
    .jpg .jpeg .jpe .jfif .png .apng .bmp .dib .gif .webp
    .heic .heif .hif .avif .tif .tiff .jp2 .jxl .psd .qoi .ppm .pgm .pbm .pnm
    .dng .cr2 .cr3 .nef .arw .orf .rw2 .raf .x3f
"""

IMAGE = RawKind(
    "image",
    "images",
    "image_bytes",
    "string",
    frozenset(_PHOTOS.split()),
    contents=content_type.PHOTOS,
)

AUDIO = RawKind(
    "audio",
    "sounds",
    "audio_bytes",
    "string",
    sounds.SUFFIXES,
    contents=sounds.CONTENTS,
)

TEXT = RawKind(
    "text",
    "texts",
    "text",
    "string",
    frozenset({".txt"}),
    lookalikes=frozenset({".text", ".md", ".markdown", ".rst"}),
    cells=True,
)

WORD = RawKind(
    "word", "texts", "word", "string", frozenset({".txt", ".text", ".cor", ".gz"}), cells=True, lines=True
)

ROW = RawKind("row", "rows", "row", "string", frozenset(), cells=True, rows=True)

RAW_KINDS = {kind.name: kind for kind in (IMAGE, AUDIO, TEXT, WORD, ROW)}


@dataclass(frozen=True)
class FeatureSpec:
    """What one feature tensor is.

    Attributes:
        shape: without the batch axis; a first axis of None is as long as the example needs.
        dtype: its TensorFlow name.
        padding: what fills a shorter example up to the longest of its batch.
    """

    shape: tuple[int | None, ...]
    dtype: str
    padding: float = 0.0
