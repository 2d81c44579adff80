"""The report step: everything known of a training, as a page and on its MLflow run."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from features import decisions
from features.datasets.dataset import Dataset
from features.errors import DataError
from features.spec import SPLITS
from features.texts.tokenizer import count
from flows.gate.gate import refused
from flows.orchestration import artifacts, step
from flows.reports import heatmaps, media, sections
from flows.reports import page as report
from flows.reports import rows as tabular_report
from flows.runs import networks
from flows.runs.plan import Plan
from flows.runs.run import Record, command_line, git_commit, versions
from flows.steps.evaluate import evaluation
from flows.steps.train import by_split
from models.evaluation.classification import Evaluation
from models.explain import token_occlusion
from models.export import signatures
from models.networks import cnn

#: Mistakes shown, the most confident first.
SHOWN_MISTAKES = 24
#: Long examples whose windows are shown.
SHOWN_LONG = 3


def run_name(plan: Plan, record: Record) -> str:
    """Name the report step's run by the version it tells of."""
    version = record.run.read().get("version")
    return f"report {plan.name} {'refused' if version is None else f'version {version}'}"


def outcome(state: Mapping[str, Any]) -> tuple[str, report.Tone]:
    """Give the page's verdict and its tone: the version published, or why the gate refused it."""
    if "version" in state:
        return f"published as version {state['version']}", "good"
    check = refused(state.get("gate", {}))
    why = f": {check['name']}, got {check['got']}, expected {check['expected']}" if check else ""
    return f"refused by the gate{why}", "bad"


def latency(state: Mapping[str, Any], what: str) -> report.Section | None:
    """Show how long the candidate takes to answer; None where the gate did not come to that."""
    milliseconds = state.get("gate", {}).get("latency_ms")
    return sections.latency(milliseconds, what) if milliseconds else None


@step.step("draw", run_name="draw {plan.name}")
def draw(plan: Plan, record: Record) -> None:
    """Draw what the report shows of the network while the gate's process examines the candidate.

    A fault of it must not stop a publication: the report step draws again, and raises it.
    """
    dataset = record.load_dataset()
    with contextlib.suppress(Exception):
        record.kept["drawn"] = _of_network(plan, record, dataset, evaluation(record, dataset))


@step.step("report", run_name=run_name)
def write_report(plan: Plan, record: Record) -> str:
    """Write report.html into the run and the same figures and tables to MLflow; return its path."""
    dataset = record.load_dataset()
    measured = evaluation(record, dataset)
    page = compose(plan, record, dataset, measured)
    tracked = record.tracked
    tracked.table(measured.per_class, "tables/per_class.json")
    tracked.table(measured.calibration, "tables/calibration.json")
    tracked.table(measured.mistakes.head(200), "tables/mistakes.json")
    return keep(plan, record, dataset, page)


def keep(plan: Plan, record: Record, dataset: Any, page: report.Report) -> str:
    """Write a page into the run, and it and what belongs to every training to MLflow; return its path."""
    report.write(page, record.run.report)
    tracked = record.tracked
    tracked.artifact(record.run.report)
    tracked.text(yaml.safe_dump(plan.recipe, sort_keys=False), "recipe.yaml")
    tracked.text(json.dumps(dataset.card, indent=1, default=str), "dataset/card.json")
    decided = "\n".join(map(str, decisions.from_card(dataset.card)))
    tracked.text(decided or "nothing was left open", "dataset/decisions.txt")
    tracked.artifact(dataset.quarantine, "dataset")
    tracked.artifact(figure_files(record, page))
    note = f"[report]({record.run.report.as_uri()}) of {plan.name}: {page.verdict}"
    artifacts.show_markdown(artifacts.artifact_key("report", plan.name), note, "Report")
    return str(record.run.report)


def compose(plan: Plan, record: Record, dataset: Dataset, measured: Evaluation) -> report.Report:
    """Put the report together from what the steps left in the run's folder."""
    state = record.run.read()
    verdict, tone = outcome(state)
    return report.Report(
        title=plan.name,
        kind=plan.request.task,
        verdict=verdict,
        tone=tone,
        subtitle=f"{plan.recipe['name']} on {plan.request.data}",
        headline=sections.headline(measured),
        facts=[
            report.Fact("test examples", int(measured.metrics["test/examples"])),
            report.Fact("classes", len(dataset.labels)),
            report.Fact("training examples", int((dataset.frame["split"] == "train").sum())),
        ],
        sections=[part for part in _sections(plan, record, dataset, measured, state) if part is not None],
    )


def _sections(
    plan: Plan, record: Record, dataset: Dataset, measured: Evaluation, state: Mapping[str, Any]
) -> list[report.Section | None]:
    gate = state.get("gate", {})
    return [
        *(record.kept.get("drawn") or _of_network(plan, record, dataset, measured)),
        latency(state, "One example at a time through the exported model."),
        sections.dataset(dataset.card, class_counts(dataset)),
        sections.checks(checks(gate)) if gate else None,
        sections.reproduction(
            yaml.safe_dump(plan.recipe, sort_keys=False), command_line(), facts(plan, record, state)
        ),
    ]


def _of_network(
    plan: Plan, record: Record, dataset: Dataset, measured: Evaluation
) -> list[report.Section | None]:
    """Make the sections that do not depend on the gate."""
    rows = json.loads((record.run.path / "history.json").read_text())
    history = [{"phase": row["phase"], **by_split(row["metrics"])} for row in rows]
    return [
        sections.metrics(measured),
        sections.classes(measured),
        _mistakes(plan, record, dataset, measured),
        heatmaps.section(plan, record, dataset, measured),
        _windows(plan, record, dataset),
        _texts(plan, record, dataset),
        *tabular_report.sections(plan, record, dataset),
        sections.calibration(measured),
        sections.training(history, _kernels(plan, record, dataset)),
    ]


def checks(gate: Mapping[str, Any]) -> list[list[object]]:
    """Give the rows of the gate's table."""
    return [
        [check["name"], check["got"], check["expected"], "passed" if check["passed"] else "refused"]
        for check in gate["checks"]
    ]


def facts(plan: Plan, record: Record, state: Mapping[str, Any]) -> dict[str, object]:
    """Give what a training is made again from, beside its recipe."""
    known = {
        "seed": plan.request.seed,
        "dataset": record.dataset["fingerprint"][:16],
        "weights": state.get("weights_hash", ""),
        "MLflow run": record.tracked.run_id,
        "commit": git_commit()[:12],
    }
    return {name: value for name, value in (known | versions()).items() if value}


def class_counts(dataset: Dataset) -> dict[str, dict[str, int]]:
    """Count the examples of each label by split."""
    counts = dataset.frame.groupby(["label", "split"], observed=True).size()
    splits = [split for split in ("train", "validation", "test") if split in set(dataset.frame["split"])]
    return {
        label: {split: int(counts.get((label, split), 0)) for split in splits} for label in dataset.labels
    }


def _kernels(plan: Plan, record: Record, dataset: Dataset) -> np.ndarray | None:
    if "kernels" not in plan.task.report:
        return None
    network = networks.trained(plan, record, dataset)
    trained_here = any(phase.model is network.model for phase in network.phases)
    return cnn.first_kernels(network.model) if trained_here else None


def _windows(plan: Plan, record: Record, dataset: Dataset) -> report.Section | None:
    """Show what was heard when in the longest test examples, where examples have several windows."""
    if "windows" not in plan.task.report:
        return None
    network = networks.trained(plan, record, dataset)
    test = dataset.measured
    shown = []
    for row in test.nlargest(SHOWN_LONG, "seconds").itertuples():
        scores, starts = signatures.heard(network, dataset.read(row))
        if len(starts) > 1:
            shown.append((f"{row.name}: {row.label}", starts, scores))
    return sections.windows(shown, dataset.labels) if shown else None


def _texts(plan: Plan, record: Record, dataset: Dataset) -> report.Section | None:
    """Show how much of the texts the network reads, and how many of their tokens it knows."""
    if "texts" not in plan.task.report:
        return None
    featurizer = networks.network(plan, dataset).featurizer
    frame = dataset.frame
    splits = [split for split in SPLITS if (frame["split"] == split).any()]
    rows = []
    for split in splits:
        texts = (dataset.read(row) for row in frame[frame["split"] == split].itertuples())
        counts, lengths = count(featurizer.tokens, texts)
        known = sum(counts[token] for token in featurizer.vocabulary)
        cut = np.mean([length > (featurizer.max_tokens or length) for length in lengths])
        unknown = 1 - known / max(1, counts.total())
        rows.append([split, int(np.median(lengths)), max(lengths), float(cut), unknown])
    return sections.texts(rows, len(featurizer.vocabulary), featurizer.max_tokens)


def _told(plan: Plan, record: Record, dataset: Dataset, raws: list[bytes]) -> list[list[tuple[str, float]]]:
    """Give each text's tokens with what they do for the answer, at most 1; nothing for other raw kinds."""
    if "texts" not in plan.task.report:
        return [[] for _ in raws]
    found = token_occlusion.explained(networks.trained(plan, record, dataset), raws)
    return [
        [
            (token, float(change / max(1e-6, np.abs(changes).max())))
            for token, change in zip(tokens, changes, strict=True)
        ]
        for tokens, changes in found
    ]


def _mistakes(plan: Plan, record: Record, dataset: Dataset, measured: Evaluation) -> report.Section:
    frame = dataset.measured
    shown = []
    raws = []
    for mistake in measured.mistakes.head(SHOWN_MISTAKES).itertuples():
        row = frame.iloc[int(mistake.row)]
        raw = b""
        with contextlib.suppress(DataError):
            raw = dataset.read(row)
        lines = [f"is {mistake.target}", f"taken for {mistake.prediction} ({mistake.score:.2f})"]
        shown.append(media.MEDIA[plan.task.raw.name](raw, str(row["name"]), lines))
        raws.append(raw)
    told = _told(plan, record, dataset, raws)
    shown = [replace(item, tokens=tokens) for item, tokens in zip(shown, told, strict=True)]
    return sections.mistakes(shown, len(measured.mistakes))


def figure_files(record: Record, page: report.Report) -> Path:
    """Write the page's figures as files of their own; return their folder."""
    folder = record.run.evaluation / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    for part in page.sections:
        for figure in part.figures:
            suffix = "svg" if figure.mime == "image/svg+xml" else "png"
            name = "".join(c if c.isalnum() else "_" for c in figure.title.lower())
            (folder / f"{name}.{suffix}").write_bytes(figure.light)
    return folder
