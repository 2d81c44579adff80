"""The signatures that answer with a heatmap of an example: ``occlusion`` and ``grad_cam``."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from features.spec import RawKind
from models.explain import heatmaps, sheets, subjects
from models.explain.subjects import Decode, Subject
from models.export.signatures import Signature
from models.network import Network
from models.task import Absent

#: From a network to how heatmaps look at it.
Look = Callable[[Network], sheets.View | Absent]


def occlusion(look: Look, subject: Subject = subjects.of_class) -> Signature:
    """Make the maker of the signature that hides patches and looks at the score.

    What is explained is the score of a class, or another subject. Inputs: raw examples [batch]; ``label``
    string [batch], "" for the predicted one; ``patch`` and
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
            explained = subject(network, view, decode, features, label)
            cut = view.cut(features)
            grid = heatmaps.grid(cut, patch, stride)
            filled = tf.where(tf.math.is_nan(_fill(fill)), cut.means, fill)
            heat = heatmaps.occlusion(cut, explained.score, grid, filled)
            size = {"rows": grid.rows, "columns": grid.columns, "patch": grid.patch, "stride": grid.stride}
            placed = view.placed(grid.rows, grid.columns, grid.stride, cut)
            return {"heatmap": heat} | size | explained.outputs | view.seen(cut) | placed

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
            explained = subjects.of_class(network, view, decode, features, label)
            cut = view.cut(features)
            labels = tf.gather(explained.number, cut.owner)
            heat = heatmaps.grad_cam(maps, cut.values, labels, view.alike)
            if view.heard:
                score = tf.gather(tf.nn.softmax(view.logits(cut.values)), labels, batch_dims=1)
                heat = _frames(cut, heat * score[:, tf.newaxis, tf.newaxis])
            rows = cut.heights if view.heard else tf.fill(tf.shape(cut.heights), tf.shape(heat)[1])
            columns = tf.fill(tf.shape(rows), tf.shape(heat)[2])
            placed = view.placed(rows, columns, tf.ones_like(rows), cut)
            return (
                {"heatmap": heat, "rows": rows, "columns": columns}
                | explained.outputs
                | view.seen(cut)
                | placed
            )

        return grad_cam

    return make


def _frames(cut: sheets.Sheets, heat: Any) -> Any:
    """Bring maps [n, h, w] to the pixels of their sheets, and lay them where these lie."""
    size = tf.shape(cut.values)[1:3]
    return sheets.laid(cut, tf.image.resize(heat[..., tf.newaxis], size)[..., 0])


def _graph(raw: RawKind, *further: tf.TensorSpec) -> Callable[[Callable[..., Any]], Any]:
    """Trace a function of raw examples, a label and further inputs as it stands."""
    raw_spec = tf.TensorSpec([None], tf.as_dtype(raw.dtype), name=raw.input)
    label = tf.TensorSpec([None], tf.string, name="label")
    return tf.function(input_signature=[raw_spec, label, *further], autograph=False)


def _fill(fill: Any) -> Any:
    words = "fill is a finite number, or NaN for the mean of the example"
    with tf.control_dependencies([heatmaps.require(~tf.reduce_any(tf.math.is_inf(fill)), words)]):
        return tf.identity(fill)
