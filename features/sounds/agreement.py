"""Compare soundfile's decoding of a sound with the featurizer's."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

#: Largest difference that counts as agreement, of full scale.
_SAMPLE = 2**-15


def difference(own: bytes, kept: bytes, rules: Mapping[str, Any]) -> str | None:
    """Compare soundfile's samples of the WAV file that is kept with those of the featurizer's decoder."""
    import soundfile
    import tensorflow as tf

    from features.sounds import wave

    expected, rate = soundfile.read(io.BytesIO(kept), dtype="float32")
    # A sound of the greatest length may be longer by what resampling rounds up.
    decoded = wave.decode(tf.constant(kept), rate, rules["max_audio_seconds"] + 1).numpy()
    if decoded.shape != expected.shape:
        return f"{len(decoded):,} samples in the served graph, {len(expected):,} at ingest"
    difference = float(np.abs(decoded - expected).max())
    return f"samples differ by up to {difference:.4f} of full scale" if difference > _SAMPLE else None
