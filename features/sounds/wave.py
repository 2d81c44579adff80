"""WAV bytes to samples at one rate, in the graph: made of ops that TensorFlow Serving has."""

from typing import Any

import tensorflow as tf

#: Where the filter of soxr's high quality ends its pass-band: the response falls to one half at 0.9569 of
#: the lower Nyquist frequency, like the integral of a normal distribution of this width (measured on soxr).
_CENTRE, _WIDTH = 0.9569, 0.01166
#: Seconds of silence between the end and the beginning, which a discrete Fourier transform joins.
_GUARD = 0.05
_HEADER = "a WAV file with 16-bit PCM samples (the client converts mp3, flac, ogg and other WAV files)"


def decode(content: Any, rate: int, max_seconds: float) -> Any:
    """Decode one WAV file.

    Args:
        content: string [], 16-bit PCM, any rate and number of channels.
        rate: Hz of the result.
        max_seconds: longer sounds are refused.

    Returns:
        float32 [time] in [-1, 1], the mean of the channels.

    Raises:
        tf.errors.InvalidArgumentError: it is something else, or too long.
    """
    start = tf.strings.substr(tf.strings.join([content, bytes(12)]), 0, 12)
    is_wave = (tf.strings.substr(start, 0, 4) == b"RIFF") & (tf.strings.substr(start, 8, 4) == b"WAVE")
    with tf.control_dependencies([tf.debugging.Assert(is_wave, [f"not {_HEADER}"])]):
        channels, file_rate = tf.audio.decode_wav(content)
    samples = tf.reduce_mean(channels, axis=1)
    seconds = tf.cast(tf.size(samples), tf.float32) / tf.cast(tf.maximum(file_rate, 1), tf.float32)
    problems = [
        tf.debugging.Assert(file_rate >= 1000, ["a sample rate below 1,000 Hz:", file_rate]),
        tf.debugging.Assert(tf.size(samples) > 0, ["the sound holds no sample"]),
        tf.debugging.Assert(
            seconds <= max_seconds, ["the sound is too long, in s:", seconds, "at most:", max_seconds]
        ),
    ]
    with tf.control_dependencies(problems):
        samples = tf.identity(samples)
    return tf.cond(tf.equal(file_rate, rate), lambda: samples, lambda: resample(samples, file_rate, rate))


def resample(samples: Any, file_rate: Any, rate: int) -> Any:
    """Resample in the frequency domain, with the frequency response of soxr's high quality.

    The spectrum is cut or filled up to the requested length and tapered below the lower Nyquist frequency.
    Lengths are padded to multiples of the two rates over their common divisor, so that the ratio is exact.

    Args:
        samples: float32 [time].
        file_rate: int32 [], Hz now.
        rate: Hz of the result.

    Returns:
        float32 [time * rate / found, rounded up]; close to ``librosa.resample`` (docs/featurizers.md).
    """
    length = tf.cast(tf.size(samples), tf.int64)
    file_rate = tf.cast(file_rate, tf.int64)
    divisor = _common_divisor(file_rate, tf.constant(rate, tf.int64))
    down, up = file_rate // divisor, rate // divisor
    guard = tf.cast(_GUARD * tf.cast(file_rate, tf.float32), tf.int64)
    blocks = (length + guard + down - 1) // down
    padded = tf.pad(samples, [[0, blocks * down - length]])
    spectrum = tf.signal.rfft(padded[tf.newaxis])[0]
    taken = tf.minimum(tf.size(spectrum, tf.int64), blocks * up // 2 + 1)
    # Bin k stands for k * found / (blocks * down) Hz.
    hertz = tf.range(tf.cast(taken, tf.float32)) * tf.cast(divisor, tf.float32) / tf.cast(blocks, tf.float32)
    nyquist = tf.minimum(tf.cast(file_rate, tf.float32), float(rate)) / 2
    response = 0.5 * tf.math.erfc((hertz / nyquist - _CENTRE) / (_WIDTH * 2**0.5))
    cut = spectrum[:taken] * tf.cast(response, tf.complex64)
    points = blocks * up
    cut = tf.pad(cut, [[0, points // 2 + 1 - taken]])
    result = tf.signal.irfft(cut[tf.newaxis], [tf.cast(points, tf.int32)])[0]
    scale = tf.cast(up, tf.float32) / tf.cast(down, tf.float32)
    return result[: (length * rate + file_rate - 1) // file_rate] * scale


def _common_divisor(a: Any, b: Any) -> Any:
    """Return the greatest common divisor by Euclid's algorithm."""
    result, _ = tf.while_loop(
        lambda a, b: b > 0, lambda a, b: (b, a % b), [a, b], shape_invariants=[a.shape, b.shape]
    )
    return result
