"""The report step: everything known of a training, as a page and on its MLflow run."""

import contextlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import yaml

from features import decisions
from flows.orchestration import artifacts, step
from flows.reports import card, ending
from flows.reports.pages import page
from flows.reports.pages.context import Context
from flows.reports.pages.page import Fact, Headline, Report, Section
from flows.reports.sections import (
    classes,
    detection,
    galleries,
    heatmaps,
    keypoints,
    music,
    numbers,
    rows,
    speech,
    translations,
    words,
)
from flows.runs.plans.plan import Plan
from flows.runs.provenance import versions
from flows.runs.run import Record, run_label

#: From a training to the sections it has under a name; none where there is nothing to show.
Part = Callable[[Context], Iterable[Section]]

#: Every section that a ``Task.report`` can name.
SECTIONS: Mapping[str, Part] = {
    "metrics": classes.metrics,
    "classes": classes.classes,
    "mistakes": classes.mistakes,
    "text mistakes": classes.text_mistakes,
    "heatmaps": heatmaps.heatmaps,
    "windows": classes.windows,
    "texts": classes.texts,
    "importance": rows.importance,
    "columns": rows.columns,
    "layers": rows.layers,
    "calibration": classes.calibration,
    "training": classes.training,
    "number metrics": numbers.metrics,
    "predictions": numbers.predictions,
    "largest errors": numbers.worst,
    "point metrics": keypoints.metrics,
    "box metrics": detection.metrics,
    "box errors": detection.errors,
    "worst points": keypoints.worst,
    "speech metrics": speech.metrics,
    "worst transcripts": speech.worst,
    "translation metrics": translations.metrics,
    "attention maps": translations.attention,
    "worst translations": translations.worst,
    "note metrics": music.metrics,
    "note takes": music.takes,
    "kernels": classes.kernels,
    "gallery metrics": galleries.metrics,
    "search": galleries.search,
    "clusters": galleries.clusters,
    "word tests": words.tests,
    "word neighbours": words.neighbours,
    "word map": words.projected,
    "word training": words.training,
}

#: The tiles that a section puts at the top of the page.
FACTS: Mapping[str, Callable[[Context], list[Fact]]] = {
    "metrics": classes.facts,
    "number metrics": numbers.facts,
    "point metrics": keypoints.facts,
    "box metrics": detection.facts,
    "speech metrics": speech.facts,
    "translation metrics": translations.facts,
    "note metrics": music.facts,
    "gallery metrics": galleries.facts,
    "word tests": words.facts,
}

#: The figure at the top of the page; None where nothing was measured that says it all.
HEADLINES: Mapping[str, Callable[[Context], Headline | None]] = {
    "metrics": classes.headline,
    "number metrics": numbers.headline,
    "point metrics": keypoints.headline,
    "box metrics": detection.headline,
    "speech metrics": speech.headline,
    "translation metrics": translations.headline,
    "note metrics": music.headline,
    "search": galleries.search_headline,
    "clusters": galleries.cluster_headline,
    "word tests": words.headline,
}

#: What is seen first, by a section that the report has; of several the one that stands first here.
LEADS: Mapping[str, Callable[[Context], Section | None]] = {
    "importance": rows.lead,
    "heatmaps": classes.lead,
    "text mistakes": classes.lead,
    "largest errors": numbers.lead,
    "worst points": keypoints.lead,
    "box errors": detection.lead,
    "worst transcripts": speech.lead,
    "worst translations": translations.lead,
    "note takes": music.lead,
    "search": galleries.search_lead,
    "clusters": galleries.cluster_lead,
    "word map": words.lead,
}

#: What every report ends with.
ENDING: tuple[Part, ...] = (
    ending.use,
    ending.latency,
    ending.dataset,
    ending.gate,
    ending.reproduction,
)


def run_name(plan: Plan, record: Record) -> str:
    """Name the report step's run by the version it reports."""
    version = record.run.read().version
    return f"report {plan.name} {'refused' if version is None else f'version {version}'}"


@step.step("draw", run_name="draw {plan.name}")
def draw(plan: Plan, record: Record) -> None:
    """Make the sections of the network while the gate's process examines the candidate.

    A fault of it must not stop a publication: the report step makes them again, and raises it.
    """
    context = Context(plan, record)
    with contextlib.suppress(Exception):
        record.kept["drawn"] = _lead(context), _own(context)


@step.step("report", run_name=run_name)
def write_report(plan: Plan, record: Record) -> str:
    """Write report.html into the run, and its figures and tables to MLflow; return its path."""
    context = Context(plan, record)
    if plan.task.evaluator is not None:
        for name, table in context.measured.tables.items():
            record.tracked.table(table, f"tables/{name}.json")
    return _keep(context, compose(context))


def compose(context: Context) -> Report:
    """Put the report together from what the steps left in the run's folder."""
    plan, drawn = context.plan, context.record.kept.get("drawn")
    lead, own = (_lead(context), _own(context)) if drawn is None else drawn
    verdict, tone = ending.outcome(context.state)
    facts = [fact for name in plan.task.report if name in FACTS for fact in FACTS[name](context)]
    headlines = (HEADLINES[name](context) for name in plan.task.report if name in HEADLINES)
    return Report(
        title=plan.name,
        kind=plan.request.task,
        verdict=verdict,
        tone=tone,
        subtitle=f"{plan.recipe['name']} on {plan.request.data}",
        headline=next(headlines, None),
        lead=lead,
        facts=[*facts, *ending.cost(context)],
        sections=[*own, *_made(ENDING, context)],
    )


def _lead(context: Context) -> Section | None:
    return next((LEADS[name](context) for name in LEADS if name in context.plan.task.report), None)


def _own(context: Context) -> list[Section]:
    """Make the task's own sections, none of which needs the gate's verdict."""
    return _made([SECTIONS[name] for name in context.plan.task.report], context)


def _made(parts: Iterable[Part], context: Context) -> list[Section]:
    return [section for part in parts for section in part(context)]


def _keep(context: Context, report: Report) -> str:
    """Write the page into the run, and it and what belongs to every training to MLflow; return its path."""
    record, dataset = context.record, context.dataset
    page.write(report, record.run.report)
    tracked = record.tracked
    tracked.artifact(record.run.report, card.REPORT)
    tracked.text(yaml.safe_dump(context.plan.recipe, sort_keys=False), "recipe/recipe.yaml")
    tracked.text(json.dumps(versions(), indent=1), "environment/versions.json")
    tracked.text(json.dumps(dataset.card, indent=1, default=str), "dataset/card.json")
    decided = "\n".join(map(str, decisions.from_card(dataset.card)))
    tracked.text(decided or "no decisions were needed", "dataset/decisions.txt")
    tracked.artifact(dataset.quarantine, "dataset")
    tracked.artifact(_figure_files(record, report))
    tracked.describe(card.card(context, report), run_label(context.plan, record.run))
    key, name = artifacts.artifact_key("report", context.plan.name), context.plan.name
    artifacts.show_markdown(key, _for_prefect(context, report), f"Result of the training of {name}")
    return str(record.run.report)


def _for_prefect(context: Context, report: Report) -> str:
    """Write the card for Prefect: links lead to MLflow's server, and pictures stand in the text."""
    record = context.record
    page = record.tracking.page(record.tracked)
    return card.linked(card.card(context, report), page) + card.pictures(report)


def _figure_files(record: Record, report: Report) -> Path:
    """Write the page's figures as files of their own; return their folder."""
    folder = record.run.evaluation / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    for section in (*report.sections, *([report.lead] if report.lead else [])):
        for figure in section.figures:
            suffix = "svg" if figure.mime == "image/svg+xml" else "png"
            name = "".join(c if c.isalnum() else "_" for c in figure.title.lower())
            (folder / f"{name}.{suffix}").write_bytes(figure.light)
    return folder
