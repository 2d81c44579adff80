"""What a network sees of examples at a time: an image is one sheet, a sound has one for each window."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from models.network import Network
from models.networks import windows
from models.task import Absent


@dataclass(frozen=True)
class Sheets:
    """The sheets of a batch of examples, one below the other.

    Attributes:
        values: float32 [n, height, width] or [n, height, width, channels].
        owner: int32 [n]: number of the example that a sheet is of.
        top: int32 [n]: row of its example at which a sheet begins.
        share: float32 [n]: what a sheet's score counts in the score of its example; sums to 1 in each.
        heights: int32 [batch]: rows of each example.
    """

    values: Any
    owner: Any
    top: Any
    share: Any
    heights: Any

    @property
    def width(self) -> int:
        """Columns of every sheet."""
        return int(self.values.shape[2])

    @property
    def means(self) -> Any:
        """Mean value of each example, float32 [batch]."""
        each = tf.reduce_mean(self.values, list(range(1, self.values.shape.rank)))
        return tf.math.unsorted_segment_mean(each, self.owner, tf.shape(self.heights)[0])


def laid(sheets: Sheets, values: Any, gap: float = 0.0) -> Any:
    """Lay values of sheets [n, height, width] where the sheets lie: float32 [batch, rows, width].

    Sheets that overlap are averaged. ``gap`` stands where an example has no sheet, 0 below its end.
    """
    batch, longest = tf.shape(sheets.heights)[0], tf.reduce_max(tf.concat([[1], sheets.heights], 0))
    height = tf.shape(values)[1]
    rows = sheets.top[:, tf.newaxis] + tf.range(height)[tf.newaxis]
    owners = tf.repeat(sheets.owner[:, tf.newaxis], height, 1)
    places = tf.stack([owners, rows], 2)
    size = tf.stack([batch, longest, tf.shape(values)[2]])
    total = tf.scatter_nd(places, values, size)
    count = tf.scatter_nd(places, tf.ones(tf.shape(rows)), size[:2])[..., tf.newaxis]
    within = tf.sequence_mask(sheets.heights, longest)[..., tf.newaxis]
    return tf.where(count > 0, total / tf.maximum(count, 1.0), tf.where(within, gap, 0.0))


@dataclass(frozen=True)
class View:
    """How heatmaps look at one kind of network.

    Attributes:
        cut: features [batch, ...] to Sheets.
        logits: sheets' values [n, ...] to logits [n, classes].
        heard: whether an example's score is the mean over several sheets.
        alike: axes of a sheet along which a network treats all places alike.
        seen: Sheets to outputs that show what the network saw.
        placed: number of rows and of columns, and pixels from one to the next [batch], to outputs that say
            where they lie.
    """

    cut: Callable[[Any], Sheets]
    logits: Callable[[Any], Any]
    heard: bool
    alike: tuple[int, ...]
    seen: Callable[[Sheets], dict[str, Any]]
    placed: Callable[[Any, Any, Any, Sheets], dict[str, Any]]


def of_images(network: Network) -> View:
    """View a network of pixels: shows the upright, resized image as ``seen_bytes``, PNG."""

    def cut(pixels: Any) -> Sheets:
        count = tf.shape(pixels)[0]
        number = tf.range(count)
        whole = tf.fill([count], int(pixels.shape[1]))
        return Sheets(pixels, number, tf.zeros_like(number), tf.ones([count]), whole)

    def seen(sheets: Sheets) -> dict[str, Any]:
        levels = tf.cast(tf.round(sheets.values * 255.0), tf.uint8)
        written = tf.map_fn(tf.io.encode_png, levels, fn_output_signature=tf.TensorSpec([], tf.string))
        return {"seen_bytes": written}

    logits = lambda values: network.model(values, training=False)  # noqa: E731
    return View(cut, logits, False, (1, 2), seen, lambda *_: {})


def of_sounds(network: Network) -> View | Absent:
    """View a network of windows of log-mel: shows the whole as ``decibels`` [batch, frames, bands].

    Rows are time and columns bands; ``seconds`` and ``hertz`` say where their middles lie.
    """
    featurizer = network.featurizer
    if featurizer.features != "log-mel":
        return Absent(f"it hears {featurizer.features}, which has no map of time and frequency")

    def cut(features: Any) -> Sheets:
        there = windows.present(features)
        counts = tf.reduce_sum(tf.cast(there, tf.int32), 1)
        places = tf.cast(tf.where(there), tf.int32)
        owner = places[:, 0]
        heights = featurizer.window + (counts - 1) * featurizer.hop
        share = 1.0 / tf.cast(tf.gather(counts, owner), tf.float32)
        return Sheets(tf.gather_nd(features, places), owner, places[:, 1] * featurizer.hop, share, heights)

    def placed(rows: Any, columns: Any, step: Any, sheets: Sheets) -> dict[str, Any]:
        frames = _middles(rows, step, sheets.heights)
        rate, begin = (
            featurizer.sample_rate,
            0.0 if featurizer.log_mel.center else featurizer.log_mel.n_fft / 2,
        )
        seconds = (frames * featurizer.step + begin) / rate
        band = _middles(columns, step, tf.fill(tf.shape(step), sheets.width))
        centres = tf.constant(featurizer.log_mel.centres)
        low = tf.cast(tf.floor(band), tf.int32)
        high = tf.minimum(low + 1, sheets.width - 1)
        share = band - tf.floor(band)
        hertz = tf.gather(centres, low) * (1.0 - share) + tf.gather(centres, high) * share
        return {
            "seconds": tf.where(tf.sequence_mask(rows), seconds, 0.0),
            "hertz": tf.where(tf.sequence_mask(columns), hertz, 0.0),
        }

    return View(
        cut,
        lambda values: network.views["windows"](values[:, tf.newaxis], training=False)[:, 0],
        True,
        (1,),
        lambda sheets: {"decibels": laid(sheets, sheets.values, gap=featurizer.log_mel.floor)},
        placed,
    )


def _middles(count: Any, step: Any, size: Any) -> Any:
    """Return the middle of each of some cells [batch], in pixels: float32 [batch, most]."""
    most = tf.reduce_max(tf.concat([[1], count], 0))
    numbers = tf.cast(tf.range(most), tf.float32)[tf.newaxis]
    wide = tf.cast(step, tf.float32)[:, tf.newaxis]
    last = tf.cast(size, tf.float32)[:, tf.newaxis]
    begin = tf.minimum(numbers * wide, last - 1.0)
    return (begin + tf.minimum(begin + wide, last) - 1.0) / 2.0
