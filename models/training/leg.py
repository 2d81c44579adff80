"""One phase of a training under way: epochs, validation, checkpoints, and the way back to them."""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from features.datasets import batches, feature_store
from features.datasets.dataset import Dataset
from features.spec import Progress
from features.targets.target import Target
from models.network import Phase
from models.objective import Objective, adjusted, scaled
from models.training import gain, solver
from models.training.examples import Examples, class_offsets, dry_run, gather, group_weights
from models.training.recovery import failures
from models.training.recovery.checkpoint import Checkpoints
from models.training.recovery.failures import OutOfMemoryError, TrainingDivergedError
from models.training.recovery.interruption import Bell, TrainingInterruptedError
from models.training.settings import LoopSettings, optimizer
from models.training.step import measure_step, train_step
from models.training.workers import Workers

log = logging.getLogger(__name__)

#: Called after each epoch with the phase's name, the epoch counted over all phases, and its metrics.
OnEpoch = Callable[[str, int, dict[str, float]], None]
#: Called where a phase was begun before: its name, its next epoch counted over all phases, and whether it
#: is not finished.
OnResume = Callable[[str, int, bool], None]


class Leg:
    """One phase under way: its model, optimizer, position and measurements."""

    def __init__(
        self,
        phase: Phase,
        target: Target,
        objective: Objective,
        settings: LoopSettings,
        folder: Path,
        seed: int,
        workers: Workers,
    ) -> None:
        self.target, self.workers = target, workers
        self.phase, self.objective, self.settings, self.seed = phase, objective, settings, seed
        self.checkpoints = Checkpoints(folder)
        self.batch_size = settings.batch_size
        self.last = True
        self.epoch = self.step = 0
        self.rows: list[dict[str, Any]] = []
        self.best: float | None = None
        self.wait = 0
        self.sums: dict[str, float] = {}
        self.final: Mapping[str, float] = {}

    def run(
        self,
        dataset: Dataset,
        stores: Path,
        before: int,
        bell: Bell,
        progress: Progress,
        on_epoch: OnEpoch,
        on_resume: OnResume,
    ) -> list[dict[str, Any]]:
        """Train the phase to its end and return a row per epoch."""
        cache = feature_store.FeatureStore(stores / feature_store.fingerprint(self.phase.stage))
        training, validation = (
            gather(dataset, self.target, cache, split, self.phase.place) for split in ("train", "validation")
        )
        self._prepare(training)
        if solver.applies(self.settings, self.phase, training):
            return self._solve(training, validation, before, bell, progress, on_epoch)
        self._resume(training)
        self._align()
        if before and (self.epoch, self.step) == (0, 0):
            gain.keep_start(self.checkpoints, self.phase.model.variables)
        if self.epoch or self.step:
            on_resume(self.phase.name, before + self.epoch + 1, not self._finished())
        for number, row in enumerate(self.rows):
            on_epoch(self.phase.name, before + number + 1, row["metrics"])
        while not self._finished():
            try:
                metrics = self._epoch(training, validation, bell, progress)
            except OutOfMemoryError:
                self._halve_batch(training)
                continue
            self._note(metrics)
            self._save()
            on_epoch(self.phase.name, before + self.epoch, metrics)
        if not self.checkpoints.take("final", self.phase.model.variables):
            if self.settings.patience and self.best is not None:
                self.checkpoints.take("best", self.phase.model.variables)
            elif self.average > 1:
                last = range(max(1, self.epoch - self.average + 1), self.epoch + 1)
                self.checkpoints.average([f"epoch-{number}" for number in last], self.phase.model.variables)
            self.final = gain.require(
                self.checkpoints,
                self.phase.model.variables,
                self.objective,
                lambda: self.validate(validation),
                self.phase.name,
            )
            self.checkpoints.keep("final", self.phase.model.variables)
        else:
            self.final = self.validate(validation)
        return [row | {"epoch": before + number + 1} for number, row in enumerate(self.rows)]

    def _solve(
        self,
        training: Examples,
        validation: Examples,
        before: int,
        bell: Bell,
        progress: Progress,
        on_epoch: OnEpoch,
    ) -> list[dict[str, Any]]:
        weights = self.weights[training.groups] if self.weights is not None else None
        begin = time.monotonic()
        for metrics in solver.solve(
            self.phase.model, training, validation, weights, self.validate, last=self.last
        ):
            self.rows.append(
                {"phase": self.phase.name, "metrics": metrics | {"seconds": time.monotonic() - begin}}
            )
            begin = time.monotonic()
            progress(f"train: {self.phase.name}", len(self.rows), None)
            on_epoch(self.phase.name, before + len(self.rows), self.rows[-1]["metrics"])
            if bell.rung is not None:
                raise TrainingInterruptedError(bell.rung, f"phase {self.phase.name}, which starts over")
        self.checkpoints.keep("final", self.phase.model.variables)
        # The last row is that of the choice; a head to numbers has since been fitted to these examples, too.
        last = self.rows[-1]["metrics"]
        self.final = {
            name.removeprefix("validation_"): value
            for name, value in last.items()
            if name.startswith("validation_")
        }
        return [row | {"epoch": before + number + 1} for number, row in enumerate(self.rows)]

    def _prepare(self, training: Examples) -> None:
        steps_per_epoch = max(1, -(-len(training) // self.batch_size))
        # Counted in batches as they were asked for: a halved batch changes no number of epochs.
        nominal_steps = max(1, -(-len(training) // self.settings.batch_size))
        self.average = int(self.settings.average)  # decided when the plan was adapted to its data
        self.epochs = max(self.phase.epochs, -(-self.settings.min_steps // nominal_steps))
        highest = self.phase.learning_rate or self.settings.learning_rate
        self.optimizer = optimizer(self.settings, highest, steps_per_epoch * self.epochs)
        self.optimizer.build(self.phase.model.trainable_variables)
        self.variables = [*self.phase.model.variables, *self.optimizer.variables]
        balance, strength = self.settings.balance, self.settings.balance_strength
        offsets = class_offsets(training.targets, self.phase.model, balance, strength)
        loss = scaled(adjusted(self.objective.loss(self.settings), offsets), self.phase.scale)
        self.train_step = train_step(
            self.phase.model,
            self.optimizer,
            loss,
            self.objective,
            self.settings,
            self.phase.given,
            self.workers,
        )
        measured = scaled(self.objective.measured_loss, self.phase.scale)
        self.measure = measure_step(self.phase.model, measured, self.objective, self.phase.given)
        self.weights = group_weights(training.groups, balance, strength)
        dry_run(self.phase, training, self.target)

    def _resume(self, training: Examples) -> None:
        state = self.checkpoints.restore(self.variables)
        if state is None:
            self._save()
            return
        if state["batch_size"] < self.batch_size:
            # Memory ran out in an earlier process.
            self.batch_size = state["batch_size"]
            self._prepare(training)
            state = self.checkpoints.restore(self.variables) or state
        self.epoch, self.rows = state["epoch"], state["rows"]
        self.best, self.wait, self.sums = state["best"], state["wait"], state["sums"]
        # Positions count batches; after a halving there are twice as many.
        steps = self.optimizer.iterations
        steps.assign(int(steps.numpy()) * state["batch_size"] // self.batch_size)
        self.step = state["step"] * state["batch_size"] // self.batch_size

    def _align(self) -> None:
        """Begin where the chief does, whatever lies in this worker's folder."""
        state = self.workers.agreed(self._state)
        self.epoch, self.step, self.rows = state["epoch"], state["step"], state["rows"]
        self.best, self.wait, self.sums = state["best"], state["wait"], state["sums"]
        self.workers.align(self.variables)

    def _halve_batch(self, training: Examples) -> None:
        if self.workers.strategy is not None:
            raise  # the others cannot know of it
        if not self.settings.auto_batch or self.batch_size < self.settings.batch_size or self.batch_size == 1:
            raise
        self.batch_size //= 2
        log.warning("out of memory: going on with batches of %d", self.batch_size)
        self._prepare(training)
        self._resume(training)

    def _save(self) -> None:
        self.checkpoints.save((self.epoch, self.step), self.variables, self._state())

    def _state(self) -> dict[str, Any]:
        state = {"epoch": self.epoch, "step": self.step, "rows": self.rows, "batch_size": self.batch_size}
        return state | {"best": self.best, "wait": self.wait, "sums": self.sums}

    def _finished(self) -> bool:
        stale = self.settings.patience is not None and self.wait >= self.settings.patience
        return self.epoch >= self.epochs or stale

    def _epoch(
        self, training: Examples, validation: Examples, bell: Bell, progress: Progress
    ) -> dict[str, float]:
        begin = time.monotonic()
        order = batches.epoch_order(
            len(training),
            seed=self.seed,
            epoch=self.epoch,
            groups=training.groups,
            balanced=self.settings.balance == "sampling",
        )
        if self.settings.bucketing and training.lengths is not None:
            lengths = training.lengths
            order = batches.bucketed(order, lengths, self.batch_size, seed=self.seed, epoch=self.epoch)
        total = -(-len(order) // self.batch_size)
        for batch in self._batches(training, order):
            self._train_on(batch, training, order)
            self.step += 1
            progress(f"train: {self.phase.name}", self.epoch * total + self.step, self.epochs * total)
            if bell.rung is not None:
                self._save()
                where = f"phase {self.phase.name}, epoch {self.epoch + 1}, step {self.step} of {total}"
                raise TrainingInterruptedError(bell.rung, where)
        # The last step's gradients may have spoilt the weights without a loss to show it.
        if not all(np.isfinite(v.numpy()).all() for v in self.phase.model.trainable_variables):
            self.step -= 1
            raise self._diverged("weights that are not finite", training, order)
        # One measures, so that all agree on when to stop.
        metrics: dict[str, float] = self.workers.agreed(lambda: self._measured(validation, begin))
        return metrics

    def _measured(self, validation: Examples, begin: float) -> dict[str, float]:
        metrics = _means(self.sums)
        metrics |= {f"validation_{k}": v for k, v in self.validate(validation).items()}
        metrics["learning_rate"] = float(self.optimizer.learning_rate)
        metrics["seconds"] = time.monotonic() - begin
        return metrics

    def _batches(self, training: Examples, order: np.ndarray) -> Iterator[Any]:
        weights = self.weights[training.groups] if self.weights is not None else None
        return batches.batches(
            training.rows,
            training.targets,
            batch_size=self.batch_size,
            weights=weights,
            order=order,
            augmentation=self.phase.augmentation,
            seed=self.seed,
            epoch=self.epoch,
            start=self.step,
            share=self.workers.place.share,
        )

    def _train_on(self, batch: Any, training: Examples, order: np.ndarray) -> None:
        with self._enough_memory():
            sums = {name: float(value) for name, value in self.train_step(*batch).items()}
        if not np.isfinite(sums["loss"]):
            raise self._diverged(f"loss {sums['loss']}", training, order)
        for name, value in sums.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def _enough_memory(self) -> contextlib.AbstractContextManager[None]:
        return failures.enough_memory(self.phase.name, self.epoch, self.step, self.batch_size)

    def _diverged(self, what: str, training: Examples, order: np.ndarray) -> TrainingDivergedError:
        positions = order[self.step * self.batch_size : (self.step + 1) * self.batch_size]
        names = [training.names[position] for position in positions]
        return failures.diverged(what, names, self.phase.name, self.epoch, self.step)

    def validate(self, validation: Examples) -> dict[str, float]:
        """Measure the validation split with the weights as they are; nothing where there is none."""
        sums: dict[str, float] = {}
        if not len(validation):
            return sums
        for batch in batches.batches(
            validation.rows, validation.targets, batch_size=max(64, self.batch_size)
        ):
            with self._enough_memory():
                values = {name: float(value) for name, value in self.measure(*batch).items()}
            for name, value in values.items():
                sums[name] = sums.get(name, 0.0) + value
        return _means(sums)

    def _note(self, metrics: dict[str, float]) -> None:
        self.rows.append({"phase": self.phase.name, "metrics": metrics})
        self.epoch, self.step, self.sums = self.epoch + 1, 0, {}
        if self.average > 1:
            self.checkpoints.keep(f"epoch-{self.epoch}", self.phase.model.variables)
            self.checkpoints.drop(f"epoch-{self.epoch - self.average}")
        watched = metrics.get(f"validation_{self.objective.best}")
        if watched is None or not self.settings.patience:
            return
        if self.objective.better(watched, self.best, self.settings.min_delta):
            self.best, self.wait = watched, 0
            self.checkpoints.keep("best", self.phase.model.variables)
        else:
            self.wait += 1


def _means(sums: dict[str, float]) -> dict[str, float]:
    counted = {"weight", "steps", "clipped"}
    means = {name: value / sums["weight"] for name, value in sums.items() if name not in counted}
    if "clipped" in sums:
        means["clipped_share"] = sums["clipped"] / sums["steps"]
    return means
