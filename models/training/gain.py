"""Keep the weights that a phase began with where it made the validation metric worse."""

import logging
from collections.abc import Callable
from typing import Any

from models.objective import Objective
from models.training.recovery.checkpoint import Checkpoints

log = logging.getLogger(__name__)

_START, _TRAINED = "start", "trained"


def keep_start(checkpoints: Checkpoints, variables: Any) -> None:
    """Keep the weights that an earlier phase left."""
    checkpoints.keep(_START, variables)


def require(
    checkpoints: Checkpoints,
    variables: Any,
    objective: Objective,
    measure: Callable[[], dict[str, float]],
    phase: str,
) -> dict[str, float]:
    """Go back to the weights kept at the start, if there are some and they are better.

    Args:
        checkpoints: of the phase.
        variables: of the model.
        objective: says which metric decides.
        measure: gives the validation metrics with the variables as they are; none without a validation split.
        phase: its name.

    Returns:
        The validation metrics of the weights that it leaves.
    """
    after = measure()
    checkpoints.keep(_TRAINED, variables)
    if not after or not checkpoints.take(_START, variables):
        return after
    before, best = measure(), objective.best
    if objective.better(before[best], after[best]):
        words = "phase %s is left out: validation %s was %.4g before it, and is %.4g after it"
        log.warning(words, phase, best, before[best], after[best])
        return before
    checkpoints.take(_TRAINED, variables)
    return after
