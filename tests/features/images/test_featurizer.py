"""The image featurizer against Pillow and NumPy: formats, depths, colour spaces, turns, sizes, limits."""

import io
import random
import struct
import zlib
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from features.datasets import feature_store
from features.images import check
from features.images.decoding import upright
from features.images.featurizer import ImageFeaturizer
from features.images.files.forms import is_plain
from features.ingest.ingest import ingest
from features.ingest.rules import IngestRules
from features.quarantine import RefusedError
from features.sources.files.candidates import Columns
from features.spec import IMAGE
from models.export import savedmodel
from tests.faults import corpus

REFUSED = tf.errors.InvalidArgumentError
RULES = {"max_pixels": 50_000_000, "animated": "first-frame"}


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def _pixels(image):
    return upright(image, 50_000_000)


def graph(data: bytes) -> np.ndarray:
    """Decode in the graph at the image's own size: float64 [h, w, 3] in [0, 1], in steps of a 255th."""
    return _pixels(tf.constant(data)).numpy() / 255


def kept(data: bytes) -> np.ndarray:
    """Decode what ingest keeps of an image, and the client sends."""
    return graph(check.plain(data))


def pillow(data: bytes) -> np.ndarray:
    """Decode with Pillow, first frame, upright, over white: float64 [h, w, 3] in [0, 1]."""
    image = Image.open(io.BytesIO(data))
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        return np.repeat(np.asarray(image, np.float64)[..., None] / 65535, 3, axis=-1)
    rgba = np.asarray(image.convert("RGBA"), np.float64) / 255
    return rgba[..., :3] * rgba[..., 3:] + 1 - rgba[..., 3:]


def noise(seed: int = 0, width: int = 37, height: int = 23, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def photo(seed: int = 0, width: int = 61, height: int = 43) -> Image.Image:
    """Make a smooth picture, as photos are."""
    small = Image.fromarray(noise(seed, 6, 5))
    return small.resize((width, height), Image.Resampling.BICUBIC)


def jpeg(image: Image.Image, **options) -> bytes:
    return corpus.encode(image, "JPEG", **options)


#: Alpha and 16 bits are rounded to the nearest of 255 levels.
HALF = 0.51 / 255


def equal(data: bytes, tolerance: float = HALF) -> None:
    np.testing.assert_allclose(kept(data), pillow(data), rtol=0, atol=tolerance)


# -- what each format gives -----------------------------------------------------------------------


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"restart_marker_blocks": 2}, {"quality": 30}]
)
def test_jpeg_pixels_are_those_of_pillow(subsampling, options):
    equal(jpeg(photo(3), subsampling=subsampling, **options))


def test_i4_gray_jpeg_becomes_three_equal_channels():
    data = jpeg(photo().convert("L"))
    equal(data)
    result = graph(data)
    assert (result[..., :1] == result).all()


def test_i4_cmyk_jpeg_becomes_rgb():
    # One grey level: Pillow and TensorFlow round the product of ink and black differently.
    equal(jpeg(photo().convert("CMYK"), quality=95), tolerance=1.01 / 255)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("optimize", [False, True])
def test_i4_png_of_every_mode(mode, optimize):
    source = Image.fromarray(noise(1, channels=4), "RGBA" if mode.endswith("A") else None)
    image = source.convert("RGB").convert(mode) if not mode.endswith("A") else source.convert(mode)
    equal(corpus.encode(image, "PNG", optimize=optimize))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_i4_png_palette_of_every_depth(bits):
    equal(corpus.encode(photo(2).quantize(2**bits), "PNG", bits=bits))


@pytest.mark.parametrize("transparency", [3, b"\x00\x40\x80\xff" * 4])
def test_i4_png_palette_with_transparency_is_composed_over_white(transparency):
    equal(corpus.encode(photo(2).quantize(16), "PNG", transparency=transparency))


@pytest.mark.parametrize(("mode", "color"), [("L", 7), ("RGB", (9, 9, 9))])
def test_i4_png_transparent_color_is_white(mode, color):
    levels = noise(3, channels=1)[..., 0] % 12
    image = Image.fromarray(levels).convert(mode)
    result = kept(corpus.encode(image, "PNG", transparency=color))
    level = color if mode == "L" else color[0]
    expected = np.where(levels == level, 1.0, levels / 255)
    np.testing.assert_allclose(result, np.repeat(expected[..., None], 3, -1), atol=HALF)


def test_i4_interlaced_png():
    # Adam7, written by hand: Pillow only reads it.
    levels = noise(4, 11, 9, 1)[..., 0]
    passes = (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    )
    rows = [
        b"\0" + row.tobytes() for x, y, right, down in passes for row in levels[y::down, x::right] if len(row)
    ]
    data = bytearray(corpus.png(11, 9, pixels=zlib.compress(b"".join(rows))))
    header = bytes(data[16:28]) + b"\1"
    data = corpus.PNG + corpus.chunk(b"IHDR", header) + bytes(data[33:])
    np.testing.assert_allclose(kept(data)[..., 0], levels / 255, atol=HALF)
    equal(data)


def test_i5_sixteen_bits_are_scaled_not_clipped():
    levels = np.random.default_rng(0).integers(0, 65536, (23, 37), np.uint16)
    result = kept(corpus.encode(Image.fromarray(levels), "PNG"))
    np.testing.assert_allclose(result, np.repeat(levels[..., None] / 65535, 3, -1), atol=HALF)
    image = corpus.picture(5)
    eight = kept(corpus.encode(image.convert("L"), "PNG"))
    np.testing.assert_allclose(kept(corpus.encode(corpus.gray16(image), "PNG")), eight, atol=HALF)


@pytest.mark.parametrize("kind", [2, 4, 6])
def test_i5_sixteen_bit_colour_and_alpha(kind):
    channels = {2: 3, 4: 2, 6: 4}[kind]
    samples = np.random.default_rng(kind).integers(0, 65536, (5, 7, channels)).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in samples)
    data = corpus.png(7, 5, depth=16, kind=kind, pixels=zlib.compress(rows))
    values = samples.astype(np.float64) / 65535
    color = values[..., :3] if channels >= 3 else np.repeat(values[..., :1], 3, -1)
    alpha = values[..., -1:] if channels in (2, 4) else 1.0
    np.testing.assert_allclose(kept(data), color * alpha + 1 - alpha, atol=1.5 / 255)


@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_bmp_pixels_are_those_of_pillow(mode):
    equal(corpus.encode(photo(6).quantize(200) if mode == "P" else photo(6).convert(mode), "BMP"))


def test_bmp_of_32_bits_ignores_the_fourth_byte():
    pixels = noise(7, 8, 4, 4)
    data = corpus.bmp(32, pixels=pixels[::-1, :, [2, 1, 0, 3]].tobytes())
    np.testing.assert_allclose(graph(data), pixels[..., :3] / 255, atol=1e-6)


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_bmp_palette_of_every_depth(bits):
    colors = np.random.default_rng(bits).integers(0, 256, (2**bits, 3), np.uint8)
    palette = b"".join(bytes([blue, green, red, 0]) for red, green, blue in colors)
    data = corpus.bmp(bits, palette=palette)
    equal(data)
    assert len(np.unique(kept(data).reshape(-1, 3), axis=0)) > 1


def test_bmp_from_the_top_down():
    pixels = noise(8, 8, 4)
    data = corpus.bmp(24, size=(8, -4), pixels=pixels[..., ::-1].tobytes())
    np.testing.assert_allclose(graph(data), pixels / 255, atol=1e-6)


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_webp_pixels_are_those_of_pillow(lossless, mode):
    image = photo(9).convert("RGBA").rotate(20) if mode == "RGBA" else photo(9)
    equal(corpus.encode(image, "WEBP", lossless=lossless, exact=True))


# -- animations (I6) ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
@pytest.mark.parametrize("lossless", [False, True])
def test_i6_animations_give_their_first_frame(kind, lossless):
    frames = [photo(seed) for seed in (10, 11, 12)]
    options = {"lossless": lossless} if kind == "WEBP" else {"optimize": lossless}
    data = corpus.encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert Image.open(io.BytesIO(data)).n_frames == 3
    result = kept(data)
    assert result.shape == (43, 61, 3)
    np.testing.assert_allclose(result, pillow(data), atol=HALF)


def test_i6_animated_webp_with_alpha_is_composed_over_white():
    frames = [photo(seed).convert("RGBA").rotate(30) for seed in (13, 14)]
    for lossless in (False, True):
        data = corpus.encode(
            frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=lossless, exact=True
        )
        # Pillow's animation decoder multiplies by alpha and divides again.
        np.testing.assert_allclose(kept(data), pillow(data), atol=1.5 / 255)


def gif_of(screen: tuple[int, int], corner: tuple[int, int], levels: np.ndarray, transparent: int | None):
    """Write a GIF with one frame of four grey levels at a corner of a larger screen, uncompressed."""
    height, width = levels.shape
    codes: list[int] = []
    for index in levels.ravel():
        codes += [4, int(index)]  # A clear code before every pixel keeps all codes at three bits.
    bits = "".join(f"{code:03b}"[::-1] for code in [*codes, 5])
    packed = bytes(int(bits[i : i + 8][::-1], 2) for i in range(0, len(bits), 8))
    blocks = b"".join(
        bytes([len(packed[i : i + 255])]) + packed[i : i + 255] for i in range(0, len(packed), 255)
    )
    control = b"" if transparent is None else b"\x21\xf9\x04\x01\0\0" + bytes([transparent]) + b"\0"
    frame = struct.pack("<BHHHHB", 0x2C, *corner, width, height, 0) + b"\2" + blocks + b"\0"
    table = b"".join(bytes([40 * level] * 3) for level in range(4))
    return b"GIF89a" + struct.pack("<HHBBB", *screen, 0x81, 0, 0) + table + control + frame + b";"


@pytest.mark.parametrize("transparent", [None, 2])
def test_i6_gif_frame_smaller_than_its_screen_lies_on_white(transparent):
    levels = np.random.default_rng(3).integers(0, 4, (5, 6))
    result = kept(gif_of((11, 9), (3, 2), levels, transparent))
    expected = np.ones((9, 11))
    expected[2:7, 3:9] = np.where(levels == transparent, 1.0, levels * 40 / 255)
    np.testing.assert_allclose(result, np.repeat(expected[..., None], 3, -1), atol=HALF)


def test_i6_gif_with_a_huge_later_frame_is_refused_before_it_is_decoded():
    data = gif_of((6, 5), (0, 0), np.ones((5, 6), int), None)[:-1] + corpus.gif_frame(60_000, 60_000) + b";"
    with pytest.raises(REFUSED, match="the GIF is animated"):
        graph(data)


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_i6_animations_are_refused_by_the_graph_by_their_name(kind):
    frames = [photo(seed) for seed in (10, 11)]
    data = corpus.encode(frames[0], kind, save_all=True, append_images=frames[1:])
    with pytest.raises(REFUSED, match=f"the {'WebP' if kind == 'WEBP' else kind} is animated.*as PNG"):
        graph(data)


def refusal(data: bytes) -> str:
    """What the graph's own checks say of an image; empty where it is decoded, or refused by a decoder."""
    try:
        graph(data)
    except REFUSED as error:
        return error.message.partition("assertion failed: [")[2].partition("[[{{")[0]
    return ""


def test_forms_are_told_alike_by_ingest_and_graph():
    """The table of forms and the walk through a GIF: in Python, and in the graph."""
    for case in [*corpus.good(), *corpus.hostile()]:
        said = refusal(case.data)
        by_form = any(sign in said for sign in ("save", "no image", "ends inside"))
        assert by_form is not is_plain(case.data) or "too large" in said, case.name


def test_a_gif_of_one_frame_is_decoded_whatever_extensions_it_has():
    plain = corpus.encode(photo(2).quantize(16), "GIF")
    comment = b"\x21\xfe\x05hello\x00"
    loop = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"
    frame = plain.index(b",\0\0\0\0")
    for data in (plain[:frame] + comment + loop + plain[frame:], plain[:-1] + comment + b";"):
        assert check.plain(data) == data
        np.testing.assert_array_equal(graph(data), graph(plain))


# -- orientation (I7) -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_i7_every_orientation_comes_out_upright(kind, orientation):
    # Stored the way that viewing with this orientation turns back into `image`.
    image = photo(15, 48, 32)
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = image.transpose(Image.Transpose(turns[orientation])) if orientation > 1 else image
    options = {"lossless": True} if kind == "WEBP" else {}
    data = corpus.encode(stored, kind, exif=corpus.exif(orientation), **options)
    np.testing.assert_allclose(graph(data), pillow(data), atol=1e-6)
    np.testing.assert_allclose(graph(data), np.asarray(image) / 255, atol=0.2 if kind == "JPEG" else 1e-6)


def tiff(order: bytes, tag: int = 274, kind: int = 3, count: int = 1, value: int = 6, at: int = 8) -> bytes:
    """Make an EXIF block with one entry."""
    sign = "<" if order == b"II" else ">"
    field = struct.pack(sign + ("HH" if kind == 3 else "I"), *((value, 0) if kind == 3 else (value,)))
    entry = struct.pack(sign + "HHI", tag, kind, count) + field
    return order + struct.pack(sign + "HI", 42, at) + struct.pack(sign + "H", 1) + entry + bytes(4)


def with_exif(block: bytes, *before: bytes) -> bytes:
    """Put segments and an EXIF block into a JPEG of 48 x 32."""
    data = jpeg(photo(15, 48, 32))
    segment = b"Exif\0\0" + block
    return (
        data[:2] + b"".join(before) + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]
    )


@pytest.mark.parametrize("order", [b"II", b"MM"])
@pytest.mark.parametrize("kind", [3, 4])
def test_i7_both_byte_orders_and_integer_types(order, kind):
    assert kept(with_exif(tiff(order, kind=kind))).shape == (48, 32, 3)


def test_i7_exif_after_other_segments():
    comment = b"\xff\xfe\0\x06Exif"
    xmp = b"\xff\xe1\0\x0ahttp://x"
    assert graph(with_exif(tiff(b"MM"), comment, xmp)).shape == (48, 32, 3)


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"II*",
        tiff(b"XX"),
        tiff(b"II", tag=275),
        tiff(b"II", kind=7),
        tiff(b"II", count=2),
        tiff(b"II", value=0),
        tiff(b"II", value=9),
        tiff(b"MM", kind=4, value=2**32 - 1),
        tiff(b"II", at=0),
        tiff(b"II", at=2**32 - 1),
        tiff(b"II")[:14],
        tiff(b"MM")[:8] + b"\xff\xff" + tiff(b"MM", tag=1)[10:],
    ],
    ids=range(13),
)
def test_i7_broken_exif_means_upright_as_stored(block):
    data = with_exif(block)
    np.testing.assert_array_equal(graph(data), graph(jpeg(photo(15, 48, 32))))


# -- sizes ----------------------------------------------------------------------------------------


def resized(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize with Pillow's triangle filter in floating point."""
    planes = [Image.fromarray(pixels[..., c].astype(np.float32)) for c in range(3)]
    return np.stack([np.asarray(p.resize((width, height), Image.Resampling.BILINEAR)) for p in planes], -1)


def rounded(value: float) -> int:
    return max(1, int(np.floor(value + 0.5)))


def fitted(pixels: np.ndarray, height: int, width: int, policy: str) -> np.ndarray:
    h, w = pixels.shape[:2]
    if policy == "stretch":
        return resized(pixels, height, width)
    if policy == "crop":
        inner_h, inner_w = min(h, rounded(w * height / width)), min(w, rounded(h * width / height))
        top, left = (h - inner_h) // 2, (w - inner_w) // 2
        return resized(pixels[top : top + inner_h, left : left + inner_w], height, width)
    tall = h * width > w * height
    inner_h, inner_w = (height, rounded(height * w / h)) if tall else (rounded(width * h / w), width)
    result = np.zeros((height, width, 3))
    top, left = (height - inner_h) // 2, (width - inner_w) // 2
    result[top : top + inner_h, left : left + inner_w] = resized(pixels, inner_h, inner_w)
    return result


@pytest.fixture(scope="module")
def layers() -> dict[str, ImageFeaturizer]:
    """One layer per policy for the whole module: building the graph takes two seconds."""
    return {policy: ImageFeaturizer(24, 16, resize=policy) for policy in ("stretch", "crop", "pad")}


SIZES = [(37, 23), (23, 37), (200, 150), (5, 90), (16, 24), (1, 1)]


@pytest.mark.parametrize("policy", ["stretch", "crop", "pad"])
def test_resize_policies_against_pillow(policy, layers):
    layer = layers[policy]
    sources = [noise(seed, *size) for seed, size in enumerate(SIZES)]
    results = layer(tf.constant([corpus.encode(Image.fromarray(one), "PNG") for one in sources])).numpy()
    for source, result in zip(sources, results, strict=True):
        np.testing.assert_allclose(result, fitted(source / 255, 24, 16, policy), atol=2e-6)


def test_an_image_that_fits_is_left_untouched(layers):
    source = noise(4, 16, 24)
    for layer in layers.values():
        result = layer(tf.constant([corpus.encode(Image.fromarray(source), "PNG")])).numpy()[0]
        np.testing.assert_array_equal(result, (source * np.float32(1 / 255)).astype(np.float32))


def test_luma_of_one_channel():
    source = noise(4, 16, 24)
    result = ImageFeaturizer(24, 16, channels=1)(tf.constant([corpus.encode(Image.fromarray(source), "PNG")]))
    np.testing.assert_allclose(result.numpy()[0, ..., 0], source / 255 @ [0.2989, 0.587, 0.114], atol=1e-6)


def test_values_stay_in_the_unit_interval(layers):
    layer = layers["stretch"]
    white = corpus.encode(Image.new("RGB", (31, 17), "white"), "PNG")
    result = layer(tf.constant([white, corpus.encode(photo(), "JPEG")])).numpy()
    assert result.dtype == np.float32
    assert result.min() >= 0
    assert result.max() == 1


def test_an_empty_batch(layers):
    assert layers["stretch"](tf.constant([], tf.string)).shape == (0, 24, 16, 3)


# -- the layer ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def good() -> list[bytes]:
    """The good files of the corpus in the form that the graph takes."""
    return [check.plain(case.data) for case in corpus.good()]


@pytest.fixture(scope="module")
def layer() -> ImageFeaturizer:
    return ImageFeaturizer(20, 28, resize="crop")


@pytest.fixture(scope="module")
def exported(layer, tmp_path_factory) -> Path:
    module = tf.Module()
    module.layer = layer
    function = tf.function(
        lambda images: {"pixels": layer(images)},
        input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")],
    )
    folder = tmp_path_factory.mktemp("featurizer") / "saved"
    tf.saved_model.save(module, str(folder), signatures={"serving_default": function})
    return folder


def test_eager_pipeline_and_savedmodel_agree_to_the_bit(good, layer, exported):
    eager = layer(tf.constant(good)).numpy()
    one_by_one = np.concatenate([layer(tf.constant([data])).numpy() for data in good])
    mapped = tf.data.Dataset.from_tensor_slices(good).batch(7).map(layer, num_parallel_calls=2)
    served = tf.saved_model.load(str(exported)).signatures["serving_default"](image_bytes=tf.constant(good))
    np.testing.assert_array_equal(eager, one_by_one)
    np.testing.assert_array_equal(eager, np.concatenate([batch.numpy() for batch in mapped]))
    np.testing.assert_array_equal(eager, served["pixels"].numpy())


#: Every op the exported featurizer may use. All are in TensorFlow Serving 2.19 and long before: check
#: that before a name is added. DecodeWebP is not.
OPS = frozenset({
    "Abs", "AddV2", "All", "Any", "ArgMax", "Assert", "BitwiseAnd", "Case", "Cast", "ConcatV2", "Const",
    "Cumprod",
    "DecodeGif", "DecodeImage", "DecodeJpeg", "DecodePaddedRaw", "DecodePng", "DecodeRaw", "EnsureShape",
    "Equal", "ExpandDims", "ExtractJpegShape", "FloorDiv", "FloorMod", "GatherV2", "Greater",
    "GreaterEqual", "Identity", "If", "LeftShift", "Less", "LessEqual", "LogicalAnd", "LogicalNot",
    "LogicalOr", "MatMul", "Maximum", "MergeV2Checkpoints", "Minimum", "Mul", "Neg", "NoOp", "NotEqual",
    "Pack", "Pad", "PadV2", "PartitionedCall", "Placeholder", "Prod", "Range", "Rank", "RealDiv", "Reshape",
    "RestoreV2", "Reverse", "ReverseV2", "RightShift", "SaveV2", "ScaleAndTranslate", "Select", "SelectV2",
    "Shape", "ShardedFilename", "Size", "SplitV", "Squeeze", "StatefulPartitionedCall", "StatelessCase",
    "StatelessIf", "StatelessWhile", "StaticRegexFullMatch", "StaticRegexReplace", "StridedSlice",
    "StringJoin", "StringLength", "Sub", "Substr", "Sum", "TensorListFromTensor", "TensorListGetItem",
    "TensorListReserve", "TensorListSetItem", "TensorListStack", "Transpose", "Unpack", "Where", "While",
})  # fmt: skip


def test_the_graph_holds_only_ops_that_the_oldest_server_has(exported):
    used = savedmodel.ops(exported)
    assert not {"DecodeWebP", "DecodeBmp"} & used
    assert used <= OPS, sorted(used - OPS)
    assert not savedmodel.forbidden(exported)


@pytest.mark.parametrize("policy", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_graph_is_small(policy, channels, layers):
    """At most 400 nodes as traced, those of the branches and loops included."""
    layer = layers[policy] if channels == 3 else ImageFeaturizer(24, 16, resize=policy, channels=1)
    graph = layer._graph.get_concrete_function().graph.as_graph_def()
    assert len(graph.node) + sum(len(one.node_def) for one in graph.library.function) <= 400


def test_config_round_trip():
    layer = ImageFeaturizer(24, 16, resize="pad", channels=1, max_pixels=10_000, name="pixels")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert copy.get_config() == layer.get_config()
    data = tf.constant([corpus.encode(photo(), "PNG")])
    np.testing.assert_array_equal(copy(data), layer(data))


def test_the_fingerprint_follows_settings_and_revision(monkeypatch):
    name = ImageFeaturizer(24, 16, name="one").fingerprint
    assert (
        name
        == ImageFeaturizer(24, 16, name="another").fingerprint
        == feature_store.fingerprint(ImageFeaturizer(24, 16))
    )
    others = [
        ImageFeaturizer(16, 24), ImageFeaturizer(24, 16, "pad"), ImageFeaturizer(24, 16, channels=1),
        ImageFeaturizer(24, 16, max_pixels=9),
    ]  # fmt: skip
    monkeypatch.setattr(ImageFeaturizer, "revision", ImageFeaturizer.revision + 1)
    assert len({name, ImageFeaturizer(24, 16).fingerprint, others[0].fingerprint}) == 3
    monkeypatch.undo()
    assert len({name, *(other.fingerprint for other in others)}) == 5


@pytest.mark.parametrize(
    "wrong", [{"height": 0}, {"resize": "fill"}, {"channels": 2}, {"max_pixels": 0}, {"width": -1}]
)
def test_wrong_arguments_are_named(wrong):
    with pytest.raises(ValueError, match="ImageFeaturizer takes"):
        ImageFeaturizer(**({"height": 8, "width": 8} | wrong))


def test_symbolic_use_gives_shape_and_dtype():
    inputs = keras.Input((), dtype="string")
    output = ImageFeaturizer(24, 16)(inputs)
    assert output.shape == (None, 24, 16, 3)
    assert output.dtype == "float32"


# -- refusal --------------------------------------------------------------------------------------


def test_i1_truncated_files_are_refused():
    image = photo(20, 96, 80)
    for kind, options in (("JPEG", {"quality": 95}), ("PNG", {}), ("WEBP", {}), ("GIF", {}), ("BMP", {})):
        data = corpus.encode(image, kind, **options)
        for kept in (len(data) // 2, 40, 13, 8, 3, 1):
            with pytest.raises(REFUSED):
                graph(data[:kept])


def test_hostile_files_are_refused_or_decoded_but_never_more(layer):
    for case in corpus.hostile():
        try:
            result = layer(tf.constant([case.data])).numpy()
        except REFUSED:
            continue
        assert result.shape == (1, 20, 28, 3), case.name


def _peak_growth(work) -> int:
    """Measure by how many bytes memory grows at most while something runs."""
    status = Path("/proc/self/status")
    Path("/proc/self/clear_refs").write_text("5")
    read = lambda key: next(  # noqa: E731
        int(line.split()[1]) << 10 for line in status.read_text().splitlines() if line.startswith(key)
    )
    before = read("VmRSS")
    work()
    return read("VmHWM") - before


def test_i8_too_many_pixels_are_refused_before_decoding(layer):
    bombs = [case for case in corpus.hostile() if case.name.startswith("bomb") and "later" not in case.name]
    assert len(bombs) >= 6

    def explode():
        for case in bombs:
            if case.name != "bomb-frames.gif":
                with pytest.raises(REFUSED, match=r"too large|60000|declares|bits a sample"):
                    layer(tf.constant([case.data]))

    layer(tf.constant([corpus.encode(photo(), "PNG")]))
    assert _peak_growth(explode) < 50 << 20


def test_the_limit_counts_pixels_exactly():
    data = {kind: corpus.encode(photo(1, 30, 20), kind) for kind in ("JPEG", "PNG", "GIF", "BMP", "WEBP")}
    enough, short = (ImageFeaturizer(8, 8, max_pixels=pixels) for pixels in (600, 599))
    for one in data.values():
        assert enough(tf.constant([one])).shape == (1, 8, 8, 3)
        with pytest.raises(REFUSED, match="too large"):
            short(tf.constant([one]))


def test_data_of_no_image_are_named():
    with pytest.raises(REFUSED, match="the data are no image"):
        graph(b"<html>not found</html>")
    with pytest.raises(REFUSED):
        graph(b"")


# -- ingest and graph agree -----------------------------------------------------------------------


def test_everything_ingest_accepts_decodes_in_the_graph(tmp_path, layer):
    """I3, I4, I6: the whole corpus through ingest itself; its accepted rows through the featurizer."""
    files: dict[str | bytes, bytes] = {}
    for number, case in enumerate([*corpus.good(), *corpus.hostile()]):
        files[f"{'ab'[number % 2]}/{number:03}-{case.name}"] = case.data
    rules = IngestRules(max_bad_fraction=1.0)
    found = ingest(
        corpus.plant(tmp_path / "data", files),
        raw=IMAGE,
        columns=Columns(),
        rules=rules,
        root=tmp_path / "root",
    )
    assert found.card["accepted"] >= len(corpus.good())
    for row in found.frame.itertuples():
        result = layer(tf.constant([found.read(row)])).numpy()
        assert np.isfinite(result).all(), row.name


def test_damaged_files_that_ingest_accepts_decode_in_the_graph(good, layer):
    """G1: good files with random damage; the reader may be stricter than the graph, never laxer."""
    damage, accepted = random.Random(7), 0
    for number in range(400):
        data = corpus.mutated(good[number % len(good)], damage)
        try:
            facts = check.check(data, "", RULES)
        except RefusedError:
            continue
        assert layer(tf.constant([facts.stored or data])).shape == (1, 20, 28, 3), number
        accepted += 1
    assert accepted > 50


def test_ingest_measures_what_the_graph_sees(good):
    for data in good:
        facts = check.check(data, "", RULES)
        height, width = facts.measures["height"], facts.measures["width"]
        turned = facts.measures["orientation"] >= 5
        assert graph(facts.stored or data).shape == ((width, height, 3) if turned else (height, width, 3))


def test_i4_every_good_file_gives_pillows_pixels(good):
    for number, data in enumerate(good):
        np.testing.assert_allclose(
            graph(check.plain(data)), pillow(data), atol=1.5 / 255, err_msg=str(number)
        )
