"""The ``training`` section of a recipe and the optimizer it describes."""

from typing import Annotated, Any, Literal, Self

import keras
from pydantic import Field

from features.settings import Auto, Settings, Survey

#: Examples that ``epochs: auto`` shows a network in all, and the passes it keeps to.
SHOWN, FEWEST, MOST = 40_000, 8, 50


class LoopSettings(Settings):
    """How any network is trained; every value can be set in the recipe or with --set training.KEY=VALUE."""

    epochs: Annotated[int, Field(ge=1)] | Auto = Field(
        20,
        description="number of passes over the training split; auto: for 40,000 examples in all, 8 to 50",
    )
    min_steps: int = Field(
        0,
        ge=0,
        description="minimum number of steps of a phase; raises the number of epochs on small datasets",
    )
    batch_size: int = Field(32, ge=1, description="examples per step")
    towers: int = Field(
        1,
        ge=1,
        le=64,
        description="parts of a batch computed in parallel; batch norm sees one part at a time",
    )
    optimizer: Literal["adam", "adamw", "sgd", "lbfgs"] = Field(
        "adam",
        description="sgd uses Nesterov momentum 0.9; lbfgs fits a head without hidden layers to convergence "
        "(to numbers: in closed form), with the L2 penalty of the lowest validation loss, and trains "
        "anything else with adam",
    )
    learning_rate: float = Field(1e-3, gt=0, description="peak learning rate")
    schedule: Literal["constant", "cosine", "exponential"] = Field(
        "cosine", description="decay over the steps of a phase: cosine to 0, exponential to 1 % of the peak"
    )
    warmup: float = Field(
        0.0, ge=0, lt=1, description="fraction of the steps in which the learning rate rises linearly from 0"
    )
    weight_decay: float = Field(
        0.0, ge=0, description="decoupled weight decay, as in AdamW (Loshchilov and Hutter 2019)"
    )
    clip_norm: float | None = Field(None, gt=0, description="maximum global norm of the gradients")
    patience: int | None = Field(
        None, ge=1, description="epochs without an improvement of the validation metric before training stops"
    )
    min_delta: float = Field(
        0.0, ge=0, description="minimum improvement of the validation metric that counts"
    )
    balance: Literal["none", "weights", "sampling"] = Field(
        "none", description="how to balance groups of similar targets"
    )
    balance_strength: float = Field(
        1.0,
        gt=0,
        le=1,
        description="strength of the balancing by weights and logits; 1 gives every group the same weight",
    )
    average: Annotated[int, Field(ge=1)] | Auto = Field(
        1,
        description="last epochs of a phase whose weights are averaged; auto: a fifth of epochs; "
        "ignored with patience",
    )
    bucketing: bool = Field(False, description="whether to batch sequences of similar length together")
    auto_batch: bool = Field(False, description="whether to halve the batch size once if memory runs out")
    distribution: Literal["none", "multi_worker"] = Field(
        "none",
        description="multi_worker: the processes that TF_CONFIG names each train on a share of every batch",
    )

    def adapted(self, survey: Survey) -> Self:
        """Decide the number of passes by the size of the training split, and how many are averaged."""
        shown = min(MOST, max(FEWEST, round(SHOWN / max(1, survey.examples))))
        passes = shown if self.epochs == "auto" else self.epochs
        average = max(1, passes // 5) if self.average == "auto" else self.average
        return self.model_copy(update={"epochs": passes, "average": average})


class TrainingSettings(LoopSettings):
    """How a classifier is trained."""

    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="share of the target that is spread over all classes"
    )
    balance: Literal["none", "weights", "sampling", "logits"] = Field(
        "none", description="how to balance classes of unequal size"
    )  # type: ignore[assignment]


class RegressionSettings(LoopSettings):
    """How a network is trained on numbers, each standardised by the training split's mean and deviation."""

    loss: Literal["squared", "huber"] = Field(
        "squared", description="squared error, or Huber loss, which is less sensitive to outliers"
    )
    huber_delta: float = Field(
        1.0,
        gt=0,
        description="error above which the Huber loss is linear, in standard deviations of the target",
    )


class KeypointSettings(LoopSettings):
    """How a network is trained on points."""

    spread: float = Field(
        0.1, ge=0, description="weight of the loss that keeps heat maps about 1.5 places wide"
    )


class TranslationSettings(LoopSettings):
    """How a network is trained on sentences."""

    label_smoothing: float = Field(
        0.1, ge=0, lt=1, description="share of the target that is spread over all sub-words"
    )


class DetectionSettings(LoopSettings):
    """How a network is trained on boxes."""

    box_weight: float = Field(2.5, gt=0, description="weight of the loss of boxes beside that of classes")


class TranscriptionSettings(LoopSettings):
    """How a network is trained on notes."""

    onset_weight: float = Field(
        2.0, gt=0, description="weight of a frame in which a note begins beside one in which none does"
    )


@keras.saving.register_keras_serializable("servable")
class Warmup(keras.optimizers.schedules.LearningRateSchedule):
    """Climb from zero in a straight line, then follow another schedule from its beginning.

    Args:
        highest: rate at the end of the climb.
        steps: of the climb.
        after: a schedule, or a constant rate.
    """

    def __init__(self, highest: float, steps: int, after: Any) -> None:
        super().__init__()
        self.highest, self.steps, self.after = highest, steps, after

    def __call__(self, step: Any) -> Any:
        """Return the rate at a step from 0 on."""
        done = keras.ops.cast(step, "float32")
        climbing = self.highest * done / self.steps
        later = keras.ops.maximum(done - self.steps, 0.0)
        rate = self.after(later) if callable(self.after) else self.after
        return keras.ops.where(done < self.steps, climbing, rate)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this schedule again."""
        return {"highest": self.highest, "steps": self.steps, "after": self.after}


def learning_rate(settings: LoopSettings, highest: float, steps: int) -> Any:
    """Make the schedule over a number of steps, a function of the optimizer's own step counter."""
    warm = int(settings.warmup * steps)
    rest = max(1, steps - warm)
    after: Any = highest
    if settings.schedule == "cosine":
        after = keras.optimizers.schedules.CosineDecay(highest, rest)
    elif settings.schedule == "exponential":
        # A hundredth of the rate is left at the end.
        after = keras.optimizers.schedules.ExponentialDecay(highest, rest, 0.01)
    return Warmup(highest, warm, after) if warm else after


def optimizer(settings: LoopSettings, highest: float, steps: int) -> Any:
    """Make the optimizer; clipping is done by the training step, which counts what it clips."""
    rate = learning_rate(settings, highest, steps)
    decay = settings.weight_decay
    if settings.optimizer == "sgd":
        return keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, weight_decay=decay or None)
    if settings.optimizer == "adamw":
        return keras.optimizers.AdamW(rate, weight_decay=decay)
    return keras.optimizers.Adam(rate, weight_decay=decay or None)
