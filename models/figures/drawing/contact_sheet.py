"""Many small pictures as one."""

import io
from collections.abc import Sequence

from PIL import Image

#: Pixels between two pictures.
GAP = 4


def sheet(files: Sequence[bytes], columns: int = 10, side: int = 96) -> bytes:
    """Lay image files out in rows of equal squares, each picture centred in its own, as a PNG.

    Args:
        files: encoded images, read row by row.
        columns: squares in a row, or fewer where there are fewer files.
        side: of a square in pixels; smaller pictures are enlarged to it, their pixels kept sharp.
    """
    columns = max(1, min(columns, len(files)))
    rows = max(1, -(-len(files) // columns))
    step = side + GAP
    whole = Image.new("RGBA", (columns * step - GAP, rows * step - GAP))
    for place, file in enumerate(files):
        with Image.open(io.BytesIO(file)) as opened:
            picture = _fitted(opened.convert("RGB"), side)
        corner = (place % columns * step, place // columns * step)
        margins = ((side - picture.width) // 2, (side - picture.height) // 2)
        whole.paste(picture, (corner[0] + margins[0], corner[1] + margins[1]))
    stream = io.BytesIO()
    whole.save(stream, "PNG")
    return stream.getvalue()


def _fitted(picture: Image.Image, side: int) -> Image.Image:
    factor = side / max(picture.size)
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    return picture.resize(size, Image.Resampling.NEAREST if factor > 2 else Image.Resampling.LANCZOS)
