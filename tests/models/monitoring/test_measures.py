"""Measures of examples whose answer is known in closed form."""

import io
import math

import numpy as np
import pytest
import soundfile
from PIL import Image

from features.spec import AUDIO, IMAGE, ROW, TEXT, WORD
from models.monitoring import answers, measures


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def wav(samples: np.ndarray, rate: int) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format="WAV", subtype="FLOAT")
    return stream.getvalue()


def test_an_image_in_numbers() -> None:
    squares = np.indices((40, 60)).sum(0) % 2 * 255
    found = measures.image(png(squares))
    # Half black and half white; the Laplacian of a checkerboard is 4 at white and -4 at black pixels.
    assert found["brightness"] == pytest.approx(0.5)
    assert found["contrast"] == pytest.approx(0.5)
    assert found["sharpness"] == pytest.approx(math.log10(16), abs=1e-6)
    assert found["megapixels"] == pytest.approx(0.0024)
    assert found["aspect ratio"] == 1.5
    grey = measures.image(png(np.full((40, 60, 3), 51)))
    assert (grey["brightness"], grey["contrast"]) == (pytest.approx(0.2), pytest.approx(0, abs=1e-12))
    assert grey["sharpness"] == pytest.approx(-10)


def test_what_is_no_image_or_sound_has_no_numbers() -> None:
    assert all(math.isnan(value) for value in measures.image(b"no image").values())
    assert all(math.isnan(value) for value in measures.sound(b"no sound").values())


def test_a_sound_in_numbers() -> None:
    rate, seconds = 16_000, 2
    time = np.arange(rate * seconds) / rate
    low, high = (0.5 * np.sin(2 * np.pi * hertz * time) for hertz in (1000, 5000))
    found = measures.sound(wav(low, rate))
    assert found["seconds"] == 2
    # The root mean square of a sine of 0.5 is 0.5 / sqrt 2.
    assert found["loudness"] == pytest.approx(20 * math.log10(0.5 / math.sqrt(2)), abs=1e-3)
    assert found["roll-off"] == pytest.approx(1000, abs=20)
    assert found["above 3.4 kHz"] < -60
    both = measures.sound(wav(low + high, rate))
    assert both["roll-off"] == pytest.approx(5000, abs=20)
    assert both["above 3.4 kHz"] == pytest.approx(10 * math.log10(0.5), abs=0.01)
    quieter = measures.sound(wav(low / 2, rate))
    assert found["loudness"] - quieter["loudness"] == pytest.approx(20 * math.log10(2), abs=1e-3)


def test_a_sound_is_described_at_the_rate_of_the_model() -> None:
    time = np.arange(32_000) / 16_000
    both = 0.4 * np.sin(2 * np.pi * 1000 * time) + 0.4 * np.sin(2 * np.pi * 6000 * time)
    found = measures.sound(wav(both, 16_000), rate=8000)
    assert found["roll-off"] == pytest.approx(1000, abs=20)
    assert math.isnan(measures.sound(wav(both, 16_000), rate=6000)["above 3.4 kHz"])


def test_a_text_in_numbers() -> None:
    found = measures.text("The cat, the кот!".encode(), vocabulary=frozenset({"the", "dog"}))
    assert found == {
        "characters": 17.0,
        "unknown words": 0.5,
        "script LATIN": pytest.approx(9 / 12),
        "script CYRILLIC": pytest.approx(3 / 12),
    }
    assert measures.words("The cat, the кот!".encode()) == {"the", "cat", "кот"}


def test_a_row_in_columns() -> None:
    rules = {"columns": {"age": "numeric", "city": "categorical"}, "missing": ["none"], "numbers": {}}
    describe = measures.describer(ROW, rules)
    assert describe is not None
    assert describe(b"41.5,Oslo") == {"age": 41.5, "city": "Oslo"}
    absent = describe(b"none,NA")
    assert math.isnan(absent["age"])
    assert absent["city"] == measures.MISSING
    assert math.isnan(describe(b"old,Oslo")["age"])


def test_each_kind_but_words_is_described() -> None:
    assert measures.describer(WORD, {}) is None
    for raw in (IMAGE, AUDIO, TEXT):
        assert measures.describer(raw, {}) is not None


def test_answers_in_numbers() -> None:
    scores = np.array([[0.2, 0.8]], np.float32)
    label = np.array([b"cat"], object)
    assert answers.describe({"label": label, "score": scores[:, 1], "scores": scores}) == {
        "answer label": "cat",
        "answer score": pytest.approx(0.8),
    }
    assert answers.describe(
        {"names": np.array([[b"x", b"y"]], object), "values": np.array([[1.5, 2.0]])}
    ) == {
        "answer x": 1.5,
        "answer y": 2.0,
    }
    boxes = {
        "count": np.array([2]),
        "labels": np.array([[b"dog", b"cat"]], object),
        "scores": scores[:, ::-1],
    }
    assert answers.describe(boxes) == {
        "answer label": "dog",
        "answer count": 2.0,
        "answer score": pytest.approx(0.8),
    }
    assert answers.describe(boxes | {"count": np.array([0])})["answer label"] == "(nothing)"
