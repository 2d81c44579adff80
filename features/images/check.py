"""Check one image file: limits from the header first, then a full decode."""

import contextlib
import hashlib
import io
import struct
import warnings
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from features.formats.content_type import IMAGES, sniff
from features.images.files import bmp, exif
from features.images.files.forms import is_plain
from features.images.files.header import HEADERS, Header, read_header
from features.images.files.png import Structure, check_pixels
from features.ingest.verdicts.facts import Facts
from features.quarantine import RefusedError

#: Longer sides are beyond JPEG and WebP, and libpng's own limit is near.
MAX_SIDE = 65_500

_DECODERS: dict[str, type[ImageFile.ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "GIF": GifImageFile,
    "BMP": BmpImageFile,
    "WEBP": WebPImageFile,
}
_ENDINGS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".apng": "PNG",
    ".gif": "GIF",
    ".bmp": "BMP",
    ".webp": "WEBP",
    ".heic": "HEIC",
    ".heif": "HEIC",
    ".avif": "AVIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".jp2": "JPEG 2000",
    ".jxl": "JPEG XL",
    ".psd": "Photoshop",
    ".ico": "ICO",
}
#: The rules under which a client rewrites what it sends.
_USUAL = {"max_pixels": 50_000_000, "animated": "first-frame"}
#: What makes pixels upright, by the EXIF orientation.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
#: How a picture of another format can be used.
_WAY_OUT = "convert it to JPEG or PNG, as `magick FILE FILE.jpg` does"
_WAYS_OUT = {
    "HEIC": "convert it, as `magick IMG.HEIC IMG.jpg` does, or let the iPhone export JPEG (Settings > Camera "
    "> Formats > Most Compatible)",
    "SVG": "render it to PNG",
    "PostScript": "render it to PNG",
}
#: Bytes from the beginning among which a JPEG is looked for in what is none.
_NEAR = 4096
_GRID = 32
#: Modes that can hold the same picture are compared in one.
_PLAIN_MODES = {"1": "RGB", "L": "RGB", "P": "RGB", "LA": "RGBA", "PA": "RGBA"}
_ORIENTATION = 274
#: What Pillow raises for data it cannot decode: the first with words that say why.
_COMPLAINTS = (OSError, EOFError, SyntaxError, ValueError, TypeError)
_FAULTS = (*_COMPLAINTS, KeyError, IndexError, OverflowError, struct.error, zlib.error, RuntimeError)


def check(data: bytes, suffix: str, rules: Mapping[str, Any]) -> Facts:
    """Decode an image fully, under limits told from its header.

    Args:
        data: the file's content, not empty.
        suffix: the file name's ending, lower case with dot, or empty.
        rules: ``max_pixels`` and ``animated`` ("first-frame" or "reject").

    Returns:
        Facts with the measures ``width``, ``height`` (pixels, as stored) and ``orientation`` (EXIF, 1 to 8).

    Raises:
        RefusedError: with the reason the content cannot be used.
    """
    header = _header(data, rules)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's: what matters is refused, the rest is metadata.
        picture = _decode(header, data)
        orientation, identity = _orientation(picture), _identity(picture)
        stored = None if _is_plain(data, orientation) else _as_png(picture, header, orientation)
    return Facts(
        header.format,
        identity,
        {"width": header.width, "height": header.height, "orientation": orientation},
        _notes(header, suffix, orientation, stored is not None),
        stored,
        header.variant + ", turned" * (orientation != 1),
        header.odd,
    )


def plain(data: bytes) -> bytes:
    """Return an image as the served graph takes it: its own bytes, or a PNG of the same pixels, upright.

    What ingest keeps of an image and what a client sends of it are equal to the bit.

    Raises:
        RefusedError: a form that must be rewritten cannot be read.
    """
    if sniff(data) not in HEADERS:
        return data
    header = _header(data, _USUAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The head of most files says all: no pixel is decoded.
        with contextlib.suppress(*_FAULTS):
            opened = _DECODERS[header.format](io.BytesIO(data))
            if _is_plain(data, _orientation(opened)):
                return data
        picture = _decode(header, data)
        orientation = _orientation(picture)
        return data if _is_plain(data, orientation) else _as_png(picture, header, orientation)


def _is_plain(data: bytes, orientation: int) -> bool:
    """Return whether the served graph decodes an image as stored, with the same orientation as ingest."""
    return is_plain(data) and exif.orientation(data) == orientation


def upright(data: bytes, rules: Mapping[str, Any]) -> Image.Image:
    """Decode an image that `check` accepts, and turn it upright; rules as of `check`."""
    header = _header(data, rules)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        picture = _decode(header, data)
        return _turned(picture, header, _orientation(picture))


def _turned(picture: Image.Image, header: Header, orientation: int) -> Image.Image:
    if header.box is not None:
        picture = _framed(picture, header.box)
    turn = _TURNS.get(orientation)
    return picture if turn is None else picture.transpose(turn)


def _framed(picture: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    """Leave white what the first frame does not reach, which decoders fill as they like."""
    white = Image.new("RGBA", picture.size, "white")
    white.paste(picture.convert("RGBA").crop(box), box[:2])
    return white


def _as_png(picture: Image.Image, header: Header, orientation: int) -> bytes:
    """Write a picture upright, in 8 bits, with its alpha channel if it has one."""
    written = _turned(_eight_bits(picture), header, orientation)
    out = io.BytesIO()
    # The least compression: the copy is read more often than it is stored.
    Image.frombytes(written.mode, written.size, written.tobytes()).save(out, "PNG", compress_level=1)
    return out.getvalue()


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Bring a picture to grey, grey and alpha, RGB or RGBA of 8 bits."""
    if not picture.mode.startswith("I"):
        return picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    levels = np.asarray(picture, np.float64)
    grey = Image.fromarray(np.round(levels / 257).astype(np.uint8))
    if (color := picture.info.get("transparency")) is None:
        return grey
    return Image.merge("LA", (grey, Image.fromarray(np.where(levels == color, 0, 255).astype(np.uint8))))


def _header(data: bytes, rules: Mapping[str, Any]) -> Header:
    kind = sniff(data)
    if kind not in HEADERS:
        raise _not_decodable(kind, data)
    header = read_header(kind, data)
    limit = rules["max_pixels"]
    size = f"{header.width} x {header.height}"
    if header.width * header.height > limit or max(header.width, header.height) > MAX_SIDE:
        raise RefusedError(
            "too_large", f"{size} pixels; at most {limit:,} and {MAX_SIDE:,} a side are decoded"
        )
    # Frames of far more pixels than a picture may have make a bomb, whichever of them is used.
    if header.decoded_pixels > 3 * limit:
        raise RefusedError(
            "too_large", f"{header.frames} frames hold {header.decoded_pixels:,} pixels together"
        )
    if header.frames > 1 and rules["animated"] == "reject":
        raise RefusedError("animated", f"{header.format} with {header.frames} frames")
    return header


def _not_decodable(kind: str, data: bytes) -> RefusedError:
    detail = f"the content is {kind}; JPEG, PNG, BMP, GIF and WebP can be decoded"
    if kind in IMAGES:
        return RefusedError("unsupported_format", f"{detail}: {_WAYS_OUT.get(kind, _WAY_OUT)}")
    begin = data.find(b"\xff\xd8\xff", 0, _NEAR)
    hint = f": a JPEG begins at byte {begin}, cut off what stands before it" if begin > 0 else ""
    if data.startswith(b"\xff\xd8"):
        hint = ": a JPEG's start with something else than a marker behind it"
    return RefusedError("not_an_image", detail + hint)


def _decode(header: Header, data: bytes) -> Image.Image:
    if header.png is not None:
        check_pixels(data, header.png)
    # The header's pixels are within the limit: Pillow's own threshold has nothing to add.
    Image.MAX_IMAGE_PIXELS = None
    try:
        readable = bmp.for_pillow(data) if header.format == "BMP" else data
        picture: Image.Image = _DECODERS[header.format](io.BytesIO(readable))
        picture.load()
    except MemoryError:
        raise RefusedError(
            "too_large", "decoding needs more memory than a decoder process is allowed"
        ) from None
    except _COMPLAINTS as error:
        raise _refusal(error) from None
    except _FAULTS as error:
        raise RefusedError("corrupt", f"{type(error).__name__}: {error}") from None
    if picture.size != (header.width, header.height):
        raise RefusedError(
            "corrupt", f"the header says {header.width} x {header.height}, the decoder {picture.size}"
        )
    if header.colors is not None:
        _require_colors(picture, header.colors)
    if header.png is not None and "transparency" in picture.info:
        _scale_transparent_color(picture, header.png)
    # A mask for alpha over pixels that have none: opaque, as every viewer takes it.
    unused = header.format == "BMP" and picture.mode == "RGBA" and not picture.getchannel("A").getbbox()
    return picture.convert("RGB") if unused else picture


def _scale_transparent_color(picture: Image.Image, png: Structure) -> None:
    """Bring a PNG's transparent colour to the 8 bits of Pillow's pixels, which leaves it as stored."""
    color = picture.info["transparency"]
    if png.kind == 0 and png.depth in (2, 4):
        picture.info["transparency"] = color * 255 // (2**png.depth - 1)
    elif png.kind == 2 and png.depth == 16:
        picture.info["transparency"] = tuple(sample >> 8 for sample in color)


def _require_colors(picture: Image.Image, colors: int) -> None:
    """Refuse pixels beyond the colour table, which Pillow shows black and TensorFlow refuses."""
    highest = picture.getextrema()[1]
    if picture.mode == "1":
        highest = int(bool(highest))
    if isinstance(highest, (int, float)) and highest >= colors:
        raise RefusedError("corrupt", f"colour {highest} is used, the colour table has {colors}")


def _refusal(error: Exception) -> RefusedError:
    text = str(error) or type(error).__name__
    lowered = text.lower()
    if "too large" in lowered:
        return RefusedError("too_large", text)
    if "unsupported" in lowered:
        return RefusedError("unsupported_variant", f"{text}; save it as PNG")
    ends_early = isinstance(error, EOFError) or any(
        sign in lowered for sign in ("truncated", "unexpected end", "incomplete")
    )
    return RefusedError("truncated" if ends_early else "corrupt", text)


def _orientation(picture: Image.Image) -> int:
    if "exif" not in picture.info:
        return 1
    try:
        # Not getexif(), which takes an orientation from XMP where EXIF has none.
        tags = Image.Exif()
        tags.load(picture.info["exif"])
        orientation = tags.get(_ORIENTATION, 1)
    except (SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, OSError, struct.error):
        # Broken metadata beside a sound picture: upright, as every viewer takes it.
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def _notes(header: Header, suffix: str, orientation: int, rewritten: bool) -> tuple[str, ...]:
    notes = []
    if _ENDINGS.get(suffix, header.format) != header.format:
        notes.append("extension_mismatch")
    if rewritten:
        notes.append("rewritten")
    if header.format == "JPEG" and header.odd:
        notes.append("extraneous_bytes")
    if header.frames > 1:
        notes.append("first_frame")
    if orientation != 1:
        notes.append("rotated")
    return tuple(notes)


def _identity(picture: Image.Image) -> str:
    """Hash size and pixels, the latter from a 32 x 32 grid of exact samples (all of a smaller image).

    A full hash of the pixels would cost a third of the decoding; this costs a twentieth, and can at
    worst put two different pictures into the same split.
    """
    digest = hashlib.sha256(b"%d x %d" % picture.size)
    if picture.width * picture.height > _GRID**2:
        picture = picture.resize((_GRID, _GRID), Image.Resampling.NEAREST)
    if picture.mode in _PLAIN_MODES:
        picture = picture.convert(_PLAIN_MODES[picture.mode])
    digest.update(picture.mode.encode() + picture.tobytes())
    return digest.hexdigest()
