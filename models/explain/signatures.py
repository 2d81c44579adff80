"""The signatures that answer with a heatmap of an example: ``occlusion`` and ``grad_cam``."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from features.spec import RawKind
from models.explain import heatmaps, sheets
from models.export.signatures import Signature
from models.network import Network
from models.task import Absent

Decode = Callable[[Any], dict[str, Any]]
#: From a network to how heatmaps look at it.
Look = Callable[[Network], sheets.View | Absent]
#: Labels that an error names.
NAMED = 40


def occlusion(look: Look) -> Signature:
    """Make the maker of the signature that hides patches and looks at the score.

    Inputs: raw examples [batch]; ``label`` string [batch], "" for the predicted one; ``patch`` and
    ``stride`` int32 [batch], pixels of what the network sees, 0 for the usual (`heatmaps.grid`); ``fill``
    float32 [batch], what stands in a patch, NaN for the mean of the example itself. Each row is worked on by
    itself.
    Outputs: ``heatmap`` float32 [batch, rows, columns], what each patch takes from the score, 0 beyond a
    row's own ``rows`` and ``columns``; ``patch`` and ``stride`` as they were used; ``label``; ``score``,
    unoccluded; and what the view shows.
    """

    def make(network: Network, raw: RawKind, decode: Decode) -> Any:
        view = look(network)
        if isinstance(view, Absent):
            return view
        numbers = [tf.TensorSpec([None], tf.int32, name=name) for name in ("patch", "stride")]

        @_graph(raw, *numbers, tf.TensorSpec([None], tf.float32, name="fill"))
        def occlusion(examples: Any, label: Any, patch: Any, stride: Any, fill: Any) -> dict[str, Any]:
            features = network.featurizer(examples)
            chosen, told = _chosen(network, decode, features, label)
            cut = view.cut(features)
            grid = heatmaps.grid(cut, patch, stride)
            filled = tf.where(tf.math.is_nan(_fill(fill)), cut.means, fill)
            heat = heatmaps.occlusion(
                cut, lambda values: tf.nn.softmax(view.logits(values)), chosen, grid, filled
            )
            size = {"rows": grid.rows, "columns": grid.columns, "patch": grid.patch, "stride": grid.stride}
            placed = view.placed(grid.rows, grid.columns, grid.stride, cut)
            return {"heatmap": heat} | size | told | view.seen(cut) | placed

        return occlusion

    return make


def grad_cam(look: Look) -> Signature:
    """Make the maker of the signature that weighs the last convolutional maps.

    Inputs: raw examples [batch], and ``label`` as of `occlusion`. Outputs: ``heatmap`` float32
    [batch, rows, columns], at least 0: of an image in the rows and columns of the maps; of a sound in frames
    and bands, where each window's map counts as much as the window's score of the label, and those that
    overlap are averaged. The others as of `occlusion`.
    """

    def make(network: Network, raw: RawKind, decode: Decode) -> Any:
        view, maps = look(network), network.maps
        if isinstance(view, Absent):
            return view
        if maps is None:
            return Absent("its network shows no convolutional maps: occlusion explains it")

        @_graph(raw)
        def grad_cam(examples: Any, label: Any) -> dict[str, Any]:
            features = network.featurizer(examples)
            chosen, told = _chosen(network, decode, features, label)
            cut = view.cut(features)
            labels = tf.gather(chosen, cut.owner)
            heat = heatmaps.grad_cam(maps, cut.values, labels, view.alike)
            if view.heard:
                score = tf.gather(tf.nn.softmax(view.logits(cut.values)), labels, batch_dims=1)
                heat = _frames(cut, heat * score[:, tf.newaxis, tf.newaxis])
            rows = cut.heights if view.heard else tf.fill(tf.shape(cut.heights), tf.shape(heat)[1])
            columns = tf.fill(tf.shape(rows), tf.shape(heat)[2])
            placed = view.placed(rows, columns, tf.ones_like(rows), cut)
            return {"heatmap": heat, "rows": rows, "columns": columns} | told | view.seen(cut) | placed

        return grad_cam

    return make


def _frames(cut: sheets.Sheets, heat: Any) -> Any:
    """Bring maps [n, h, w] to the pixels of their sheets, and lay them where these lie."""
    size = tf.shape(cut.values)[1:3]
    return sheets.laid(cut, tf.image.resize(heat[..., tf.newaxis], size)[..., 0])


def _graph(raw: RawKind, *further: tf.TensorSpec) -> Callable[[Callable[..., Any]], Any]:
    """Trace a function of raw examples, a label and further inputs as it stands."""
    taken = tf.TensorSpec([None], tf.as_dtype(raw.dtype), name=raw.input)
    label = tf.TensorSpec([None], tf.string, name="label")
    return tf.function(input_signature=[taken, label, *further], autograph=False)


def _chosen(network: Network, decode: Decode, features: Any, label: Any) -> tuple[Any, dict[str, Any]]:
    """Return the number of the label that is explained, int32 [batch], and its name and score as outputs.

    Raises:
        tf.errors.InvalidArgumentError: a label is none of the network's; names those there are.
    """
    known = _labels(network, decode)
    scores = decode(network.model(features, training=False))["scores"]
    same = tf.equal(label[:, tf.newaxis], tf.constant(known)[tf.newaxis])
    predicted = tf.equal(label, "")
    found = predicted | tf.reduce_any(same, 1)
    wrong = tf.strings.reduce_join(tf.boolean_mask(label, ~found), separator=", ")
    words = tf.strings.join(["no such label; got ", wrong, f"; expected one of {_listed(known)}"])
    with tf.control_dependencies([heatmaps.require(tf.reduce_all(found), words)]):
        best = tf.argmax(scores, 1, output_type=tf.int32)
        chosen = tf.where(predicted, best, tf.argmax(tf.cast(same, tf.int32), 1, output_type=tf.int32))
    score = tf.gather(scores, chosen, batch_dims=1)
    return chosen, {"label": tf.gather(tf.constant(known), chosen), "score": score}


def _labels(network: Network, decode: Decode) -> list[bytes]:
    with tf.init_scope():
        decoded = decode(tf.zeros([1, network.model.output_shape[-1]]))
        found: np.ndarray = decoded["labels"].numpy()
    return list(found[0])


def _listed(known: list[bytes]) -> str:
    shown = ", ".join(label.decode("utf-8", "replace") for label in known[:NAMED])
    return shown if len(known) <= NAMED else f"{shown} and {len(known) - NAMED} more"


def _fill(fill: Any) -> Any:
    words = "fill is a finite number, or NaN for the mean of the example"
    with tf.control_dependencies([heatmaps.require(~tf.reduce_any(tf.math.is_inf(fill)), words)]):
        return tf.identity(fill)
