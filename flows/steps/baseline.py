"""What a linear model of plain features reaches on the same examples, beside the network."""

from features.datasets.dataset import Dataset
from flows.console import terminal
from flows.runs.plans.plan import Plan
from flows.runs.run import Record
from models.baselines import linear


def measure(plan: Plan, record: Record, dataset: Dataset) -> dict[str, float]:
    """Fit and measure the linear baseline of a task.

    Returns:
        ``test/linear_METRIC`` of the deciding metric; nothing for tasks without a baseline, and for the
        folds of a cross-validation, whose baseline is that of all of them.
    """
    inside_a_fold = (record.dataset.fold or {}).get("value") is not None
    if inside_a_fold or not linear.applies(plan.task):
        return {}
    network = record.networks.network(plan, dataset)
    figures = linear.metrics(plan.task, dataset, network.featurizer, terminal.report_progress)
    report = plan.task.objective.report
    return {linear_name(report): figures[report]} if report in figures else {}


def linear_name(metric: str) -> str:
    """Name the metric of the linear baseline: ``test/accuracy`` to ``test/linear_accuracy``."""
    split, _, name = metric.partition("/")
    return f"{split}/linear_{name}"


def remark(plan: Plan, metrics: dict[str, float]) -> str:
    """Say that the baseline is better than the network, and what helps; empty where it is not."""
    measure = plan.task.objective
    own, other = metrics.get(measure.report), metrics.get(linear_name(measure.report))
    if own is None or other is None or not measure.better(other, own):
        return ""
    name = measure.report.partition("/")[2]
    return (
        f"the network is worse than {linear.describe(plan.task)}: {name} {own:.4g}, and {other:.4g} of the "
        f"baseline; try another recipe (servable recipes {plan.task.name}), more passes (--set "
        f"training.epochs={2 * plan.training.epochs}), more examples, or servable tune"
    )
