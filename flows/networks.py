"""Build the network of a plan, and hand out the same one to every step of a training in this process."""

from features.dataset import Dataset
from flows.plan import Plan
from flows.record import Record
from models import checkpoint, determinism
from models.tasks.task import Blueprint, Network

#: The newest network, by what it was built from: the steps of one training share it.
_latest: dict[str, Network] = {}


def network(plan: Plan, dataset: Dataset) -> Network:
    """Build the untrained network of a plan; a function of the plan and the labels alone."""
    key = f"{plan.key(dataset.fingerprint)} {plan.workspace.root}"
    if key not in _latest:
        _latest.clear()
        determinism.fix(plan.request.seed)
        sections = plan.sections
        _latest[key] = plan.task.build(
            Blueprint(
                featurizer=sections["featurizer"],
                model=sections["model"],
                augmentation=sections["augmentation"],
                epochs=plan.training.epochs,
                labels=dataset.labels,
                hub=plan.workspace.hub,
            )
        )
    return _latest[key]


def forget() -> None:
    """Build anew next time: a training must begin from fresh weights, not from a trained network's."""
    _latest.clear()


def trained(plan: Plan, record: Record, dataset: Dataset) -> Network:
    """Build the network of a plan with the weights its training ended with."""
    built = network(plan, dataset)
    content = record.run.weights.read_bytes()
    checkpoint.assign_arrays(content, built.model.variables)
    return built


def save(record: Record, built: Network) -> None:
    """Keep the trained weights of the whole network in the run's folder."""
    checkpoint.write_file(record.run.weights, checkpoint.arrays_of(built.model.variables))
