"""The ingest step: a source becomes a Dataset."""

from pathlib import Path
from typing import Any

from features import decisions
from features.datasets.snapshot import Snapshot
from features.ingest.ingest import ingest as make_dataset
from flows.console import terminal
from flows.orchestration import artifacts, step, task_runners
from flows.runs.plans.plan import Plan
from flows.runs.state import DatasetReference


@step.step("ingest", run_name=lambda plan: f"ingest {Path(plan.request.data).name}", retries=2)
def ingest(plan: Plan) -> DatasetReference:
    """Read, check and split the data."""
    snapshots = _snapshots(plan.workspace.datasets)
    with task_runners.spread(plan.request.runner) as spread:
        dataset = make_dataset(
            plan.request.data,
            raw=plan.task.raw,
            target=plan.task.target,
            columns=plan.columns,
            rules=plan.rules,
            root=plan.workspace.datasets,
            progress=artifacts.report_progress,
            spread=spread,
        )
    if dataset.directory.name in snapshots:
        step.reuse(f"dataset {dataset.fingerprint[:12]}: unchanged since an earlier training")
    card = dataset.card
    counts = {key: card[key] for key in ("found", "accepted", "quarantined", "skipped")}
    for line in described(card, dataset.quarantine):
        terminal.note(line)
    artifacts.show_table(
        artifacts.artifact_key("dataset", plan.name),
        [counts],
        f"Dataset {dataset.fingerprint} of {plan.name}",
    )
    return DatasetReference(
        directory=str(dataset.directory), fingerprint=dataset.fingerprint, **counts, columns=_columns(card)
    )


def adapted(plan: Plan, dataset: Snapshot) -> Plan:
    """Decide what the recipe leaves to the training split (``auto``), and say so; once, before anything else.

    The plan that comes back is what the run, its manifest and MLflow record.
    """
    decided = plan.adapted(dataset)
    if changes := decided.differing(plan):
        terminal.note(f"settings by the training split: {', '.join(changes)}")
    return decided


def _snapshots(folder: Path) -> set[str]:
    return {child.name for child in folder.iterdir()} if folder.is_dir() else set()


def described(card: dict[str, Any], quarantine: Path) -> list[str]:
    """Say where every entry of a source went, how the examples are split, and what was decided."""
    counts = {key: card[key] for key in ("found", "accepted", "quarantined", "skipped")}
    return [
        _sentence(counts, card, quarantine),
        *([_splits(card)] if "splits" in card else []),
        *(_too_small(card["splits"]["test"]) if card.get("labels") and "splits" in card else []),
        *(f"  {line}" for line in decisions.summarise(decisions.from_card(card))),
    ]


def _splits(card: dict[str, Any]) -> str:
    """Write the size of each split, and where the data's own validation split became the test split."""
    sizes = ", ".join(f"{split} {count:,}" for split, count in card["splits"].items() if count)
    split_names = set(card["splits_given"])
    note = " (there is no test split: the validation split is used as the test split)"
    return f"splits: {sizes}" + (note if "validation" in split_names and "test" not in split_names else "")


def _too_small(tests: int) -> list[str]:
    """Warn of a test split on which even a perfect model could not be told from a good one."""
    if not 0 < tests < FEW_TESTS:
        return []
    low = tests / (tests + _Z2)  # Wilson's interval where all are right
    text = f"only {tests} test examples: even {tests} of {tests} right would be {low:.0%} to 100%"
    return [f"{text} (95% interval)"]


def _columns(card: dict[str, Any]) -> list[list[str]] | None:
    """Return the name and type of each input column, and its number format unless it is plain."""
    kinds, numbers = card["rules"].get("columns"), card["rules"].get("numbers", {})
    if not kinds:
        return None
    return [[*column, *([numbers[column[0]]] if column[0] in numbers else ())] for column in kinds.items()]


def _sentence(counts: dict[str, int], card: dict[str, Any], quarantine: Path) -> str:
    text = (
        "{found} {what} found = {accepted} accepted + {quarantined} quarantined + {skipped} skipped by rule"
    )
    sentence = text.format(what=_FOUND.get(card["layout"], "files"), **counts)
    if counts["quarantined"]:
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(card["reasons"].items()))
        sentence += f" ({reasons}) -> {quarantine}"
    if counts["skipped"]:
        sentence += f"; skipped: {_skips(card)}"
    return sentence


def _skips(card: dict[str, Any]) -> str:
    """List the reasons of skips with their counts, and the endings where those are the reason."""
    endings = ", ".join(f"{ending} {count}" for ending, count in card["skipped_endings"].items())
    return ", ".join(
        f"{reason} {count}" + (f" ({endings})" if reason == "unsupported_extension" and endings else "")
        for reason, count in card["skip_reasons"].items()
    )


#: Fewer test examples than this are warned of: all right would be less than 93 to 100 %.
FEW_TESTS = 50
#: Square of the normal distribution's 97.5th percentile.
_Z2 = 1.959964**2

#: What is counted, by the layout of the source.
_FOUND = {"corpus": "lines", "table": "rows", "split-tables": "rows"}
