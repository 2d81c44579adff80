"""The last convolutional maps inside a TF-Hub module whose vector is their mean over height and width.

Such modules have no interface for their maps. But where the graph of a published function ends with that
mean, the maps are the mean's input, and the graph can be taken in once more up to there: with the module's
own variables, so that fine-tuning moves these maps, too.
"""

from typing import Any

import tensorflow as tf

from models.network import Maps

#: Ops that leave the numbers as they are.
PASSING = ("Identity", "Reshape", "Squeeze")


def of(module: Any) -> Maps | None:
    """Find a module's maps; None if its graph does not end as said above."""
    function = _of_inference(module)
    maps = None if function is None else _averaged(function)
    if function is None or maps is None:
        return None
    graph, name = function.graph.as_graph_def(), maps.name
    fed = [tensor.name for tensor in function.inputs]

    def before(pixels: Any) -> Any:
        within = tf.compat.v1.get_default_graph()
        inputs = [pixels, *(within.capture(tensor) for tensor in function.captured_inputs)]
        (features,) = tf.graph_util.import_graph_def(
            graph, input_map=dict(zip(fed, inputs, strict=True)), return_elements=[name], name="maps"
        )
        return tf.ensure_shape(features, maps.shape)

    return Maps(tf.function(before, autograph=False), lambda features: tf.reduce_mean(features, [1, 2]))


def _of_inference(module: Any) -> Any:
    """Find the function of pixels alone that is not for training."""
    for function in module.__call__.concrete_functions:
        _, *others = tf.nest.flatten(function.structured_input_signature)
        if not any(other is True or isinstance(other, tf.TensorSpec) for other in others):
            return function
    return None


def _averaged(function: Any) -> Any:
    """Find what the function's one output is the mean of, over height and width; None for anything else."""
    if len(function.outputs) != 1:
        return None
    op = function.outputs[0].op
    while op.type in PASSING:
        op = op.inputs[0].op
    if op.type != "Mean" or op.inputs[0].shape.rank != 4:
        return None
    axes = tf.get_static_value(op.inputs[1])
    return op.inputs[0] if axes is not None and sorted(axes % 4) == [1, 2] else None
