"""One step of training and of validation, as graphs."""

import functools
import itertools
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from models.objective import Objective, PerExample
from models.training.settings import LoopSettings
from models.training.workers import ALONE, Workers

#: From inputs, targets and weights of a batch to sums over it, by name.
Step = Callable[[Any, Any, Any], dict[str, Any]]
#: From inputs and targets of a batch to what a model is called with; see `models.network.Phase.given`.
Given = Callable[[Any, Any], Any]


def alone(inputs: Any, targets: Any) -> Any:
    """Call a model with its inputs alone."""
    return inputs


def train_step(
    model: keras.Model,
    optimizer: Any,
    loss_of: PerExample,
    objective: Objective,
    settings: LoopSettings,
    given: Given = alone,
    workers: Workers = ALONE,
) -> Step:
    """Make the step that moves a model's weights once.

    Deterministic kernels use one core each. So a batch is cut into ``settings.towers`` parts, whose
    forward and backward passes are independent graphs that the executor runs side by side; the gradients
    are added up in a fixed order. The result depends on the number of towers (batch norm sees one part
    at a time) but never on the number of cores.

    Of several workers each computes the gradients of its share of a batch; all move by the mean over the
    batch, and the moving statistics of batch norm by the mean over the workers.

    Returns:
        A function of inputs, targets and weights that gives the weighted sums of loss and metrics.
    """

    def tower(part: list[Any], total: Any) -> tuple[Any, dict[str, Any]]:
        inputs, targets, weights = part
        with tf.GradientTape() as tape:
            outputs = model(given(inputs, targets), training=True)
            losses = loss_of(targets, outputs) * weights
            value = tf.reduce_sum(losses) / total
            if model.losses:
                value += tf.add_n(model.losses) * (tf.cast(tf.shape(targets)[0], tf.float32) / total)
        gradients = tape.gradient(value, [v.value for v in model.trainable_variables])
        return gradients, _weighted_sums(objective, targets, outputs, weights) | {
            "loss": tf.reduce_sum(losses)
        }

    def apply(gradients: Any, sums: dict[str, Any]) -> dict[str, Any]:
        if settings.clip_norm:
            gradients, norm = tf.clip_by_global_norm(gradients, settings.clip_norm)
            sums |= {"clipped": tf.cast(norm > settings.clip_norm, tf.float32), "steps": tf.constant(1.0)}
        optimizer.apply(gradients, model.trainable_variables)
        return sums

    def compute(towers: int, *batch: Any) -> tuple[list[Any], dict[str, Any]]:
        size = tf.shape(batch[1])[0]
        bounds = [size * number // towers for number in range(towers + 1)]
        parts = [[part[a:b] for part in batch] for a, b in itertools.pairwise(bounds)]
        answers = [tower(part, tf.cast(size, tf.float32)) for part in parts]
        gradients = [_added(each) for each in zip(*(answer[0] for answer in answers), strict=True)]
        return gradients, {name: tf.add_n([sums[name] for _, sums in answers]) for name in answers[0][1]}

    def step(towers: int, *batch: Any) -> dict[str, Any]:
        return apply(*compute(towers, *batch))

    def make(towers: int) -> Step:
        if workers.strategy is None:
            return _once(model, functools.partial(step, towers))
        return _joined(workers, _once(model, functools.partial(compute, towers)), join)

    join = tf.function(functools.partial(_join, workers, model, apply), autograph=False)
    whole, split = (make(towers) for towers in (1, settings.towers))

    def choose(inputs: Any, targets: Any, weights: Any) -> dict[str, Any]:
        # The rest of an epoch may be too small to be divided.
        divided = settings.towers > 1 and len(targets) >= 2 * settings.towers
        return (split if divided else whole)(inputs, targets, weights)

    return choose


def _added(gradients: Any) -> Any:
    """Add the towers' gradients of one variable; None where it has none."""
    return None if gradients[0] is None else tf.add_n([tf.convert_to_tensor(one) for one in gradients])


def _joined(workers: Workers, compute: Any, join: Any) -> Step:
    """Make a step of which each worker computes its own part, whatever its size, and all join the results."""

    def step(inputs: Any, targets: Any, weights: Any) -> dict[str, Any]:
        gradients, sums = compute(inputs, targets, weights)
        with workers.together():
            total: dict[str, Any] = join(tf.constant(float(len(targets))), gradients, sums)
        return total

    return step


def _join(
    workers: Workers, model: keras.Model, apply: Callable[..., Any], size: Any, gradients: Any, sums: Any
) -> dict[str, Any]:
    """Move a model by the mean of the workers' gradients, weighted by the sizes of their parts."""
    moving = [each for each in model.non_trainable_variables if each.dtype == "float32"]
    total, added, sums, states = workers.summed(
        (
            size,
            [each * size for each in gradients if each is not None],
            sums,
            # In twice the precision the mean of equal values is that value.
            [tf.cast(each.value, tf.float64) for each in moving],
        )
    )
    for variable, state in zip(moving, states, strict=True):
        variable.assign(tf.cast(state / workers.place.count, tf.float32))
    means = iter(added)
    return apply([None if each is None else next(means) / total for each in gradients], sums)


def measure_step(model: keras.Model, loss_of: PerExample, objective: Objective, given: Given = alone) -> Step:
    """Make the step that measures a batch and changes nothing."""

    def measure(inputs: Any, targets: Any, weights: Any) -> dict[str, Any]:
        outputs = model(given(inputs, targets), training=False)
        losses = tf.reduce_sum(loss_of(targets, outputs) * weights)
        return _weighted_sums(objective, targets, outputs, weights) | {"loss": losses}

    return _once(model, measure)


def _once(model: keras.Model, step: Callable[..., Any]) -> Callable[..., Any]:
    """Trace a step once, for batches of any size and length.

    Left to itself, tf.function traces the first batch as it is, the next longer one anew, and the rest of the
    epoch a third time: at several seconds each, for a step with its gradients.
    """
    graph = tf.function(step, autograph=False)
    traced: list[Any] = []

    def run(*batch: Any) -> Any:
        if not traced:
            inputs, targets, weights = map(tf.convert_to_tensor, batch)
            # What the model is told of the targets is as long as these: its axes say which vary.
            fixed = model.inputs[1].shape if len(model.inputs) > 1 else [None, *targets.shape[1:]]
            specs = [tf.TensorSpec(model.inputs[0].shape, inputs.dtype)]
            specs += [tf.TensorSpec(fixed, targets.dtype), tf.TensorSpec([None], weights.dtype)]
            traced.append(graph.get_concrete_function(*specs))
        return traced[0](*batch)

    return run


def _weighted_sums(objective: Objective, targets: Any, outputs: Any, weights: Any) -> dict[str, Any]:
    sums = {name: tf.reduce_sum(of(targets, outputs) * weights) for name, of in objective.metrics.items()}
    return sums | {"weight": tf.reduce_sum(weights)}
