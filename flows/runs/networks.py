"""Build the network of a plan, and hand out the same one to every step of a training in this process."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from features.errors import ConfigError
from features.storage import files
from features.storage.files import write_file
from flows.console import terminal
from flows.runs.plan import Plan
from flows.runs.run import Record
from flows.workspace import MODEL_NAME, RunDirectory, fingerprint
from models.export import export
from models.network import Network
from models.task import Blueprint
from models.training import checkpoint, determinism
from serving.repository.repository import Repository

#: The newest network, by what it was built from: the steps of one training share it.
_latest: dict[str, Network] = {}
#: Its traced signatures: they hold its variables, and so whatever weights these have.
_traced: dict[str, Any] = {}


def network(plan: Plan, dataset: Any) -> Network:
    """Build the untrained network of a plan; a function of the plan and the labels alone."""
    key = f"{plan.key(dataset.fingerprint)} {plan.workspace.root}"
    if key not in _latest:
        forget()
        _latest[key] = untrained(plan, dataset)
    return _latest[key]


def untrained(plan: Plan, dataset: Any) -> Network:
    """Build a network of a plan's own, with the weights that its training begins with."""
    known = knowledge(plan, dataset)
    determinism.fix(plan.request.seed)
    return plan.task.build(replace(blueprint(plan, dataset), fitted=known))


def blueprint(plan: Plan, dataset: Any) -> Blueprint:
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


def figures(plan: Plan, dataset: Any) -> Mapping[str, float]:
    """Return the metrics of the fit, by name."""
    found: Mapping[str, float] = knowledge(plan, dataset).get("figures", {})
    return found


def knowledge(plan: Plan, dataset: Any) -> Mapping[str, Any]:
    """Return the result of the task's fit on the training split."""
    return fitted(plan, dataset, blueprint(plan, dataset))


def fitted(plan: Plan, dataset: Any, blueprint: Blueprint) -> Mapping[str, Any]:
    """Fit to the training split, or read what an earlier fit to the same split found."""
    if plan.task.fit is None:
        return {}
    # A fit sees the whole blueprint: another kind of model, or another rate, may need other knowledge.
    settings = [plan.recipe[section] for section in ("data", "featurizer", "model")]
    key = fingerprint([plan.task.name, settings, dataset.fingerprint])
    path = plan.workspace.features / "fitted" / f"{key}.json"
    if not path.is_file():
        found = plan.task.fit(blueprint, _examples(dataset))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, json.dumps(found))
    return json.loads(path.read_text())


def _examples(dataset: Any) -> Iterator[bytes]:
    total = dataset.size("train")
    for done, example in enumerate(dataset.examples("train"), start=1):
        yield example
        terminal.report_progress("fit", done, total)


def forget() -> None:
    """Build again next time: a training must begin from fresh weights, not from a trained network's."""
    _latest.clear()
    _traced.clear()


def trained(plan: Plan, record: Record, dataset: Any) -> Network:
    """Build the network of a plan with the weights its training ended with."""
    return with_weights(plan, record.run, dataset)


def with_weights(plan: Plan, run: RunDirectory, dataset: Any) -> Network:
    """Build the network of a plan with the weights kept in a run's folder."""
    built = network(plan, dataset)
    content = run.weights.read_bytes()
    checkpoint.assign_arrays(content, built.model.variables)
    return built


def functions(plan: Plan, record: Record, dataset: Any) -> dict[str, Any]:
    """Return the signatures of the trained network, traced once per training."""
    built = trained(plan, record, dataset)
    if _traced.get("network") is not built:
        _traced.update(network=built, functions=export.signatures(built, plan.task, dataset.labels))
    found: dict[str, Any] = _traced["functions"]
    return found


def save(record: Record, built: Network) -> None:
    """Keep the trained weights of the whole network in the run's folder."""
    files.write_file(record.run.weights, checkpoint.arrays_of(built.model.variables))
