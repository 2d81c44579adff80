"""What one raw example looks like, in a few numbers and words that can be compared between samples.

Each function takes the bytes of an example as a server gets them. A number that an example does not have is
NaN; a word that it does not have is `MISSING`.
"""

import io
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, partial
from typing import Any

import numpy as np

from features.images.preview import preview
from features.quarantine import RefusedError
from features.rows.check import reader
from features.sounds.check import resample
from features.sounds.files.decoding import decode
from features.sources.tables import cells as table_cells
from features.sources.tables.cells import CellReader
from features.spec import AUDIO, IMAGE, ROW, TEXT, RawKind

#: Increase it whenever the same example is described otherwise: descriptions on disk are then made again.
REVISION = 1

Value = float | str
Measures = dict[str, Value]
#: From the bytes of an example to its measures.
Describe = Callable[[bytes], Measures]

#: Stands for a cell without a value in a column of words.
MISSING = "(missing)"
#: The share of a text's words that no training text has. It is 0 of every training text, and is compared
#: with that of texts held out of training.
UNKNOWN_WORDS = "unknown words"

#: Pixels of the longer side at which an image is looked at.
_SIDE = 512
#: Hz above which a telephone carries nothing.
_TELEPHONE = 3400.0
#: Seconds of a sound that are looked at, and longest sound that is decoded.
_SECONDS, _LONGEST = 60.0, 24 * 3600.0
#: Share of a sound's energy that lies below its roll-off.
_ROLL_OFF = 0.95
#: The quietest that is told apart, as amplitude and as energy.
_SILENCE, _NOTHING = 1e-6, 1e-10

_WORD = re.compile(r"\w+")
_NO_IMAGE = dict.fromkeys(("brightness", "contrast", "sharpness", "megapixels", "aspect ratio"), math.nan)
_NO_SOUND = dict.fromkeys(("seconds", "loudness", "roll-off", "above 3.4 kHz"), math.nan)


def image(content: bytes) -> Measures:
    """Describe an encoded image.

    Returns:
        ``brightness`` and ``contrast`` (mean and deviation of the luma, 0 to 1), ``sharpness`` (log10 of the
        variance of the Laplacian, at most 512 pixels wide and high; low where it is blurred), ``megapixels``,
        ``aspect ratio`` (width over height, upright); NaN if it cannot be decoded.
    """
    from PIL import Image

    picture = preview(content, _SIDE)
    if picture is None:
        return dict(_NO_IMAGE)
    luma = np.asarray(picture.convert("L"), np.float64) / 255
    with Image.open(io.BytesIO(content)) as opened:
        pixels = math.prod(opened.size)
    return {
        "brightness": float(luma.mean()),
        "contrast": float(luma.std()),
        "sharpness": _sharpness(luma),
        "megapixels": pixels / 1e6,
        "aspect ratio": round(picture.width / picture.height, 2),
    }


def _sharpness(luma: np.ndarray) -> float:
    if min(luma.shape) < 3:
        return math.nan
    inner = luma[1:-1, 1:-1]
    edges = 4 * inner - luma[:-2, 1:-1] - luma[2:, 1:-1] - luma[1:-1, :-2] - luma[1:-1, 2:]
    return math.log10(edges.var() + _NOTHING)


def sound(content: bytes, *, rate: int | None = None) -> Measures:
    """Describe a sound file.

    Args:
        content: of any format that ingest reads.
        rate: Hz at which the model hears it; None for the file's own.

    Returns:
        ``seconds``, ``loudness`` (root mean square, dB of full scale), ``roll-off`` (Hz below which 95 % of
        the energy lie), ``above 3.4 kHz`` (energy there, dB of the whole; NaN where the rate has no such
        frequencies); NaN if it cannot be decoded.
    """
    import scipy.signal

    try:
        heard = decode(content, _LONGEST)
    except RefusedError:
        return dict(_NO_SOUND)
    hertz = rate or heard.rate
    samples = resample(heard.samples[: int(_SECONDS * heard.rate)], heard.rate, hertz)
    if len(samples) < 2:
        return dict(_NO_SOUND)
    frequencies, energy = scipy.signal.welch(samples, hertz, nperseg=min(1024, len(samples)))
    total = energy.sum() + _NOTHING * _SILENCE
    high = energy[frequencies > _TELEPHONE].sum() / total
    place = np.searchsorted(energy.cumsum(), _ROLL_OFF * energy.sum())
    return {
        "seconds": len(heard.samples) / heard.rate,
        "loudness": 20 * math.log10(math.sqrt(np.mean(np.square(samples, dtype=np.float64))) + _SILENCE),
        "roll-off": float(frequencies[min(place, len(frequencies) - 1)]),
        "above 3.4 kHz": 10 * math.log10(high + _NOTHING) if hertz > 2 * _TELEPHONE else math.nan,
    }


def words(content: bytes) -> set[str]:
    """Return the words of a text, in small letters."""
    return set(_WORD.findall(content.decode("utf-8", "replace").lower()))


def text(content: bytes, *, vocabulary: frozenset[str]) -> Measures:
    """Describe a text.

    Args:
        content: UTF-8.
        vocabulary: the words of all training texts.

    Returns:
        ``characters``, `UNKNOWN_WORDS` (share of its words that are not in the vocabulary), and for each
        Unicode script of its letters ``script NAME`` (share of the letters); scripts it lacks are left out.
    """
    said = content.decode("utf-8", "replace")
    known = [word in vocabulary for word in _WORD.findall(said.lower())]
    letters = [_script(one) for one in said if one.isalpha()]
    shares = {f"script {name}": letters.count(name) / len(letters) for name in set(letters)}
    unknown = 1 - sum(known) / len(known) if known else math.nan
    return {"characters": float(len(said)), UNKNOWN_WORDS: unknown, **shares}


@lru_cache(maxsize=1 << 16)
def _script(letter: str) -> str:
    """Return the script of a letter: the first word of its Unicode name, such as LATIN or CYRILLIC."""
    return unicodedata.name(letter, "OTHER").partition(" ")[0]


def row(content: bytes, *, readers: Mapping[str, CellReader]) -> Measures:
    """Describe a row by its columns: NaN and `MISSING` where a cell has no value, or one that cannot be read.

    Args:
        content: one line of CSV.
        readers: of the cells, by the column's name, in their order.
    """
    found = table_cells.cells(content.decode("utf-8", "replace"))
    return {name: _cell(one, cell) for (name, one), cell in zip(readers.items(), found, strict=False)}


def _cell(cells: CellReader, cell: str) -> Value:
    try:
        value = cells.read(cell)
    except ValueError:
        value = None
    if value is None:
        return math.nan if cells.numeric else MISSING
    return value


def _readers(rules: Mapping[str, Any]) -> dict[str, CellReader]:
    usual = table_cells.MISSING_WORDS if rules.get("usual_missing", True) else ()
    missing, numbers = (*rules["missing"], *usual), rules.get("numbers") or {}
    return {name: reader(kind, missing, numbers.get(name)) for name, kind in rules["columns"].items()}


def describer(raw: RawKind, rules: Mapping[str, Any], vocabulary: Iterable[str] = ()) -> Describe | None:
    """Return what describes the examples of a raw kind; None for a kind that is not described.

    Args:
        raw: the kind.
        rules: a dataset's, as its card has them: ``sample_rate`` of sounds; ``columns``, ``missing``,
            ``usual_missing`` and ``numbers`` of rows.
        vocabulary: the words of all training texts.
    """
    if raw == AUDIO:
        return partial(sound, rate=rules.get("sample_rate"))
    if raw == TEXT:
        return partial(text, vocabulary=frozenset(vocabulary))
    if raw == ROW:
        return partial(row, readers=_readers(rules))
    return image if raw == IMAGE else None
