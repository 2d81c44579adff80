"""From raw examples to plain descriptions of them, for models that are no networks."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from features.images.preview import preview
from features.sounds.files.decoding import decode
from features.spec import AUDIO, IMAGE, ROW, TEXT

#: Pixels of each side of a small picture, and coefficients of a sound.
SIDE, COEFFICIENTS = 16, 20
#: Seconds of a sound that are described.
_SECONDS = 30.0
#: Longest sound that is decoded, in seconds: whatever ingest accepted.
_LONGEST = 24 * 3600.0


def texts(contents: Iterable[bytes], featurizer: Any) -> np.ndarray:
    """Decode texts: str objects [texts]."""
    return np.array([content.decode("utf-8", "replace") for content in contents], object)


def sounds(contents: Iterable[bytes], featurizer: Any) -> np.ndarray:
    """Describe sounds by the mean and the deviation of librosa's MFCC: [sounds, 2 * COEFFICIENTS]."""
    import librosa

    rows = []
    for content in contents:
        sound = decode(content, _LONGEST)
        samples = sound.samples[: int(_SECONDS * sound.rate)]
        if len(samples) < 2048:
            samples = np.pad(samples, (0, 2048 - len(samples)))
        mfcc = librosa.feature.mfcc(y=samples, sr=sound.rate, n_mfcc=COEFFICIENTS)
        rows.append(np.concatenate([mfcc.mean(1), mfcc.std(1)]))
    return np.stack(rows)


def images(contents: Iterable[bytes], featurizer: Any) -> np.ndarray:
    """Describe images by their pixels, from 0 to 1, made small: [images, SIDE * SIDE * 3]."""
    rows: list[np.ndarray] = []
    for content in contents:
        # Twice the size first: JPEG files are then decoded at a fraction of theirs.
        picture = preview(content, 2 * SIDE)
        if picture is None:
            rows.append(np.full(SIDE * SIDE * 3, 0.5, np.float32))
            continue
        rows.append(np.asarray(picture.resize((SIDE, SIDE)), np.float32).reshape(-1) / 255)
    return np.stack(rows)


def rows(contents: Iterable[bytes], featurizer: Any) -> np.ndarray:
    """Describe rows as the network's featurizer does: [rows, features]."""
    return np.asarray(featurizer(tf.constant(list(contents))))


#: By the name of the raw kind.
DESCRIBE: dict[str, Callable[[Iterable[bytes], Any], Any]] = {
    TEXT.name: texts,
    AUDIO.name: sounds,
    IMAGE.name: images,
    ROW.name: rows,
}
