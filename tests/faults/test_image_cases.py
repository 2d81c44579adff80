"""Images that ingest and the served graph once read differently, or that were refused: BMPs, odd JPEGs."""

import base64
import io
import struct
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from features.errors import DataError
from features.images import check
from features.images.decoding import upright
from features.images.featurizer import ImageFeaturizer
from features.images.files.forms import is_plain
from features.quarantine import RefusedError
from serving.client import commands, forms
from tests.faults import bitmaps, corpus
from tests.faults.ingests import LENIENT, reasons, run

RULES = LENIENT.verdict_rules()


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def _levels(image):
    return upright(image, 50_000_000)


def graph(data: bytes) -> np.ndarray:
    """Decode in the graph at the image's own size, in levels of 255."""
    return _levels(tf.constant(data)).numpy().astype(np.float32)


def kept(data: bytes) -> bytes:
    """Return what ingest keeps of an image."""
    return check.check(data, "", RULES).stored or data


def same(found: np.ndarray, expected: np.ndarray, tolerance: float = 0.51) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


# -- bmp-offset -----------------------------------------------------------------------------------


def bmp_case(cases: Path) -> tuple[bytes, np.ndarray]:
    """Read the case by hand: 226 colours behind a header of 40 bytes, then 48 x 40 indices, bottom up."""
    data = (cases / "bmp-offset/0.bmp").read_bytes()
    assert struct.unpack_from("<I", data, 10) == (54,)
    palette = np.frombuffer(data, np.uint8, 4 * 226, 54).reshape(-1, 4)[:, 2::-1]
    indices = np.frombuffer(data, np.uint8, 48 * 40, 54 + 4 * 226).reshape(40, 48)[::-1]
    return data, palette[indices]


def test_pixels_said_to_begin_in_the_palette_are_kept_as_png(cases: Path) -> None:
    data, pixels = bmp_case(cases)
    facts = check.check(data, ".bmp", RULES)
    assert facts.stored is not None
    assert facts.notes == ("rewritten",)
    assert facts.stored.startswith(b"\x89PNG")
    same(np.asarray(Image.open(io.BytesIO(facts.stored))), pixels, 0)
    same(graph(facts.stored), pixels)


def test_the_graph_refuses_such_a_file_and_the_client_sends_what_ingest_keeps(cases: Path) -> None:
    data, _ = bmp_case(cases)
    layer = ImageFeaturizer(8, 8)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"the BMP is not plain.*as PNG"):
        layer(tf.constant([data]))
    assert forms.ready("image_bytes", data) == kept(data)
    (sent,) = forms.ready("image_bytes", [data])
    command = commands.curl_predict("127.0.0.1:8501", "m", {"image_bytes": np.array([data], object)})
    assert base64.b64encode(sent).decode() in command
    assert layer(tf.constant([sent])).shape == (1, 8, 8, 3)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_last_row_without_its_padding_is_rewritten(mode: str) -> None:
    data = corpus.encode(corpus.picture(3, 5, 4).convert(mode), "BMP")
    bare = data[:-1] if mode == "RGB" else data
    assert is_plain(data)
    assert is_plain(bare) is (bare == data)
    same(graph(kept(bare)), graph(data), 0)
    assert forms.ready("image_bytes", bare) == kept(bare)


KINDS = bitmaps.kinds()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_bmp_gives_the_pixels_that_were_written(kind: str) -> None:
    data, pixels, _ = KINDS[kind]
    plain = is_plain(data)
    assert (kept(data) == data) == plain
    same(graph(kept(data)), pixels)
    assert forms.ready("image_bytes", data) == kept(data)
    if not plain:
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"the BMP|the image"):
            graph(data)


@pytest.mark.parametrize("kind", bitmaps.refused())
def test_bmps_of_no_one_meaning_are_refused_by_name(kind: str) -> None:
    data, reason = bitmaps.refused()[kind]
    with pytest.raises(RefusedError) as caught:
        check.check(data, ".bmp", RULES)
    assert caught.value.reason == reason
    with pytest.raises(DataError, match="an image cannot be decoded"):
        forms.ready("image_bytes", data)


def test_a_folder_of_every_kind_of_bmp(tmp_path: Path, cases: Path) -> None:
    """Through ingest, its decoder processes and the comparison of the decoders."""
    pixels = {name.replace("/", "-"): pixels for name, (_, pixels, _) in KINDS.items()}
    files = {
        f"{'ab'[number % 2]}/{name}.bmp": KINDS[kind][0]
        for number, (name, kind) in enumerate(zip(pixels, KINDS, strict=True))
    }
    files["a/case.bmp"], pixels["case"] = bmp_case(cases)
    bad = {f"bad {name.replace('/', '-')}.bmp": case for name, case in bitmaps.refused().items()}
    files |= {f"b/{name}": data for name, (data, _) in bad.items()}
    rules = LENIENT.model_copy(update={"conflicts": "keep"})
    dataset = run(corpus.plant(tmp_path / "data", files), rules)
    assert reasons(dataset) == {name: reason for name, (_, reason) in bad.items()}
    assert len(dataset.frame) == len(pixels)
    for row in dataset.frame.itertuples():
        same(graph(dataset.read(row)), pixels[Path(row.name).stem])
    (decision,) = [one for one in dataset.card["decisions"] if one["topic"] == "agreement"]
    assert decision["choice"].endswith("1 format decoded alike by ingest and the served graph")


# -- jpeg-junk-between-markers --------------------------------------------------------------------


def pillow(data: bytes) -> np.ndarray:
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"), np.float32)


@pytest.mark.parametrize("name", ["j1_app_marker_00E1", "j1b_junk16_between"])
def test_junk_between_jpeg_markers_is_passed_over(cases: Path, name: str) -> None:
    data = (cases / f"jpeg-junk-between-markers/{name}.jpg").read_bytes()
    facts = check.check(data, ".jpg", RULES)
    assert (facts.format, facts.odd, facts.stored) == ("JPEG", True, None)
    assert facts.notes == ("extraneous_bytes",)
    assert facts.measures == {"width": 64, "height": 48, "orientation": 1}
    same(graph(data), pillow(data))


PHOTO = corpus.encode(corpus.picture(40), "JPEG")
TURNED = corpus.encode(corpus.picture(40), "JPEG", exif=corpus.exif(6))
JUNK = {"bytes": bytes(range(1, 17)), "stuffing": b"\xff\0\xff\0", "fill": b"\xff\xff\xff", "one": b"\0"}


def before(data: bytes, marker: bytes, junk: bytes) -> bytes:
    place = data.index(marker)
    return data[:place] + junk + data[place:]


@pytest.mark.parametrize("junk", JUNK)
@pytest.mark.parametrize("marker", ["ffdb", "ffc0", "ffc4", "ffda", "ffd9"])
def test_junk_before_any_marker_changes_no_pixel(junk: str, marker: str) -> None:
    data = before(PHOTO, bytes.fromhex(marker), JUNK[junk])
    assert check.check(data, ".jpg", RULES).measures["width"] == 48
    same(graph(data), graph(PHOTO), 0)
    same(graph(data), pillow(data))


@pytest.mark.parametrize("junk", JUNK)
def test_the_orientation_behind_junk_and_other_segments_is_found(junk: str) -> None:
    other = b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0" + b"\xff\xed\0\6Phot" + b"\xff\xfe\0\6Exif"
    data = before(TURNED, b"\xff\xe1", JUNK[junk] + other + JUNK[junk])
    assert check.check(data, ".jpg", RULES).measures["orientation"] == 6
    same(graph(data), pillow(TURNED))


def test_an_orientation_in_xmp_alone_is_read_by_neither() -> None:
    """Pillow takes it where EXIF has none; the page says that it is not read."""
    tags = Image.Exif()
    tags[271] = "maker"
    data = corpus.encode(corpus.picture(41), "JPEG", exif=tags)
    text = b'http://ns.adobe.com/xap/1.0/\0<rdf:Description tiff:Orientation="6"/>'
    data = before(data, b"\xff\xdb", b"\xff\xe1" + struct.pack(">H", len(text) + 2) + text)
    assert check.check(data, ".jpg", RULES).measures["orientation"] == 1
    assert graph(data).shape == (40, 48, 3)


def test_bytes_behind_the_start_of_a_jpeg_are_refused_by_every_decoder() -> None:
    data = before(PHOTO, b"\xff\xe0", JUNK["bytes"])
    with pytest.raises(RefusedError, match="a JPEG's start with something else"):
        check.check(data, ".jpg", RULES)
    with pytest.raises(tf.errors.InvalidArgumentError, match="no image"):
        graph(data)
    with pytest.raises(OSError, match="cannot identify"):
        Image.open(io.BytesIO(data))


def test_bytes_around_a_jpeg() -> None:
    assert kept(PHOTO + b"trailing\xff\xd9\xff") == PHOTO + b"trailing\xff\xd9\xff"
    with pytest.raises(RefusedError, match="a JPEG begins at byte 7, cut off") as caught:
        check.check(b"junk...".ljust(7) + PHOTO, ".jpg", RULES)
    assert caught.value.reason == "not_an_image"
    for end in (-2, -1):
        with pytest.raises(RefusedError, match="truncated"):
            check.check(PHOTO[:end], ".jpg", RULES)


CMYK = corpus.encode(corpus.picture(42).convert("CMYK"), "JPEG")
ADOBE = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0"


@pytest.mark.parametrize("transform", [0, 1, 2])
@pytest.mark.parametrize("components", ["RGB", "CMYK", "RGB without JFIF"])
def test_adobes_colour_transforms_are_read_alike(transform: int, components: str) -> None:
    """Transform 0 is RGB or CMYK, 1 YCbCr, 2 YCCK, in every file."""
    if components == "CMYK":
        data = corpus.at(CMYK, CMYK.index(b"Adobe") + 11, bytes([transform]))
    else:
        rest = PHOTO[20:] if "without" in components else PHOTO[2:]
        data = PHOTO[:2] + ADOBE + bytes([transform]) + rest
    same(graph(kept(data)), pillow(data), 1.01)


@pytest.mark.parametrize(
    ("marker", "name"), [(0xC3, "lossless"), (0xC9, "arithmetic coding"), (0xCA, "progressive arithmetic")]
)
def test_jpegs_that_the_graph_cannot_decode_are_named(marker: int, name: str) -> None:
    data = corpus.at(PHOTO, PHOTO.index(b"\xff\xc0"), bytes([0xFF, marker]))
    with pytest.raises(RefusedError, match=f"JPEG with {name}.*save it as a baseline JPEG") as caught:
        check.check(data, ".jpg", RULES)
    assert caught.value.reason == "unsupported_variant"


def test_twelve_bits_are_named() -> None:
    data = corpus.at(PHOTO, PHOTO.index(b"\xff\xc0"), b"\xff\xc1\0\x11\x0c")
    with pytest.raises(RefusedError, match="12 bits a sample; 8 can be decoded: save it"):
        check.check(data, ".jpg", RULES)
