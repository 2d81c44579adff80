"""A finished training opened again, from its run's folder or from the release it became."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from features.errors import NoInputError
from flows.runs import listing, networks
from flows.runs.directory import RunDirectory
from flows.runs.plans.plan import Plan
from flows.runs.plans.request import Request
from flows.runs.run import seen
from flows.workspace import Workspace
from models.network import Network


@dataclass(frozen=True)
class Finished:
    """A training's run and plan.

    Attributes:
        plan: with the recipe as it was resolved.
        run: its folder.
    """

    plan: Plan
    run: RunDirectory

    @cached_property
    def dataset(self) -> Any:
        """The dataset it was trained on, as the training saw it."""
        dataset = self.run.read().dataset
        assert dataset is not None, "a finished training has a dataset"
        return seen(dataset)

    def network(self) -> Network:
        """Build the network with the weights its training ended with.

        Raises:
            NoInputError: the dataset is gone from the workspace.
        """
        return networks.Networks().trained(self.plan, self.run, self.dataset)


def find(workspace: Workspace, name: str, version: int | None = None, *, weights: bool = True) -> Finished:
    """Open the training of a published model, or of a run's folder.

    Args:
        workspace: where both lie.
        name: of the model, ``MODEL/RUN``, or path of the run's folder.
        version: of the model; None for the stable one.
        weights: whether those of the training are needed; galleries have none.

    Raises:
        NoInputError: there is no such model or run, or its weights are gone.
    """
    run = listing.find(workspace, name, version)
    recipe = run.read().recipe
    if recipe is None or (weights and not run.weights.is_file()):
        raise NoInputError(
            f"the training {run.path.name} is not finished",
            got="no weights",
            expected="a finished training",
            todo="list the runs with servable runs",
        )
    request = Request(recipe["task"], "", run.path.parent.name, workspace=str(workspace.root))
    return Finished(Plan(request, recipe), run)
