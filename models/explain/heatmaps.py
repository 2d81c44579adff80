"""Where in an example the evidence for a label lies: two maps, computed in the graph.

Occlusion hides a patch and looks at the score (Zeiler and Fergus 2014); Grad-CAM weighs the last
convolutional maps by the gradient of the label's logit (Selvaraju et al. 2017).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from models.explain.sheets import Sheets
from models.network import Maps
from models.networks.sounds.chunks import by_chunks

#: Positions along the shorter side, and about the most of all, where nobody says how far apart they are.
USUAL_SIDE, USUAL_MOST = 14, 1024
#: Positions of one example that may be asked for.
MOST = 4096
#: Row and column of a patch that hides nothing.
UNHIDDEN = -1
#: Pixels of a chunk of occluded sheets: 32 photos of 224 x 224, about where two cores are quickest.
_PIXELS, _SHEETS = 32 * 224 * 224, 256


@dataclass(frozen=True)
class Grid:
    """Where patches are put, each int32 [batch].

    Position (row, column) stands for a cell of stride x stride pixels; its patch has the same middle.
    """

    patch: Any
    stride: Any
    rows: Any
    columns: Any


def grid(sheets: Sheets, patch: Any, stride: Any) -> Grid:
    """Lay a grid of patches over whole examples, so that every pixel is under one.

    Args:
        sheets: of the examples.
        patch: pixels along both sides, int32 [batch]; 0 for twice the stride.
        stride: pixels from patch to patch, int32 [batch]; 0 for half a given patch, else for 14 positions
            along the shorter side, or fewer where an example is so long that there would be over 1,024.

    Raises:
        tf.errors.InvalidArgumentError: a patch smaller than the stride leaves pixels out; or there are more
            than 4,096 positions.
    """
    half = -(-patch // 2)
    stride = tf.where(stride == 0, tf.where(patch == 0, _usual(sheets), half), stride)
    patch = tf.where(patch == 0, 2 * stride, patch)
    sound = tf.reduce_all((stride >= 1) & (patch >= stride))
    words = "patch and stride are pixels, 0 for the usual: 1 or more, and patch at least as large as stride"
    with tf.control_dependencies([require(sound, words)]):
        rows, columns = -(-sheets.heights // stride), -(-sheets.width // stride)
    # One product in 64 bits: a long sound has many rows.
    count = tf.cast(rows, tf.int64) * tf.cast(columns, tf.int64)
    words = f"an example has at most {MOST} positions of the patch: take a larger stride"
    with tf.control_dependencies([require(tf.reduce_all(count <= MOST), words)]):
        return Grid(patch, stride, tf.identity(rows), tf.identity(columns))


def require(condition: Any, words: Any) -> Any:
    """Make the op that refuses a request with a sentence, as INVALID_ARGUMENT, unless a condition holds."""
    return tf.debugging.Assert(condition, [words])


def _usual(sheets: Sheets) -> Any:
    height, width = tf.cast(sheets.heights, tf.float32), float(sheets.width)
    by_side = tf.minimum(height, width) / USUAL_SIDE
    return tf.cast(tf.math.ceil(tf.maximum(by_side, tf.sqrt(height * width / USUAL_MOST))), tf.int32)


def occlusion(sheets: Sheets, score: Callable[[Any, Any], Any], grid: Grid, fill: Any) -> Any:
    """Measure what hiding each patch takes from a score.

    Args:
        sheets: of the examples.
        score: sheets' values [n, ...] and the example that each is of, int32 [n], to scores [n].
        grid: where the patches are put.
        fill: what stands in a patch, float32 [batch].

    Returns:
        float32 [batch, rows, columns]: score less the score with the patch hidden, 0 beyond an example's
        own grid.
    """
    values, shape = sheets.values, sheets.values.shape
    fill_of, stride_of, patch_of = (tf.gather(each, sheets.owner) for each in (fill, grid.stride, grid.patch))
    most = tf.clip_by_value(_PIXELS // (tf.shape(values)[1] * tf.shape(values)[2]), 1, _SHEETS)
    number = [tf.TensorSpec([None], tf.float32)]

    def scored(jobs: Any) -> list[Any]:
        sheet, row, column = tf.unstack(jobs, axis=1)
        inputs, stride, patch = (tf.gather(each, sheet) for each in (values, stride_of, patch_of))
        down = _under(row, stride, patch, tf.gather(sheets.top, sheet), tf.shape(values)[1])
        across = _under(column, stride, patch, tf.zeros_like(sheet), sheets.width)
        hidden = _like(down[:, :, tf.newaxis] & across[:, tf.newaxis, :], inputs)
        hidden &= _like(row >= 0, inputs)
        changed = tf.where(hidden, _like(tf.gather(fill_of, sheet), inputs), inputs)
        return [score(tf.ensure_shape(changed, [None, *shape[1:]]), tf.gather(sheets.owner, sheet))]

    # Whole sheets go the same way, so that the graph holds the network once for both.
    count, jobs = tf.shape(values)[0], _jobs(sheets, grid)
    uncut = tf.stack([tf.range(count), *[tf.fill([count], UNHIDDEN)] * 2], axis=1)
    (answers,) = by_chunks(scored, (tf.concat([uncut, jobs], 0),), most, number)
    whole, left = tf.split(answers, [count, tf.shape(jobs)[0]])
    drops = (tf.gather(whole, jobs[:, 0]) - left) * tf.gather(sheets.share, jobs[:, 0])
    places = tf.concat([tf.gather(sheets.owner, jobs[:, :1]), jobs[:, 1:]], 1)
    return tf.scatter_nd(places, drops, _size(grid))


def _like(tensor: Any, other: Any) -> Any:
    """Add axes of 1 at the end, up to the rank of another tensor."""
    missing = [1] * (other.shape.rank - tensor.shape.rank)
    return tf.reshape(tensor, tf.concat([tf.shape(tensor), missing], 0))


def _size(grid: Grid) -> Any:
    most = [tf.reduce_max(tf.concat([[1], count], 0)) for count in (grid.rows, grid.columns)]
    return tf.stack([tf.shape(grid.rows)[0], *most])


def _jobs(sheets: Sheets, grid: Grid) -> Any:
    """List what is to be looked at: int32 [jobs, 3] of sheet, and row and column of a patch that it meets."""
    of = [tf.gather(each, sheets.owner)[:, tf.newaxis] for each in (grid.stride, grid.patch)]
    _, most_rows, most_columns = tf.unstack(_size(grid))
    rows, columns = tf.range(most_rows)[tf.newaxis], tf.range(most_columns)[tf.newaxis]
    begin = _begin(rows, *of) - sheets.top[:, tf.newaxis]
    meets = (begin + of[1] > 0) & (begin < tf.shape(sheets.values)[1])
    meets &= rows < tf.gather(grid.rows, sheets.owner)[:, tf.newaxis]
    across = columns < tf.gather(grid.columns, sheets.owner)[:, tf.newaxis]
    return tf.cast(tf.where(meets[:, :, tf.newaxis] & across[:, tf.newaxis, :]), tf.int32)


def _begin(places: Any, stride: Any, patch: Any) -> Any:
    """Return where the patches of cells begin, in pixels of the example: the two have the same middle."""
    return places * stride + (stride - patch) // 2


def _under(places: Any, stride: Any, patch: Any, top: Any, size: Any) -> Any:
    """Return which pixels of a sheet that begins at top are under a patch: bool [jobs, size]."""
    begin = (_begin(places, stride, patch) - top)[:, tf.newaxis]
    pixels = tf.range(size)[tf.newaxis]
    return (pixels >= begin) & (pixels < begin + patch[:, tf.newaxis])


def grad_cam(maps: Maps, values: Any, label: Any, alike: Sequence[int] = (1, 2)) -> Any:
    """Weigh the last convolutional maps by the mean gradient of a label's logit, and keep what speaks for it.

    The logit is taken less the mean of all: softmax sees differences alone. What of it the weighted maps do
    not explain, such as a bias, is shared equally by all places (Srinivas and Fleuret 2019 call the whole
    complete): without it, one of the two classes of a head on centred features has nothing but zeros.

    Args:
        maps: of the network.
        values: float32 [n, ...], what it sees.
        label: number of the class, int32 [n].
        alike: axes that the gradient is averaged over: those along which the network treats all places alike.
            The paper takes both; where a network keeps columns apart, that would blur what it tells them by.

    Returns:
        float32 [n, height, width] of the maps, at least 0, in the logit's units; before what speaks against
        the label is left out they add up to the logit less the mean of all.
    """
    features = maps.before(values)
    with tf.GradientTape() as tape:
        tape.watch(features)
        logits = maps.after(features)
        margin = tf.gather(logits, label, batch_dims=1) - tf.reduce_mean(logits, 1)
    weights = tf.reduce_mean(tape.gradient(margin, features), alike, keepdims=True)
    heat = tf.reduce_sum(features * weights, 3)
    left = margin - tf.reduce_sum(heat, (1, 2))
    places = tf.cast(tf.reduce_prod(tf.shape(heat)[1:]), heat.dtype)
    return tf.nn.relu(heat + (left / places)[:, tf.newaxis, tf.newaxis])
