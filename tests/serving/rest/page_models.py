"""SavedModels with the signatures of every task, whose answers are known: what the page is tried on."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

BOX = (12.0, 20.0, 60.0, 50.0)
POINTS = ((10.0, 15.0), (70.0, 40.0))
#: Onset, offset, pitch and velocity; the fourth only fills up.
NOTES = ((0.0, 0.5, 60.0, 90.0), (0.25, 1.0, 64.0, 60.0), (1.0, 2.0, 72.0, 127.0), (0.0, 0.0, 0.0, 0.0))
HEAT = ((0.0, 0.5), (-0.25, 1.0))
WORDS = ("one", "two", "")


def save_all(root: Path) -> None:
    """Write every model below a folder, `line` in two versions."""
    for name, signatures in _MODELS.items():
        save(root / name / "1", signatures)
    for version in (1, 2):
        save(root / "line" / str(version), {"serving_default": line(version)})


Signature = tuple[Callable[..., Mapping[str, Any]], list[tf.TensorSpec]]


def save(folder: Path, signatures: Mapping[str, Signature]) -> None:
    """Write a SavedModel whose functions take what their specs name."""
    module = tf.Module()
    made = {
        name: tf.function(call, input_signature=specs, autograph=False)
        for name, (call, specs) in signatures.items()
    }
    module.functions = made
    tf.saved_model.save(module, str(folder), signatures=made)


def _strings(name: str, rank: int = 1) -> tf.TensorSpec:
    return tf.TensorSpec([None] * rank, tf.string, name=name)


def _floats(name: str) -> tf.TensorSpec:
    return tf.TensorSpec([None], tf.float32, name=name)


def _each(examples: Any, value: Any, dtype: Any = None) -> Any:
    """Repeat a value for every example."""
    constant = tf.constant(value, dtype)
    return tf.repeat(constant[tf.newaxis], tf.shape(examples)[0], axis=0)


def line(version: int) -> Signature:
    """Half of a number, and twice the version."""
    return lambda x: {"value": x / 2.0 + 2.0 * version}, [_floats("x")]


def _objects(image_bytes: Any) -> dict[str, Any]:
    return {
        "boxes": _each(image_bytes, [BOX, (0.0, 0.0, 0.0, 0.0)]),
        "classes": _each(image_bytes, [1, 0]),
        "labels": _each(image_bytes, ["cat", ""]),
        "scores": _each(image_bytes, [0.75, 0.0]),
        "count": _each(image_bytes, 1),
    }


def _points(image_bytes: Any) -> dict[str, Any]:
    return {
        "points": _each(image_bytes, POINTS),
        "names": _each(image_bytes, ["nose", "ear"]),
        "scores": _each(image_bytes, [0.9, 0.4]),
    }


def _pixels(image_bytes: Any) -> dict[str, Any]:
    def size(content: Any) -> Any:
        return tf.shape(tf.io.decode_image(content, channels=3, expand_animations=False))[:2]

    sizes = tf.map_fn(size, image_bytes, fn_output_signature=tf.TensorSpec([2], tf.int32))
    return {"height": sizes[:, 0], "width": sizes[:, 1]}


def _seen(image_bytes: Any) -> Any:
    """Cut the square in the middle of each image, and bring it to 32 pixels."""

    def cut(content: Any) -> Any:
        pixels = tf.io.decode_image(content, channels=3, expand_animations=False)
        side = tf.minimum(tf.shape(pixels)[0], tf.shape(pixels)[1])
        square = tf.image.resize_with_crop_or_pad(pixels, side, side)
        small = tf.image.resize(tf.ensure_shape(square, [None, None, 3]), [32, 32], antialias=True)
        return tf.io.encode_png(tf.cast(tf.round(small), tf.uint8))

    return tf.map_fn(cut, image_bytes, fn_output_signature=tf.TensorSpec([], tf.string))


def _occlusion(image_bytes: Any, label: Any, patch: Any, stride: Any, fill: Any) -> dict[str, Any]:
    return {
        "heatmap": _each(image_bytes, HEAT),
        "rows": _each(image_bytes, 2),
        "columns": _each(image_bytes, 2),
        "patch": patch,
        "stride": stride,
        "label": tf.where(tf.equal(label, ""), "cat", label),
        "score": tf.where(tf.math.is_nan(fill), 0.75, 0.5),
        "seen_bytes": _seen(image_bytes),
    }


def _heard(audio_bytes: Any) -> dict[str, Any]:
    """Tell the rate, the seconds, the channels and the strongest frequency of 16-bit WAV files."""

    def hear(content: Any) -> Any:
        samples, rate = tf.audio.decode_wav(content)
        size = tf.shape(samples)
        spectrum = tf.abs(tf.signal.rfft(samples[:, 0]))
        seconds = tf.cast(size[0], tf.float32) / tf.cast(rate, tf.float32)
        hertz = tf.cast(tf.argmax(spectrum[1:]) + 1, tf.float32) / seconds
        return tf.stack(
            [
                tf.cast(rate, tf.float32),
                seconds,
                tf.cast(size[1], tf.float32),
                hertz,
                tf.reduce_max(tf.abs(samples)),
            ]
        )

    found = tf.map_fn(hear, audio_bytes, fn_output_signature=tf.TensorSpec([5], tf.float32))
    return {name: found[:, at] for at, name in enumerate(("rate", "seconds", "channels", "hertz", "loudest"))}


def _music(audio_bytes: Any) -> dict[str, Any]:
    columns = {
        name: _each(audio_bytes, [note[at] for note in NOTES])
        for at, name in enumerate(("onsets", "offsets", "pitches", "velocities"))
    }
    return columns | {"count": _each(audio_bytes, 3), "roll": _each(audio_bytes, [[0.0] * 88] * 50)}


def _speech(audio_bytes: Any) -> dict[str, Any]:
    return {
        "text": _each(audio_bytes, "one two"),
        "confidence": _each(audio_bytes, 0.9),
        "words": _each(audio_bytes, list(WORDS)),
        "starts": _each(audio_bytes, [0.1, 0.25, 0.0]),
        "ends": _each(audio_bytes, [0.2, 0.4, 0.0]),
    }


def _translation(text: Any) -> dict[str, Any]:
    return {"text": tf.strings.join(["le ", text]), "score": _each(text, -0.5)}


def _attention(text: Any) -> dict[str, Any]:
    return {
        "source_tokens": _each(text, ["the", "cat", "sits"]),
        "target_tokens": _each(text, ["le", "chat"]),
        "attention": _each(text, [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1]]),
    }


def _explained(text: Any) -> dict[str, Any]:
    return {
        "tokens": _each(text, ["good", "film"]),
        "change": _each(text, [0.4, -0.1]),
        "label": _each(text, "praise"),
        "score": _each(text, 0.9),
    }


def _classes(examples: Any) -> dict[str, Any]:
    return {
        "label": _each(examples, "praise"),
        "score": _each(examples, 0.9),
        "labels": _each(examples, ["praise", "blame"]),
        "scores": _each(examples, [0.9, 0.1]),
    }


def _neighbours(image_bytes: Any, k: Any) -> dict[str, Any]:
    return {
        "ids": _each(image_bytes, ["a1", "b2", ""]),
        "paths": _each(image_bytes, ["red.jpg", "blue.jpg", ""]),
        "scores": _each(image_bytes, [0.9, 0.8, 0.0]),
    }


def _thumbnails(id: Any) -> dict[str, Any]:
    picture = tf.io.encode_jpeg(tf.fill([24, 32, 3], tf.constant(120, tf.uint8)))
    return {"thumbnail_bytes": tf.where(tf.equal(id, "a1"), picture, "")}


def _clips(audio_bytes: Any) -> dict[str, Any]:
    return _classes(audio_bytes) | {
        "window_scores": _each(audio_bytes, [[0.8, 0.2], [0.0, 1.0], [0.0, 0.0]]),
        "window_starts": _each(audio_bytes, [0.0, 0.5, 0.0]),
        "windows": _each(audio_bytes, 2),
    }


def _cells(row: Any) -> dict[str, Any]:
    return {"label": row, "score": _each(row, 1.0), "missing": _each(row, ""), "unknown": _each(row, "")}


def _columns(age: Any, photo_type: Any, rooms_2: Any) -> dict[str, Any]:
    shown = tf.strings.join([tf.strings.as_string(age, precision=1), photo_type], " ")
    missing = tf.where(tf.math.is_nan(rooms_2), "rooms 2", "")
    return {"label": shown, "score": _each(age, 1.0), "missing": missing, "unknown": _each(age, "")}


def _failing(text: Any) -> dict[str, Any]:
    with tf.control_dependencies([tf.debugging.assert_equal(text, "", message="the text is too long")]):
        return {"text": tf.identity(text)}


_MEDIA = [_strings("image_bytes")]
_MODELS: dict[str, dict[str, Signature]] = {
    "objects": {"serving_default": (_objects, _MEDIA)},
    "faces": {"serving_default": (_points, _MEDIA)},
    "photos": {
        "serving_default": (_pixels, _MEDIA),
        "occlusion": (
            _occlusion,
            [
                _strings("image_bytes"),
                _strings("label"),
                tf.TensorSpec([None], tf.int32, name="patch"),
                tf.TensorSpec([None], tf.int32, name="stride"),
                _floats("fill"),
            ],
        ),
    },
    "gallery": {
        "serving_default": (
            _neighbours,
            [_strings("image_bytes"), tf.TensorSpec([None], tf.int32, name="k")],
        ),
        "thumbnail": (_thumbnails, [_strings("id")]),
    },
    "clips": {"serving_default": (_clips, [_strings("audio_bytes")])},
    "sounds": {"serving_default": (_heard, [_strings("audio_bytes")])},
    "music": {"serving_default": (_music, [_strings("audio_bytes")])},
    "speech": {"serving_default": (_speech, [_strings("audio_bytes")])},
    "translation": {
        "serving_default": (_translation, [_strings("text")]),
        "attention": (_attention, [_strings("text")]),
    },
    "texts": {
        "serving_default": (_classes, [_strings("text")]),
        "explain": (_explained, [_strings("text")]),
    },
    "rows": {
        "serving_default": (_cells, [_strings("row")]),
        "from_columns": (_columns, [_floats("age"), _strings("photo_type"), _floats("rooms_2")]),
    },
    "failing": {"serving_default": (_failing, [_strings("text")])},
}
