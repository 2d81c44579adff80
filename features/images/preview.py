"""A small upright picture of an encoded image, for pages and figures."""

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image


def preview(raw: bytes, longest: int) -> "Image.Image | None":
    """Decode an encoded image upright, as RGB; None if it cannot be decoded.

    Args:
        raw: the file's content.
        longest: pixels of the longer side; a smaller image keeps its size.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(raw)) as opened:
            # A large JPEG is decoded at a fraction of its size.
            opened.draft("RGB", (longest, longest))
            picture = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, ValueError, SyntaxError):
        return None
    picture.thumbnail((longest, longest))
    return picture
