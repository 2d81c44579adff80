"""BMP files of every kind, written from known pixels: the oracle of the BMP tests is what was written."""

import struct

import numpy as np

SIZE = (5, 7)  # height, width: no row of it is a multiple of four bytes.


def indices(bits: int, seed: int = 0, most: int | None = None) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, most or 2**bits, SIZE).astype(np.uint8)


def colors(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3)).astype(np.uint8)


def rows(packed: list[bytes], *, padded: bool = True, top_down: bool = False) -> bytes:
    """Join rows from the bottom up, each padded to four bytes but, where not `padded`, the last."""
    ordered = packed if top_down else packed[::-1]
    whole = [row + bytes(-len(row) % 4) for row in ordered]
    return b"".join(whole if padded else [*whole[:-1], ordered[-1]])


def packed(pixels: np.ndarray, bits: int) -> list[bytes]:
    """Pack indices, the leftmost in the highest bits."""
    spread = (pixels[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return [np.packbits(row.ravel()).tobytes() for row in spread]


def table(palette: np.ndarray, entry: int = 4) -> bytes:
    return b"".join(bytes([blue, green, red, 0][:entry]) for red, green, blue in palette.tolist())


def bitmap(
    bits: int,
    body: bytes,
    *,
    header: int = 40,
    compression: int = 0,
    palette: bytes = b"",
    used: int | None = None,
    offset: int | None = None,
    gap: int = 0,
    masks: bytes = b"",
    top_down: bool = False,
) -> bytes:
    """Put a BMP together.

    Args:
        bits: of a pixel.
        body: the rows.
        header: its size in bytes.
        compression: as in the header.
        palette: the colour table.
        used: its number of entries as the header says; None for as many as there are.
        offset: place of the pixels as the header says; None for where they are.
        gap: bytes between colour table and pixels.
        masks: bit fields, in or behind the header.
        top_down: whether the height is negative.
    """
    height, width = SIZE
    used = len(palette) // 4 if used is None else used
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        fields = (
            header,
            width,
            -height if top_down else height,
            1,
            bits,
            compression,
            len(body),
            0,
            0,
            used,
            0,
        )
        info = struct.pack("<IiiHHIIiiII", *fields)
        inside = masks if header > 40 else b""
        info += inside + bytes(header - 40 - len(inside))
        info += masks if header == 40 else b""
    place = 14 + len(info) + len(palette) + gap
    named = place if offset is None else offset
    whole = info + palette + b"\x5a" * gap + body
    return b"BM" + struct.pack("<IHHI", 14 + len(whole), 0, 0, named) + whole


def run_lengths(pixels: np.ndarray, bits: int) -> bytes:
    """Write indices with run lengths: pairs of one count and one colour, row by row from the bottom up."""
    lines = []
    for row in pixels[::-1].tolist():
        pairs = b"".join(bytes([1, index << 4 if bits == 4 else index]) for index in row)
        lines.append(pairs + b"\0\0")
    return b"".join(lines)[:-2] + b"\0\1"


def true_color(pixels: np.ndarray, *, top_down: bool = False, samples: int = 3) -> bytes:
    """Write RGB pixels with 24 bits, or with a fourth byte that means nothing."""
    blue_first = pixels[..., ::-1]
    if samples == 4:
        blue_first = np.concatenate([blue_first, np.full((*SIZE, 1), 0x77, np.uint8)], -1)
    return rows([row.tobytes() for row in blue_first], top_down=top_down)


def kinds() -> dict[str, tuple[bytes, np.ndarray, bool]]:
    """Make a file of each kind that is accepted: bytes, pixels, whether the graph takes it as it is."""
    return _indexed() | _misplaced() | _true_colors() | _fields() | _runs()


Kinds = dict[str, tuple[bytes, np.ndarray, bool]]


def _indexed() -> Kinds:
    made: Kinds = {}
    for bits in (1, 4, 8):
        pixels, palette = indices(bits), colors(2**bits)
        body, shown = rows(packed(pixels, bits)), palette[pixels]
        for header in (40, 52, 56, 64, 108, 124):
            made[f"{bits} bits, {header}"] = (
                bitmap(bits, body, header=header, palette=table(palette)),
                shown,
                True,
            )
        os2 = bitmap(bits, body, header=12, palette=table(palette, 3))
        made[f"{bits} bits, OS/2"] = (os2, shown, False)
        down = rows(packed(pixels, bits), top_down=True)
        made[f"{bits} bits, top down"] = (
            bitmap(bits, down, palette=table(palette), top_down=True),
            shown,
            True,
        )
        made[f"{bits} bits, colours not counted"] = (
            bitmap(bits, body, palette=table(palette), used=0),
            shown,
            True,
        )
        bare = rows(packed(pixels, bits), padded=False)
        made[f"{bits} bits, last row bare"] = (
            bitmap(bits, bare, palette=table(palette)),
            shown,
            len(bare) == len(body),
        )
    for bits, count in ((4, 3), (8, 16), (8, 200)):
        pixels, palette = indices(bits, most=count), colors(count)
        body = rows(packed(pixels, bits))
        made[f"{bits} bits, {count} colours"] = (
            bitmap(bits, body, palette=table(palette)),
            palette[pixels],
            True,
        )
    return made | _greys()


def _greys() -> Kinds:
    """Tables of grey levels, which Pillow takes for a sign of other pixels."""
    made: Kinds = {}
    for bits, levels in ((1, [255, 0]), (1, [0, 255]), (4, [0, 255]), (8, [0, 255]), (8, [0])):
        palette = np.repeat(np.array(levels, np.uint8)[:, None], 3, 1)
        pixels = indices(bits, most=len(levels))
        body = rows(packed(pixels, bits))
        made[f"{bits} bits, levels {levels}"] = (
            bitmap(bits, body, palette=table(palette)),
            palette[pixels],
            True,
        )
    for bits, count in ((4, 16), (8, 256), (8, 100)):
        palette = np.repeat(np.arange(count, dtype=np.uint8)[:, None], 3, 1)
        pixels = indices(bits, most=count)
        data = bitmap(bits, rows(packed(pixels, bits)), palette=table(palette))
        made[f"{bits} bits, {count} grey levels"] = (data, palette[pixels], True)
    return made


def _misplaced() -> Kinds:
    pixels, palette = indices(8, most=226), colors(226)
    body, shown, listed = rows(packed(pixels, 8)), palette[pixels], table(palette)
    few = indices(4, most=5)
    return {
        "gap": (bitmap(8, body, palette=listed, gap=10), shown, True),
        "offset 0": (bitmap(8, body, palette=listed, offset=0), shown, False),
        "offset without the table": (bitmap(8, body, palette=listed, offset=54), shown, False),
        "offset without the table, V5": (
            bitmap(8, body, header=124, palette=listed, offset=138),
            shown,
            False,
        ),
        "offset without the table, OS/2": (
            bitmap(4, rows(packed(few, 4)), header=12, palette=table(colors(16), 3), offset=26),
            colors(16)[few],
            False,
        ),
        "offset 0, 24 bits": (bitmap(24, true_color(palette[pixels]), offset=0), shown, False),
        "table shorter than counted": (
            bitmap(4, rows(packed(few, 4)), palette=table(colors(5)), used=0),
            colors(5)[few],
            False,
        ),
        "table longer than can be used": (
            bitmap(4, rows(packed(few, 4)), palette=table(colors(40))),
            colors(40)[few],
            True,
        ),
        "300 colours": (
            bitmap(8, rows(packed(pixels, 8)), palette=table(colors(300))),
            colors(300)[pixels],
            True,
        ),
    }


def _true_colors() -> Kinds:
    pixels = np.random.default_rng(3).integers(0, 256, (*SIZE, 3)).astype(np.uint8)
    body, down = true_color(pixels), true_color(pixels, top_down=True)
    wide = true_color(pixels, samples=4)
    made: Kinds = {
        f"24 bits, {header}": (bitmap(24, body, header=header), pixels, header > 12)
        for header in (12, 40, 52, 56, 64, 108, 124)
    }
    made |= {
        f"32 bits, {header}": (bitmap(32, wide, header=header), pixels, True) for header in (40, 56, 124)
    }
    return made | {
        "24 bits, top down": (bitmap(24, down, top_down=True), pixels, True),
        "24 bits, unused table": (bitmap(24, body, palette=table(colors(7))), pixels, True),
        "24 bits, colours counted, none there": (bitmap(24, body, used=256), pixels, True),
    }


def _fields() -> Kinds:
    five = np.random.default_rng(4).integers(0, 32, (*SIZE, 3)).astype(np.uint16)
    red, green, blue = (five[..., place] for place in range(3))
    plain = rows([row.astype("<u2").tobytes() for row in red << 10 | green << 5 | blue])
    six = rows([row.astype("<u2").tobytes() for row in red << 11 | green << 6 | blue])
    # Pillow and libbmp scale 5 bits to 8 by rounding down or to nearest; the extremes are exact.
    shown = (five * 255 // 31).astype(np.uint8)
    shown_six = np.stack([red * 255 // 31, (green * 2) * 255 // 63, blue * 255 // 31], -1).astype(np.uint8)
    pixels = np.random.default_rng(5).integers(0, 256, (*SIZE, 4)).astype(np.uint8)
    body = rows([row.tobytes() for row in pixels[..., [2, 1, 0, 3]]])
    alpha = pixels[..., 3:] / 255
    over_white = np.rint((pixels[..., :3] / 255 * alpha + 1 - alpha) * 255).astype(np.uint8)
    clear = rows(
        [
            row.tobytes()
            for row in np.where([True] * 3 + [False], pixels[..., [2, 1, 0, 3]], 0).astype(np.uint8)
        ]
    )
    usual = struct.pack("<III", 0xFF0000, 0xFF00, 0xFF)
    with_alpha = usual + struct.pack("<I", 0xFF000000)
    return {
        "16 bits": (bitmap(16, plain), shown, False),
        "16 bits, 555": (
            bitmap(16, plain, compression=3, masks=struct.pack("<III", 0x7C00, 0x3E0, 0x1F)),
            shown,
            False,
        ),
        "16 bits, 565": (
            bitmap(16, six, compression=3, masks=struct.pack("<III", 0xF800, 0x7E0, 0x1F)),
            shown_six,
            False,
        ),
        "32 bits, fields": (bitmap(32, body, compression=3, masks=usual), pixels[..., :3], True),
        "32 bits, fields, V4": (
            bitmap(32, body, header=108, compression=3, masks=usual),
            pixels[..., :3],
            True,
        ),
        "32 bits, alpha": (bitmap(32, body, header=108, compression=3, masks=with_alpha), over_white, False),
        "32 bits, alpha of V3": (
            bitmap(32, body, header=56, compression=3, masks=with_alpha),
            over_white,
            False,
        ),
        "32 bits, alpha unused": (
            bitmap(32, clear, header=124, compression=3, masks=with_alpha),
            pixels[..., :3],
            False,
        ),
    }


def _runs() -> Kinds:
    made: Kinds = {}
    for bits, compression in ((8, 1), (4, 2)):
        pixels, palette = indices(bits), colors(2**bits)
        body = run_lengths(pixels, bits)
        for name, options in (("", {}), (", offset 0", {"offset": 0}), (", V5", {"header": 124})):
            data = bitmap(bits, body, compression=compression, palette=table(palette), **options)
            made[f"{bits} bits, run lengths{name}"] = (data, palette[pixels], False)
        white = np.array([[0] * 3, [255] * 3], np.uint8)
        two = indices(bits, most=2)
        data = bitmap(bits, run_lengths(two, bits), compression=compression, palette=table(white))
        made[f"{bits} bits, run lengths, black and white"] = (data, white[two], False)
    return made


def refused() -> dict[str, tuple[bytes, str]]:
    """Make files of the kinds that are refused, each with its reason."""
    pixels, palette = indices(8), table(colors(256))
    body = rows(packed(pixels, 8))
    return {
        "offset in the table, its colours used": (bitmap(8, body, palette=palette, offset=100), "corrupt"),
        "offset in the header": (bitmap(8, body, palette=palette, offset=20), "corrupt"),
        "offset in the masks": (
            bitmap(
                32, bytes(140), compression=3, masks=struct.pack("<III", 0xFF0000, 0xFF00, 0xFF), offset=54
            ),
            "corrupt",
        ),
        "offset 0, 24 bits with a table": (bitmap(24, bytes(200), palette=palette, offset=0), "corrupt"),
        "offset behind the pixels": (bitmap(8, body, palette=palette, offset=5000), "truncated"),
        "rows cut": (bitmap(8, body[:-9], palette=palette), "truncated"),
        "colour beyond the table": (bitmap(8, body, palette=table(colors(9))), "corrupt"),
        "2 bits": (bitmap(2, body, palette=table(colors(4))), "unsupported_variant"),
        "a JPEG inside": (bitmap(0, body, compression=4), "unsupported_variant"),
        "a PNG inside": (bitmap(0, body, compression=5), "unsupported_variant"),
        "OS/2 Huffman": (
            bitmap(1, body, header=64, compression=3, palette=table(colors(2))),
            "unsupported_variant",
        ),
        "OS/2 24-bit runs": (bitmap(24, body, header=64, compression=4), "unsupported_variant"),
        "header of 48 bytes": (bitmap(8, body, header=48, palette=palette), "unsupported_variant"),
        "odd fields": (
            bitmap(32, bytes(140), compression=3, masks=struct.pack("<III", 0xFF, 0xFF00, 0xFF0000)),
            "unsupported_variant",
        ),
        "runs of 24 bits": (bitmap(24, body, compression=1), "unsupported_variant"),
        "no width": (
            bitmap(8, body, palette=palette)[:18] + bytes(4) + bitmap(8, body, palette=palette)[22:],
            "corrupt",
        ),
    }
