"""The search: each trial is a training that is measured on the validation split alone.

Optuna (Akiba et al. 2019) chooses what to try, by the tree-structured Parzen estimator, and ends trials
early that lag behind the median of the earlier ones. The log of a search lies in a database of its own,
so that the same command goes on where it was cut off; the test split is never looked at.
"""

import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.errors import DataError, ServableError, UsageError
from features.storage.files import write_file
from flows.console import run_log, terminal
from flows.reports import trials
from flows.reports.pages import page
from flows.runs.directory import RunDirectory
from flows.runs.plans import plan as plans
from flows.runs.plans import settings
from flows.runs.plans.plan import Plan
from flows.runs.plans.recipe import AUTO, known_recipes
from flows.runs.plans.request import Request
from flows.runs.run import Record, open_record, seen
from flows.steps.featurize import featurize
from flows.steps.ingest import adapted, ingest
from flows.steps.train import fit
from flows.tracking.store.tags import DESCRIPTION_TAG
from flows.tuning import space as spaces
from flows.tuning.space import Space, Values
from flows.workspace import fingerprint
from models.objective import Objective

if TYPE_CHECKING:
    import optuna

#: Trials that are never ended early: what is usual must be known first.
STARTUP = 4
#: Epochs after which a trial may be ended early; of a longer training, a quarter of its epochs.
#: What it reaches in two of a hundred says little: the learning rate has not begun to fall.
WARMUP = 2
#: Examples of a validation split on which trials can be compared: with fewer, luck decides.
ENOUGH = 300
#: Of the data, what is held out to compare trials on where the recipe holds out fewer than that.
LARGER = 0.25


@dataclass(frozen=True)
class Limits:
    """How long a search goes on.

    Attributes:
        trials: how many, those of an earlier, cut off search included.
        minutes: how long, after which a trial under way is ended as well.
    """

    trials: int
    minutes: float


@dataclass(frozen=True)
class Outcome:
    """What a search found.

    Attributes:
        request: to train the winner.
        metric: that decided, of the validation split.
        value: of the winner.
        own: of the recipe as it stands; None where its trial failed.
        params: of the winner.
        trials: what was tried: number, state, value, params, seconds, error.
        folder: of the search.
    """

    request: Request
    metric: str
    value: float
    own: float | None
    params: dict[str, Any]
    trials: list[dict[str, Any]]
    folder: Path

    @property
    def headline(self) -> str:
        """The result in a sentence: the best value, its settings, and that of the recipe as it stands."""
        own = "" if self.own is None else f"; the recipe as it stands {self.own:.4g}"
        return f"best {self.metric} {self.value:.4g} with {_listed(self.params)}{own}"


def search(request: Request, limits: Limits) -> Outcome:
    """Search for the best settings of a task on the validation split.

    Args:
        request: of the training; overrides of the form ``key=a,b`` and ``key=low..high`` are what is tried,
            and the recipe ``auto`` tries every recipe of the task.
        limits: of the search.

    Raises:
        UsageError: nothing to try, or a setting that cannot be searched.
        DataError: no trial came to an end.
        ServableError: whatever stops every training of the request.
    """
    with run_log.begun():
        return _search(request, limits)


def _search(request: Request, limits: Limits) -> Outcome:
    _, choices = spaces.parse(request.overrides)
    auto, base = request.recipe == AUTO, spaces.plain(request)
    plan = plans.resolve(base)
    space = dict(spaces.qualified(choices, settings.names(plan.task)))
    if auto:
        space["recipe"] = Values(tuple(known_recipes(request.task)))
    if not isinstance(plan.task.objective, Objective):
        raise UsageError(
            f"{request.task} has no settings to search", expected="a task that trains a network by gradients"
        )
    dataset = ingest(plan)
    compared = _comparable(base, plan, _card(dataset.directory))
    if compared is not base:
        plan = plans.resolve(compared)
        dataset = ingest(plan)
    if not _card(dataset.directory)["splits"]["validation"]:
        raise UsageError("the data have no validation split", expected="data.validation_fraction above 0")
    plan = adapted(plan, seen(dataset))
    space = space or spaces.usual(plan)
    key = fingerprint(
        [request.task, dataset.fingerprint, repr(sorted(space.items())), plan.recipe, request.seed]
    )
    folder = plan.workspace.root / "tuning" / request.name / key
    folder.mkdir(parents=True, exist_ok=True)
    with open_record(plan, dataset, run=RunDirectory(folder), label="search") as record:
        record.tracking.drain()
        return Search(base, compared, plan, record, space, limits).run()


def _comparable(base: Request, plan: Plan, card: Mapping[str, Any]) -> Request:
    """Return the request of the trials: with more held out than the recipe does, where that is too little."""
    count, rules = card["splits"]["validation"], plan.rules
    own = {"validation", "test"} <= set(card["splits_given"])
    asked = any(override.partition("=")[0].endswith("validation_fraction") for override in base.overrides)
    room = rules.validation_fraction < LARGER < 1 - rules.test_fraction
    if own or asked or not room or count >= ENOUGH:
        return base
    terminal.note(
        f"{count} validation examples are too few to compare trials on: {LARGER:.0%} of the data are held "
        f"out for them. The winner is trained with the recipe's {rules.validation_fraction:.0%}."
    )
    return replace(base, overrides=(*base.overrides, f"data.validation_fraction={LARGER}"))


def _card(directory: str) -> dict[str, Any]:
    card: dict[str, Any] = json.loads((Path(directory) / "card.json").read_text())
    return card


class Search:
    """One search under way.

    Attributes:
        base: what the winner is trained with, beside its settings.
        compared: the same of the trials, which may hold out more of the data.
        plan: of the search.
        record: of its run.
        space: what is tried.
        limits: of the search.
    """

    def __init__(
        self, base: Request, compared: Request, plan: Plan, record: Record, space: Space, limits: Limits
    ) -> None:
        self.base, self.compared, self.plan = base, compared, plan
        self.record, self.space, self.limits = record, space, limits
        assert isinstance(plan.task.objective, Objective), "checked before"
        self.objective = plan.task.objective
        self.metric = f"validation_{self.objective.best}"
        self.deadline = time.monotonic() + 60 * limits.minutes

    def run(self) -> Outcome:
        """Run trials until a limit is reached, and return the best."""
        import optuna

        study = self._study()
        while self._goes_on(study):
            trial = study.ask()
            terminal.report_progress("tune", trial.number, self.limits.trials)
            try:
                value, loss = self._trial(trial)
            except optuna.TrialPruned:
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            except ServableError as error:
                if error.exit_code in (130, 143):
                    raise
                trial.set_user_attr("error", str(error))
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                trial.set_user_attr("loss", loss)
                study.tell(trial, value)
            self._note(study, trial.number)
        return self._outcome(study)

    def _study(self) -> "optuna.Study":
        """Open the study, and queue what a killed process was at, or the recipe's own values."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        # Every trial traces graphs of its own: TensorFlow takes that for a mistake.
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        study = optuna.create_study(
            storage=f"sqlite:///{self.record.run.path / 'study.db'}",
            study_name="study",
            load_if_exists=True,
            direction="maximize" if self._higher_is_better else "minimize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=WARMUP),
        )
        # A search that goes on must not draw again what it drew at its beginning.
        seed = self.base.seed + len(study.trials)
        study.sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=STARTUP)
        if not study.trials:
            for params in spaces.first(self.space, self.plan):
                study.enqueue_trial(params, skip_if_exists=True)
        for trial in study.trials:
            if trial.state == optuna.trial.TrialState.RUNNING:
                study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
                study.enqueue_trial(trial.params)
        return study

    @property
    def _higher_is_better(self) -> bool:
        return self.objective.best != "loss" and self.objective.higher_is_better

    def _goes_on(self, study: "optuna.Study") -> bool:
        ended = [trial for trial in study.trials if trial.state.is_finished() and not _is_cut_off(trial)]
        return len(ended) < self.limits.trials and time.monotonic() < self.deadline

    def _trial(self, trial: "optuna.Trial") -> tuple[float, float]:
        import optuna

        params = {key: choice.suggest(trial, key) for key, choice in self.space.items()}
        plan = plans.resolve(
            replace(
                self.compared,
                recipe=params.get("recipe", self.base.recipe),
                overrides=(*self.compared.overrides, *spaces.overrides(params)),
            )
        ).adapted(self.record.load_dataset())
        folder = self.record.run.path / f"{plan.key(self.record.dataset.fingerprint)}"
        folder.mkdir(exist_ok=True)

        judged = max(WARMUP, getattr(plan.training, "epochs", 0) // 4)

        def watch(epoch: int, metrics: Mapping[str, float]) -> None:
            trial.report(metrics[self.metric], epoch)
            late = time.monotonic() > self.deadline and trial.number > 0
            if late or (epoch >= judged and trial.should_prune()):
                raise optuna.TrialPruned

        return self._trained(plan, RunDirectory(folder), f"trial {trial.number}", watch)

    def _trained(
        self, plan: Plan, run: RunDirectory, label: str, watch: Callable[..., None]
    ) -> tuple[float, float]:
        """Train a trial's network, unless an equal one was trained; return validation metric and loss."""
        value_file = run.path / "value.json"
        if not value_file.is_file():
            with self._nested(plan, run, label) as record:
                featurize(plan, record)
                fit(plan, record, watch=watch)
            # Of what is served: averaged, calibrated, with what stands beside the network.
            final = run.read().validation
            write_file(value_file, json.dumps((final[self.objective.best], final["loss"])))
            # Thousands of trials would fill the disk: the winner is trained anew, through the gate.
            shutil.rmtree(run.checkpoints, ignore_errors=True)
            run.weights.unlink(missing_ok=True)
        value, loss = json.loads(value_file.read_text())
        return value, loss

    @contextmanager
    def _nested(self, plan: Plan, run: RunDirectory, label: str) -> Iterator[Record]:
        import optuna

        pruned = False
        with open_record(plan, self.record.dataset, parent=self.record, label=label, run=run) as record:
            try:
                yield record
            except optuna.TrialPruned:
                record.tracked.tags({"servable.pruned": "yes"})
                pruned = True
        if pruned:
            raise optuna.TrialPruned

    def _best(self, study: "optuna.Study") -> "optuna.trial.FrozenTrial":
        """Return the best trial; of equally good ones the one of least loss, then the earliest."""
        sign = -1 if self._higher_is_better else 1
        complete = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
        return min(
            complete, key=lambda trial: (sign * (trial.value or 0.0), trial.user_attrs["loss"], trial.number)
        )

    def _note(self, study: "optuna.Study", number: int) -> None:
        trial = study.trials[number]
        parameters = _listed(spaces.chosen(self.space, trial.params))
        reached = _STATES.get(trial.state.name, trial.state.name.lower())
        if trial.value is not None and trial.state.name == "COMPLETE":
            best = self._best(study)
            reached = f"{self.metric} {trial.value:.4g} (best {best.value:.4g} of trial {best.number})"
        elif error := trial.user_attrs.get("error"):
            reached = f"failed: {error}"
        terminal.note(f"trial {number}: {reached}; {parameters}")

    def _outcome(self, study: "optuna.Study") -> Outcome:
        rows = [self._row(trial) for trial in study.trials if not _is_cut_off(trial)]
        complete = [row for row in rows if row["state"] == "complete"]
        if not complete:
            errors = [row["error"] for row in rows if row["error"]]
            raise DataError(
                "no trial of the search finished",
                got=errors[0] if errors else f"{len(rows)} trials ended early",
                todo="raise --minutes, or correct the settings",
            )
        best = self._row(self._best(study))
        request = replace(
            self.base,
            recipe=best["params"].get("recipe", self.base.recipe),
            overrides=(*self.base.overrides, *spaces.overrides(best["params"])),
        )
        own = next((row["value"] for row in complete if row["number"] == 0), None)
        write_file(self.record.run.path / "trials.json", json.dumps(rows, indent=1))
        self.record.tracked.artifact(self.record.run.path / "trials.json")
        curves = {trial.number: list(trial.intermediate_values.values()) for trial in study.trials}
        page.write(
            trials.compose(self.plan.name, self.base.task, self.metric, rows, curves, best["number"]),
            self.record.run.report,
        )
        self.record.tracked.artifact(self.record.run.report)
        self.record.tracked.metrics({f"best_{self.metric}": best["value"], "trials": float(len(rows))})
        outcome = Outcome(
            request, self.metric, best["value"], own, best["params"], rows, self.record.run.path
        )
        note = f"**{outcome.headline}**, of {len(rows)} trials"
        self.record.tracked.tags({DESCRIPTION_TAG: note})
        return outcome

    def _row(self, trial: "optuna.trial.FrozenTrial") -> dict[str, Any]:
        return {
            "number": trial.number,
            "state": _STATES.get(trial.state.name, trial.state.name.lower()),
            "value": trial.value if trial.state.name == "COMPLETE" else None,
            "params": spaces.chosen(self.space, trial.params),
            "seconds": trial.duration.total_seconds() if trial.duration else None,
            "error": trial.user_attrs.get("error"),
        }


_STATES = {"COMPLETE": "complete", "PRUNED": "ended early", "FAIL": "failed"}


def _is_cut_off(trial: "optuna.trial.FrozenTrial") -> bool:
    """Return whether a trial ended with its process, and was queued again."""
    return trial.state.name == "FAIL" and "error" not in trial.user_attrs


def _listed(params: Mapping[str, object]) -> str:
    """Return settings as ``key=value, ...`` with numbers rounded."""
    return ", ".join(
        f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}"
        for key, value in params.items()
    )
