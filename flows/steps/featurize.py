"""The featurize step: compute and cache what the training takes as input."""

from flows.orchestration import artifacts, step
from flows.runs.plans.plan import Plan
from flows.runs.run import Record
from flows.steps import part_featurizer
from models.training import training


@step.step("featurize", run_name="featurize {plan.name}", retries=2)
def featurize(plan: Plan, record: Record) -> str:
    """Fill the feature stores for every example not cached yet; return their folder."""
    dataset = record.load_dataset()
    record.networks.forget()
    network = record.networks.network(plan, dataset)
    if not training.uncached(network, dataset, plan.workspace.features):
        step.reuse(f"the features of all {len(dataset.frame):,} examples")
    with part_featurizer.elsewhere(plan, record.dataset) as elsewhere:
        training.featurize(
            network,
            dataset,
            plan.workspace.features,
            progress=artifacts.report_progress,
            elsewhere=elsewhere,
        )
    return str(plan.workspace.features)
