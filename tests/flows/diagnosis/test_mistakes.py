"""Mistakes that clients make, planted: each is named, in the tensor and in the answer."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import tensorflow as tf
from PIL import Image, ImageOps

from features.errors import DataError, NoInputError
from features.images.featurizer import ImageFeaturizer
from features.sounds.featurizer import AudioFeaturizer
from features.texts.featurizer import TextFeaturizer
from flows.diagnosis import evidence, images, sounds, texts
from flows.diagnosis.evidence import Fault

PIXELS = ImageFeaturizer(32, 48)
SAMPLES = AudioFeaturizer(16_000, 0.5)
IDS = TextFeaturizer(("the", "film", "is", "good", "bad"))


def photo(orientation: int = 1) -> bytes:
    """Make a picture of colours and edges, larger than the model wants it."""
    coarse = np.random.default_rng(0).integers(0, 256, (9, 13, 3), np.uint8)
    image = Image.fromarray(coarse).resize((150, 110), Image.Resampling.NEAREST)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=95, exif=exif)
    return stream.getvalue()


def sound(channels: int = 2, rate: int = 22_050) -> bytes:
    samples = np.cumsum(np.random.default_rng(1).normal(size=(rate, channels)), axis=0)
    samples -= samples.mean(axis=0)
    stream = io.BytesIO()
    soundfile.write(stream, 0.5 * samples / np.abs(samples).max(), rate, "PCM_16", format="WAV")
    return stream.getvalue()


def client_pixels(raw: bytes, *, upright: bool = True) -> np.ndarray:
    """Do what a careful client does with Pillow: float32 from 0 to 1."""
    image = Image.open(io.BytesIO(raw))
    image = ImageOps.exif_transpose(image) if upright else image
    return np.asarray(image.convert("RGB").resize((48, 32), Image.Resampling.BILINEAR), np.float32) / 255


def fault_of(tensor: np.ndarray, kind, content: bytes, featurizer) -> Fault | None:
    return evidence.of_tensor(tensor, kind, kind.mistakes(content, content, featurizer))


def test_a_careful_client_made_no_mistake() -> None:
    assert fault_of(client_pixels(photo(6)), images, photo(6), PIXELS) is None
    assert fault_of(client_pixels(photo())[np.newaxis], images, photo(), PIXELS) is None


RIGHT = client_pixels(photo())


def nearest() -> np.ndarray:
    whole = np.asarray(Image.open(io.BytesIO(photo())), np.float32) / 255
    return tf.image.resize(whole, (32, 48), "nearest").numpy()


def padded() -> np.ndarray:
    return ImageFeaturizer(32, 48, "pad")(tf.constant([photo()])).numpy()[0]


#: Those that TensorFlow makes are made in the test itself: every process collects the tests.
IMAGE_MISTAKES = [
    (RIGHT[..., ::-1], "BGR"),
    (RIGHT * 255, "values from 0 to 255"),
    ((RIGHT * 255).astype(np.uint8), "values from 0 to 255"),
    (RIGHT * 2 - 1, "values from -1 to 1"),
    (RIGHT[..., ::-1] * 255, "BGR and values from 0 to 255"),
    (RIGHT.astype(np.float64), "dtype float64"),
    (RIGHT.astype(np.uint8), "dtype uint8"),
    (np.moveaxis(RIGHT, 2, 0), "channels first"),
    (RIGHT[:20], "shape [20, 48, 3]"),
    (nearest, "another resize (nearest, not antialiased)"),
    (padded, "another resize (pad)"),
    (np.random.default_rng(0).random(RIGHT.shape).astype(np.float32), "unknown"),
]


@pytest.mark.parametrize(("tensor", "cause"), IMAGE_MISTAKES)
def test_mistakes_with_images(tensor: np.ndarray | Callable[[], np.ndarray], cause: str) -> None:
    fault = fault_of(tensor() if callable(tensor) else tensor, images, photo(), PIXELS)
    assert fault is not None
    assert fault.cause == cause
    assert fault.todo


def test_an_image_that_was_not_turned() -> None:
    fault = fault_of(client_pixels(photo(6), upright=False), images, photo(6), PIXELS)
    assert fault is not None
    assert fault.cause == "EXIF orientation"


def samples(rate: int = 16_000) -> np.ndarray:
    both, own = soundfile.read(io.BytesIO(sound()), dtype="float32")
    return soxr.resample(both, own, rate).astype(np.float32)


MONO = samples().mean(axis=1)
SOUND_MISTAKES = [
    (MONO, None),
    (samples(), "stereo (2 channels)"),
    (samples().T, "stereo (2 channels)"),
    (samples()[:, 0], "stereo (the first channel alone)"),
    (samples().reshape(-1), "stereo (channels in turn)"),
    (samples(22_050).mean(axis=1), "sample rate of 22,050 Hz"),
    (samples(8_000).mean(axis=1), "sample rate of 8,000 Hz"),
    (MONO * 32_768, "integers of 16 bits"),
    ((MONO * 32_768).astype(np.int16), "integers of 16 bits"),
    (np.pad(MONO, (0, 5_000)), "padding (silence behind)"),
    (np.pad(MONO, (5_000, 0)), "padding (silence before)"),
]


@pytest.mark.parametrize(("tensor", "cause"), SOUND_MISTAKES)
def test_mistakes_with_sounds(tensor: np.ndarray, cause: str | None) -> None:
    fault = fault_of(tensor, sounds, sound(), SAMPLES)
    assert (fault.cause if fault else None) == cause


TEXT_MISTAKES = [
    ([1, 2, 3, 4], None),
    ([1, 2, 3, 4, 0, 0], None),
    ([0, 0, 1, 2, 3, 4], "padding (before the text)"),
    ([2, 3, 4, 5], "another vocabulary (every id is +1)"),
    ([7, 9, 4, 2], "another vocabulary (the same tokens in another order)"),
    ([1, 2, 4], "another tokenizer"),
]


@pytest.mark.parametrize(("ids", "cause"), TEXT_MISTAKES)
def test_mistakes_with_texts(ids: list[int], cause: str | None) -> None:
    fault = fault_of(np.array([ids]), texts, b"The film is good", IDS)
    assert (fault.cause if fault else None) == cause


ANSWER = {"scores": np.array([[0.1, 0.7, 0.2]], np.float32)}
LABELS = ("a", "b", "c")


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        ({"predictions": [{"label": "b", "scores": [0.1, 0.7, 0.2]}]}, None),
        ({"outputs": {"scores": [[0.1, 0.7, 0.2]]}}, None),
        ({"label": "b", "scores": {"c": 0.2, "a": 0.1, "b": 0.7}}, None),
        ([0.1, 0.7, 0.2], None),
        ([0.7, 0.1, 0.2], "label order"),
        ([float(np.log(p)) + 3 for p in (0.1, 0.7, 0.2)], "logits in place of scores"),
        ([0.1, 0.9], "another model"),
        ([0.34, 0.33, 0.33], "unknown"),
    ],
)
def test_what_is_wrong_with_an_answer(answer: object, cause: str | None) -> None:
    fault = evidence.of_answer(answer, LABELS, ANSWER, ())
    assert (fault.cause if fault else None) == cause


def test_files_that_are_no_evidence(tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(b"nothing")
    (tmp_path / "x.json").write_text("{")
    np.save(tmp_path / "pickle.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(NoInputError):
        evidence.evidence(tmp_path / "y.npy", None)
    for files in ((tmp_path / "x.npy", None), (None, tmp_path / "x.json"), (tmp_path / "pickle.npy", None)):
        with pytest.raises(DataError, match="cannot be read"):
            evidence.evidence(*files)
    (tmp_path / "x.json").write_text(json.dumps({"label": "b"}))
    with pytest.raises(DataError, match="no numbers"):
        evidence.of_answer(evidence.evidence(None, tmp_path / "x.json").answer, LABELS, ANSWER, ())
