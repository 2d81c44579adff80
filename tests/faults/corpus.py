"""Good and hostile image files, made from code: reviewers can read what is hostile about each.

`hostile()` and `good()` take about a second together and depend on nothing but Pillow.
"""

import io
import os
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image


@dataclass(frozen=True)
class Case:
    """A file: its name, its bytes, and the reason it must be refused with (None: accepted, with `notes`)."""

    name: str
    data: bytes
    reason: str | None = None
    notes: tuple[str, ...] = ()


# -- trees ----------------------------------------------------------------------------------------


def plant(root: Path, files: dict[str | bytes, bytes]) -> Path:
    """Write files below root, by path; a path that ends in a slash makes an empty folder."""
    for name, data in files.items():
        relative = os.fsdecode(name)
        path = root / relative
        (path if relative.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not relative.endswith("/"):
            path.write_bytes(data)
    return root


def classes(**counts: int) -> dict[str | bytes, bytes]:
    """Name the files of class folders with so many small pictures each, all different."""
    files: dict[str | bytes, bytes] = {}
    for number, (label, count) in enumerate(counts.items()):
        for index in range(count):
            files[f"{label}/{index:03}.png"] = encode(picture(10_000 * number + index, 8, 8), "PNG")
    return files


# -- pictures -------------------------------------------------------------------------------------


def picture(seed: int, width: int = 48, height: int = 40) -> Image.Image:
    """Make a picture of coloured blocks that differs from seed to seed."""
    noise = random.Random(seed)
    blocks = Image.frombytes("RGB", (8, 8), noise.randbytes(8 * 8 * 3))
    return blocks.resize((width, height), Image.Resampling.NEAREST)


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    """Write a picture to bytes."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def gray16(image: Image.Image) -> Image.Image:
    """Make a 16-bit grey picture whose levels are 257 times those of the 8-bit one."""
    levels = image.convert("L").tobytes()
    return Image.frombytes("I;16", image.size, b"".join(struct.pack("<H", level * 257) for level in levels))


def exif(orientation: int) -> Image.Exif:
    """Make EXIF metadata with an orientation tag."""
    tags = Image.Exif()
    tags[274] = orientation
    return tags


def chunk(name: bytes, body: bytes) -> bytes:
    """Make a PNG chunk."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, *, depth: int = 8, kind: int = 0, pixels: bytes | None = None) -> bytes:
    """Make a PNG from its parts: grey by default, all black."""
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(kind, 1)
    if pixels is None:
        row = b"\0" * (1 + (width * depth * samples + 7) // 8)
        pixels = _repeated(row, height)
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return PNG + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def _repeated(row: bytes, height: int) -> bytes:
    deflate = zlib.compressobj(9)
    parts = [deflate.compress(row * 64) for _ in range(height // 64)]
    return b"".join([*parts, deflate.compress(row * (height % 64)), deflate.flush()])


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Take a PNG apart."""
    parts, place = [], 8
    while place < len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        parts.append((name, data[place + 8 : place + 8 + length]))
        place += 12 + length
    return parts


def bmp(
    bits: int, *, compression: int = 0, header: int = 40, colors: int = 0, tail: bytes = b"", **more: object
) -> bytes:
    """Make an 8 x 4 BMP from its parts."""
    width, height = more.get("size", (8, 4))
    body = more.get("pixels")
    if body is None:
        body = bytes(range(200)) * 8
        body = body[: (8 * bits + 31) // 32 * 4 * 4]
    masks = more.get("masks", b"")
    palette = more.get("palette", b"".join(struct.pack("<I", index * 0x010101) for index in range(colors)))
    start = 14 + header + len(masks) + len(palette)
    info = struct.pack(
        "<IiiHHIIiiII", header, width, height, 1, bits, compression, len(body), 0, 0, colors, 0
    )
    info += bytes(header - 40)
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + info + masks + palette + body + tail


def gif_frame(width: int, height: int, data: bytes = b"\x02\x02\x4c\x01\x00") -> bytes:
    """Make a GIF frame of that size, with a colour table only where the screen has one."""
    return struct.pack("<BHHHHB", 0x2C, 0, 0, width, height, 0) + data


def gif(width: int, height: int, *frames: bytes, table: bool = True) -> bytes:
    """Make a GIF of four colours, or without a colour table."""
    flags = 0x81 if table else 0
    screen = struct.pack("<HHBBB", width, height, flags, 0, 0)
    return b"GIF89a" + screen + bytes(range(12)) * table + b"".join(frames) + b";"


def riff(kind: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """Make a RIFF file."""
    body = kind + b"".join(
        name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for name, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


PNG = b"\x89PNG\r\n\x1a\n"


# -- damage ---------------------------------------------------------------------------------------


def replaced(data: bytes, old: bytes, new: bytes) -> bytes:
    """Replace the first occurrence, which must be there."""
    assert old in data, "the corpus no longer finds what it damages"
    return data.replace(old, new, 1)


def at(data: bytes, place: int, new: bytes) -> bytes:
    """Overwrite bytes."""
    return data[:place] + new + data[place + len(new) :]


def mutated(data: bytes, noise: random.Random) -> bytes:
    """Damage a file at random: flips, cuts, zeros, insertions, repeats."""
    out = bytearray(data)
    place = noise.randrange(len(out))
    span = noise.randrange(1, 64)
    kind = noise.randrange(6)
    if kind == 0:
        out[place] ^= 1 << noise.randrange(8)
    elif kind == 1:
        del out[max(1, place) :]
    elif kind == 2:
        out[place : place + span] = bytes(len(out[place : place + span]))
    elif kind == 3:
        out[place:place] = noise.randbytes(span % 8 + 1)
    elif kind == 4:
        out[place:place] = out[place : place + span]
    else:
        for _ in range(4):
            out[noise.randrange(min(len(out), 200))] = noise.randrange(256)
    return bytes(out)


# -- the good -------------------------------------------------------------------------------------


@cache
def good() -> tuple[Case, ...]:
    """Files that must be accepted, each of another picture."""
    pictures = (picture(seed) for seed in range(1000, 2000))
    return tuple(case for make in (_good_jpeg, _good_png, _good_other) for case in make(pictures))


def _good_jpeg(pictures: Iterator[Image.Image]) -> Iterator[Case]:
    yield Case("plain.jpg", encode(next(pictures), "JPEG"))
    yield Case("UPPER.JPEG", encode(next(pictures), "JPEG"))
    yield Case("gray.jpg", encode(next(pictures).convert("L"), "JPEG"))
    yield Case("cmyk.jpg", encode(next(pictures).convert("CMYK"), "JPEG"))
    yield Case("progressive.jpg", encode(next(pictures), "JPEG", progressive=True))
    yield Case("restarts.jpg", encode(next(pictures), "JPEG", restart_marker_blocks=2))
    yield Case("subsampled.jpe", encode(next(pictures), "JPEG", subsampling=2))
    yield Case("trailing.jfif", encode(next(pictures), "JPEG") + b"trailing junk\xff\xd8")
    yield Case("noextension", encode(next(pictures), "JPEG"))
    yield Case("really-jpeg.png", encode(next(pictures), "JPEG"), notes=("extension_mismatch",))
    for orientation in range(2, 9):
        data = encode(next(pictures), "JPEG", exif=exif(orientation))
        yield Case(f"exif{orientation}.jpg", data, notes=("rotated",))
    broken = replaced(encode(next(pictures), "JPEG", exif=exif(6)), b"Exif\0\0MM", b"Exif\0\0MX")
    yield Case("broken-exif.jpg", broken)


def _good_png(pictures: Iterator[Image.Image]) -> Iterator[Case]:
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
        yield Case(f"mode-{mode}.png", encode(next(pictures).convert(mode), "PNG"))
    yield Case("mode-16bit.png", encode(gray16(next(pictures)), "PNG"))
    for bits in (1, 2, 4):
        yield Case(f"palette{bits}.png", encode(next(pictures).quantize(2**bits), "PNG", bits=bits))
    yield Case("transparent.png", encode(next(pictures).quantize(16), "PNG", transparency=3))
    animation = {"save_all": True, "append_images": [next(pictures)]}
    yield Case("animated.apng", encode(next(pictures), "PNG", **animation), notes=("first_frame",))
    text = chunk(b"tEXt", b"Comment\0harmless")
    data = encode(next(pictures), "PNG")
    yield Case("commented.png", data[:33] + text + data[33:])
    yield Case("really-png.jpg", encode(next(pictures), "PNG"), notes=("extension_mismatch",))


#: Four rows of a BMP of 8 x 4 pixels with run lengths, and its end.
_RUNS = b"\x08\x05\0\0" * 4 + b"\0\1"


def _good_other(pictures: Iterator[Image.Image]) -> Iterator[Case]:
    for mode in ("L", "RGB", "RGBA"):
        yield Case(f"mode-{mode}.bmp", encode(next(pictures).convert(mode), "BMP"))
    yield Case("v5-header.bmp", bmp(24, header=124))
    yield Case("gray-palette.bmp", bmp(8, colors=256))
    palette = b"".join(struct.pack("<I", index * 0x030201 & 0xFFFFFF) for index in range(256))
    yield Case("palette.bmp", bmp(8, palette=palette))
    yield Case("one-bit.bmp", bmp(1, colors=2))
    yield Case("four-bits.bmp", bmp(4, palette=palette[:64]))
    yield Case("trailing-bytes.bmp", bmp(24, size=(8, 3), tail=b"\0\0"))
    masks = struct.pack("<III", 0xFF0000, 0xFF00, 0xFF)
    yield Case("standard-masks.bmp", bmp(32, compression=3, masks=masks))
    yield Case("sixteen-bits.bmp", bmp(16))
    yield Case("run-length-8.bmp", bmp(8, compression=1, palette=palette, pixels=_RUNS))
    yield Case("run-length-4.bmp", bmp(4, compression=2, palette=palette[:64], pixels=_RUNS))
    os2 = struct.pack("<IHHIIHHHH", 122, 0, 0, 26, 12, 8, 4, 1, 24)
    yield Case("os2.bmp", b"BM" + os2 + bytes(range(96)))
    for mode in ("1", "L", "P", "RGB"):
        yield Case(f"mode-{mode}.gif", encode(next(pictures).convert(mode), "GIF"))
    animation = {"save_all": True, "append_images": [next(pictures), next(pictures)]}
    yield Case("animated.gif", encode(next(pictures), "GIF", **animation), notes=("first_frame",))
    for lossless in (False, True):
        data = encode(next(pictures), "WEBP", lossless=lossless, **animation)
        yield Case(f"animated-{lossless}.webp", data, notes=("first_frame",))
    for lossless in (False, True):
        yield Case(f"lossless-{lossless}.webp", encode(next(pictures), "WEBP", lossless=lossless))
        faded = next(pictures).convert("RGBA").rotate(30)
        yield Case(f"alpha-{lossless}.webp", encode(faded, "WEBP", lossless=lossless))
    yield Case("exif6.webp", encode(next(pictures), "WEBP", exif=exif(6)), notes=("rotated",))


# -- the hostile ----------------------------------------------------------------------------------


@cache
def hostile() -> tuple[Case, ...]:
    """Files that must be refused, each with its one right reason; no two of equal content."""
    makers: tuple[Callable[[], Iterator[Case]], ...] = (
        _cut,
        _bad_jpeg,
        _bad_png,
        _bad_gif,
        _bad_bmp,
        _bad_webp,
        _other_images,
        _no_images,
        _bombs,
    )
    return tuple(case for make in makers for case in make())


def _cut() -> Iterator[Case]:
    """I1: only a full decode, or a walk to the end of the container, finds these."""
    image = picture(1, 96, 80)
    whole = {
        "jpg": encode(image, "JPEG", quality=95),
        "progressive.jpg": encode(image, "JPEG", progressive=True, quality=95),
        "png": encode(image, "PNG"),
        "webp": encode(image, "WEBP", lossless=True),
        "gif": encode(image, "GIF"),
        "bmp": encode(image, "BMP"),
    }
    for ending, data in whole.items():
        yield Case(f"half.{ending}", data[: len(data) // 2], "truncated")
        yield Case(f"98percent.{ending}", data[: len(data) * 98 // 100], "truncated")
        yield Case(f"two-bytes.{ending}", data[:-2], "truncated")


def _bad_jpeg() -> Iterator[Case]:
    data = encode(picture(2), "JPEG")
    frame = data.index(b"\xff\xc0")
    for marker, name in ((0xC3, "lossless"), (0xC5, "hierarchical"), (0xC9, "arithmetic")):
        yield Case(f"{name}.jpg", at(data, frame, bytes([0xFF, marker])), "unsupported_variant")
    yield Case("twelve-bits.jpg", at(data, frame, b"\xff\xc1\0\x11\x0c"), "unsupported_variant")
    yield Case("two-components.jpg", at(data, frame + 9, b"\2"), "unsupported_variant")
    yield Case("no-width.jpg", at(data, frame + 7, b"\0\0"), "corrupt")
    yield Case("no-frame.jpg", data[:frame] + data[frame + 19 :], "corrupt")
    yield Case("header-only.jpg", data[: frame + 6], "truncated")
    yield Case("marker-missing.jpg", at(data, 20, b"\0\0"), "corrupt")
    yield Case("no-quantisation.jpg", data.replace(b"\xff\xdb", b"\xff\xe9"), "corrupt")
    restarts = encode(picture(3), "JPEG", restart_marker_blocks=2)
    yield Case("restarts-out-of-order.jpg", replaced(restarts, b"\xff\xd1", b"\xff\xd5"), "corrupt")
    scan = data.index(b"\xff\xda") + 40
    yield Case("marker-in-scan.jpg", at(data, scan, b"\xff\x05"), "corrupt")
    yield Case("start-only.jpg", b"\xff\xd8\xff", "truncated")


def _bad_png() -> Iterator[Case]:
    data = encode(picture(4), "PNG")
    parts = png_chunks(data)
    pixels = dict(parts)[b"IDAT"]
    yield Case("header-checksum.png", at(data, 16, b"\0\1"), "corrupt")
    yield Case("data-checksum.png", at(data, len(data) - 16, b"\0\0\0\0"), "corrupt")
    yield Case("no-data.png", PNG + b"".join(chunk(*part) for part in parts if part[0] != b"IDAT"), "corrupt")
    yield Case("header-not-first.png", PNG + chunk(b"tEXt", b"a\0b") + data[8:], "corrupt")
    yield Case("no-deflate.png", png(48, 40, pixels=b"not deflate at all"), "corrupt")
    yield Case("too-few-rows.png", png(48, 40, pixels=zlib.compress(b"\0" * 49 * 20)), "truncated")
    yield Case("too-many-rows.png", png(48, 40, pixels=zlib.compress(b"\0" * 49 * 41)), "corrupt")
    yield Case("no-adler.png", png(48, 40, pixels=zlib.compress(b"\0" * 49 * 40)[:-4]), "truncated")
    yield Case("bad-filter.png", png(48, 40, pixels=zlib.compress(b"\x09" * 49 * 40)), "corrupt")
    yield Case("no-width.png", png(0, 40, pixels=pixels), "corrupt")
    yield Case("colour-type-5.png", png(48, 40, kind=5), "corrupt")
    yield Case("nine-bits.png", png(48, 40, depth=9), "corrupt")
    yield Case("huge-chunk.png", at(data, 33, b"\x7f\xff\xff\xff"), "truncated")
    yield Case("signature-only.png", PNG, "truncated")
    yield Case("flipped-bit.png", _rechecked(data), "corrupt")


def _rechecked(data: bytes) -> bytes:
    """Damage the pixels and make the chunk's checksum right again: only zlib's own sum shows it."""
    parts = [
        (name, at(body, len(body) // 2, bytes([body[len(body) // 2] ^ 4])) if name == b"IDAT" else body)
        for name, body in png_chunks(data)
    ]
    return PNG + b"".join(chunk(*part) for part in parts)


def _bad_gif() -> Iterator[Case]:
    data = encode(picture(5), "GIF")
    yield Case("no-frame.gif", gif(8, 8), "corrupt")
    yield Case("no-colours.gif", gif(2, 2, gif_frame(2, 2), table=False), "unsupported_variant")
    yield Case("empty-frame.gif", gif(2, 2, gif_frame(0, 2)), "corrupt")
    yield Case("no-screen.gif", gif(0, 0, gif_frame(2, 2)), "corrupt")
    yield Case("unknown-block.gif", replaced(data, b",\0\0\0\0", b"\x99\0\0\0\0"), "corrupt")
    yield Case("colour-out-of-table.gif", gif(2, 2, gif_frame(2, 2, b"\x03\x03\x58\x77\x57\0")), "corrupt")


def _bad_bmp() -> Iterator[Case]:
    masks = struct.pack("<III", 0xFF, 0xFF00, 0xFF0000)
    yield Case("odd-masks.bmp", bmp(32, compression=3, masks=masks), "unsupported_variant")
    yield Case("jpeg-inside.bmp", bmp(0, compression=4, pixels=bytes(100)), "unsupported_variant")
    yield Case("runs-cut.bmp", bmp(8, compression=1, colors=256, pixels=_RUNS[:4]), "corrupt")
    yield Case("offset-in-header.bmp", at(bmp(8, colors=256), 10, struct.pack("<I", 40)), "corrupt")
    yield Case("says-60000.bmp", at(bmp(24), 18, struct.pack("<ii", 60_000, 60_000)), "truncated")
    yield Case("no-height.bmp", bmp(24, size=(8, 0), pixels=b""), "corrupt")


def _bad_webp() -> Iterator[Case]:
    animation = {"save_all": True, "append_images": [picture(7)]}
    data = encode(picture(6), "WEBP", **animation)
    yield Case("no-frame.webp", data.replace(b"ANMF", b"ANMX"), "corrupt")
    yield Case("broken-frame.webp", replaced(data, b"VP8", b"ABC"), "corrupt")
    data = encode(picture(8), "WEBP")
    yield Case("no-start-code.webp", replaced(data, b"\x9d\x01\x2a", b"\x9d\x01\x2b"), "corrupt")
    yield Case("unknown-chunk.webp", riff(b"WEBP", (b"ABCD", bytes(40))), "corrupt")
    yield Case("garbage.webp", riff(b"WEBP", (b"VP8L", b"\x2f\x2f\x00\x0a\x00" + b"\xa5" * 60)), "corrupt")
    yield Case("container-only.webp", riff(b"WEBP"), "corrupt")
    yield Case(
        "canvas-without-picture.webp", riff(b"WEBP", (b"VP8X", bytes(4) + b"\x2f\0\0\x27\0\0")), "corrupt"
    )


def _other_images() -> Iterator[Case]:
    """I2: pictures, and of formats that the served model cannot decode, whatever their name says."""
    contents = {
        "tiff": encode(picture(9), "TIFF"),
        "bigtiff": b"II+\0" + bytes(60),
        "heic": b"\0\0\0\x18ftypheic" + bytes(60),
        "avif": b"\0\0\0\x18ftypavif" + bytes(60),
        "jpegxl": b"\xff\x0a" + bytes(60),
        "jpeg2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(60),
        "ico": encode(picture(10, 16, 16), "ICO"),
        "photoshop": b"8BPS\0\1" + bytes(60),
        "netpbm": encode(picture(11), "PPM"),
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n(/etc/passwd) (r) file\n",
        "svg": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc"/></svg>',
    }
    for name, data in contents.items():
        yield Case(f"{name}.jpg", data, "unsupported_format")


def _no_images() -> Iterator[Case]:
    """I2: no pictures at all."""
    yield Case("empty.jpg", b"", "empty")
    contents = {
        "text": b"BM is how this note begins; it is no bitmap.\n",
        "html": b"<!DOCTYPE html><html><head><title>404 Not Found</title></head></html>",
        "xml": b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
        "json": b'{"error": "rate limit exceeded"}',
        "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 1234\n",
        "wav": riff(b"WAVE", (b"fmt ", bytes(16)), (b"data", bytes(100))),
        "zip": b"PK\3\4" + bytes(60),
        "gzip": b"\x1f\x8b\x08" + bytes(60),
        "pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
        "elf": b"\x7fELF\2\1\1" + bytes(60),
        "pickle": b"\x80\x04cos\nsystem\n(S'true'\ntR.",
        "random": random.Random(12).randbytes(500),
        "zeros": bytes(1000),
        "one-byte": b"\xff",
        "utf16": "Kein Bild".encode("utf-16"),
    }
    for name, data in contents.items():
        yield Case(f"{name}.png", data, "not_an_image")


def _bombs() -> Iterator[Case]:
    """I8: small files that are large once decoded."""
    yield Case("bomb-20000.png", png(20_000, 20_000, depth=1), "too_large")
    yield Case("bomb-12000.png", png(12_000, 12_000), "too_large")
    yield Case("wide.png", png(70_000, 1), "too_large")
    zeros = zlib.compress(bytes(20 << 20), 9)
    plain = encode(picture(13), "PNG")
    yield Case("text-bomb.png", plain[:33] + chunk(b"zTXt", b"Comment\0\0" + zeros) + plain[33:], "too_large")
    frame = encode(picture(14), "JPEG").index(b"\xff\xc0")
    yield Case("bomb.jpg", at(encode(picture(14), "JPEG"), frame + 5, b"\xff\xdc\xff\xdc"), "too_large")
    yield Case("bomb-screen.gif", gif(60_000, 60_000, gif_frame(2, 2)), "too_large")
    yield Case("bomb-later-frame.gif", gif(2, 2, gif_frame(2, 2), gif_frame(60_000, 60_000)), "too_large")
    yield Case("bomb-frames.gif", gif(4000, 4000, *[gif_frame(4000, 4000)] * 400), "too_large")
    canvas = bytes(4) + (16_382).to_bytes(3, "little") * 2
    yield Case("bomb.webp", riff(b"WEBP", (b"VP8X", canvas), (b"VP8L", bytes(20))), "too_large")
    yield Case(
        "bomb-lossless.webp", riff(b"WEBP", (b"VP8L", b"\x2f\xff\xff\xff\x0f" + bytes(20))), "too_large"
    )
