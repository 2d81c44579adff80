"""Build the network of a plan, and hand out the same one to every step of a training in this process."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from features.datasets.snapshot import Snapshot
from features.errors import ConfigError
from features.storage import files
from features.storage.files import write_file
from flows.console import terminal
from flows.runs.directory import RunDirectory
from flows.runs.plans.plan import Plan
from flows.runs.provenance import fingerprint_of_code
from flows.workspace import MODEL_NAME, fingerprint
from models.export import export
from models.network import Network
from models.task import Blueprint
from models.training import determinism
from models.training.recovery import checkpoint
from serving.repository.repository import Repository


def untrained(plan: Plan, dataset: Snapshot) -> Network:
    """Build a network of a plan's own, with the weights that its training begins with."""
    fit_result = knowledge(plan, dataset)
    determinism.fix(plan.request.seed)
    return plan.task.build(replace(blueprint(plan, dataset), fitted=fit_result))


def blueprint(plan: Plan, dataset: Snapshot) -> Blueprint:
    """Gather what a task's build is given, except what is fitted."""
    sections = plan.sections
    return Blueprint(
        rules=plan.rules.as_settled(dataset.card),
        featurizer=sections["featurizer"],
        model=sections["model"],
        augmentation=sections["augmentation"],
        epochs=plan.training.epochs,
        labels=dataset.labels,
        hub=plan.workspace.hub,
        release=lambda name: _stable(plan, name),
        frame=getattr(dataset, "frame", None),
    )


def _stable(plan: Plan, name: str) -> Path:
    """Find the stable release of a model in the workspace's repository."""
    repository = Repository(plan.workspace.repository)
    version = repository.stable(name) if MODEL_NAME.fullmatch(name) else None
    if version is None:
        raise ConfigError(
            "no release of this name",
            got=name,
            expected=f"one of {', '.join(sorted(repository.models())) or 'none yet'}, a folder or a file",
            todo="train and publish it first",
        )
    return repository.release(name, version).path


def figures(plan: Plan, dataset: Snapshot) -> Mapping[str, float]:
    """Return the metrics of the fit, by name."""
    metrics: Mapping[str, float] = knowledge(plan, dataset).get("figures", {})
    return metrics


def knowledge(plan: Plan, dataset: Snapshot) -> Mapping[str, Any]:
    """Return the result of the task's fit on the training split."""
    return fitted(plan, dataset, blueprint(plan, dataset))


def fitted(plan: Plan, dataset: Snapshot, blueprint: Blueprint) -> Mapping[str, Any]:
    """Fit to the training split, or read what an earlier fit to the same split found."""
    if plan.task.fit is None:
        return {}
    # A fit sees the whole blueprint: another kind of model, or another rate, may need other knowledge. So may
    # the network of another version.
    settings = [plan.recipe[section] for section in ("data", "featurizer", "model")]
    key = fingerprint([plan.task.name, settings, dataset.fingerprint, fingerprint_of_code()])
    path = plan.workspace.features / "fitted" / f"{key}.json"
    if not path.is_file():
        result = plan.task.fit(blueprint, _examples(dataset))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, json.dumps(result))
    return json.loads(path.read_text())


def _examples(dataset: Snapshot) -> Iterator[bytes]:
    total = dataset.size("train")
    for done, example in enumerate(dataset.examples("train"), start=1):
        yield example
        terminal.report_progress("fit", done, total)


class Networks:
    """The network of one training and its traced signatures, built once and shared by all steps.

    A retried training process builds them anew, from the weights on disk.
    """

    def __init__(self) -> None:
        self._key = ""
        self._network: Network | None = None
        self._assigned: tuple[str, int] | None = None
        self._functions: dict[str, Any] | None = None

    def forget(self) -> None:
        """Build anew next time: a training must begin from fresh weights, not from a trained network's."""
        self._key, self._network, self._assigned, self._functions = "", None, None, None

    def network(self, plan: Plan, dataset: Snapshot) -> Network:
        """Return the network of a plan; a function of the plan and the labels alone, until it is trained."""
        self._assigned = None  # whoever takes it may train it
        return self._built(plan, dataset)

    def _built(self, plan: Plan, dataset: Snapshot) -> Network:
        key = f"{plan.key(dataset.fingerprint)} {plan.workspace.root}"
        if self._network is None or self._key != key:
            self.forget()
            self._key, self._network = key, untrained(plan, dataset)
        return self._network

    def trained(self, plan: Plan, run: RunDirectory, dataset: Snapshot) -> Network:
        """Return the network of a plan with the weights that are kept in a run's folder.

        They are read once: files are renamed into place, so that one written anew has another time.
        """
        built = self._built(plan, dataset)
        kept = str(run.weights), run.weights.stat().st_mtime_ns
        if self._assigned != kept:
            checkpoint.assign_arrays(run.weights.read_bytes(), built.model.variables)
            self._assigned = kept
        return built

    def functions(self, plan: Plan, run: RunDirectory, dataset: Snapshot) -> dict[str, Any]:
        """Return the signatures of the trained network by name, traced once."""
        built = self.trained(plan, run, dataset)
        if self._functions is None:
            self._functions = export.signatures(built, plan.task, dataset.labels)
        return self._functions


def save(run: RunDirectory, built: Network) -> None:
    """Keep the trained weights of the whole network in the run's folder."""
    files.write_file(run.weights, checkpoint.arrays_of(built.model.variables))
