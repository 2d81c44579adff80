"""The model card of a release: what it is for, its data, its figures, and where it fails."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import jinja2

from flows.documents import front_matter
from flows.documents.front_matter import is_baseline
from flows.runs.plans import catalogue
from flows.runs.plans.plan import Plan
from models.baselines import linear
from models.task import Evaluation

MODEL_CARD = "MODEL_CARD.md"

#: Tables of an evaluation that show what is learnt worst: columns, the one to sort by, whether low is bad.
WORST = {
    "per_class": (("label", "f1", "precision", "recall", "support"), "f1", True),
    "numbers": (("name", "r2", "mae", "rmse"), "r2", True),
}
#: Rows of that table, and labels that are listed.
ROWS, LABELS = 5, 50


@dataclass(frozen=True)
class Worst:
    """The classes or numbers that are learnt worst."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


def text(
    plan: Plan, card: Mapping[str, Any], evaluation: Evaluation | None, manifest: Mapping[str, Any]
) -> str:
    """Write the card of a release as Markdown, with front matter as Hugging Face has it.

    Args:
        plan: of the training.
        card: of the dataset.
        evaluation: of the test split; None for tasks that are measured otherwise.
        manifest: of the release.
    """
    raw, metrics = plan.task.raw, manifest["metrics"]
    source = PurePath(card["root"]).name or "data"
    bytes_sent = raw.input.endswith("_bytes")
    return (
        _environment()
        .get_template(f"{Path(__file__).stem}.md.jinja")
        .render(
            front_matter=front_matter.text(manifest, raw.name, source),
            **{name: manifest[name] for name in ("model", "version", "published_at", "task", "seed")},
            recipe_name=plan.recipe["name"],
            recipe=manifest["recipe_yaml"],
            predicts=catalogue.tasks()[plan.task.name],
            uses=list(_uses(plan, manifest["labels"])),
            data=_data(card, source, manifest["dataset"]),
            splits={split: count for split, count in card.get("splits", {}).items() if count},
            figures=_figures(metrics),
            baselines=_baselines(plan, metrics),
            limits=list(_limits(plan, card, manifest)),
            worst=_worst(evaluation),
            signatures=", ".join(f"`{name}`" for name in manifest["signatures"]),
            sends="the bytes of a file" if bytes_sent else "texts",
            input=raw.input,
            example=f"{raw.name}.file" if bytes_sent else '"TEXT"',
            argument=f'{raw.input}=[open("{raw.name}.file", "rb").read()]'
            if bytes_sent
            else f'{raw.input}=["TEXT"]',
        )
    )


def _uses(plan: Plan, labels: Sequence[str]) -> Iterator[str]:
    """Say what the model is for: what the recipe is meant for, and what it can answer."""
    recipes = {name: purpose for name, _, purpose in catalogue.recipes(plan.task.name)}
    if purpose := recipes.get(plan.recipe["name"]):
        yield f"Recipe `{plan.recipe['name']}`: {purpose}"
    yield "Inputs should be like the examples below: the figures say nothing about data of other sources."
    if plan.task.target.name == "class" and plan.task.evaluator is not None:
        listed = ", ".join(map(plain, labels[:LABELS])) + (", …" if len(labels) > LABELS else "")
        yield f"It always answers with one of {len(labels)} classes, whatever the input is: {listed}."


def _data(card: Mapping[str, Any], source: str, dataset: Mapping[str, Any]) -> list[tuple[str, object]]:
    counts = [(name, dataset[name]) for name in ("found", "accepted", "quarantined", "skipped")]
    return [("name", source), ("layout", card["layout"]), *counts, ("fingerprint", dataset["fingerprint"])]


def _figures(metrics: Mapping[str, float]) -> list[tuple[str, str, str]]:
    """List the metrics that are no baseline, each with its interval."""
    return [
        (name, f"{value:.6g}", _interval(metrics, name))
        for name, value in front_matter.figures(metrics).items()
        if not is_baseline(name)
    ]


def _interval(metrics: Mapping[str, float], name: str) -> str:
    low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
    return "" if low is None or high is None else f"{low:.4g} to {high:.4g}"


def _baselines(plan: Plan, metrics: Mapping[str, float]) -> list[tuple[str, str, str]]:
    """List the baselines among the metrics, with what they are."""
    named = {name: value for name, value in front_matter.figures(metrics).items() if is_baseline(name)}
    return [(name, f"{value:.6g}", _meaning(plan, name)) for name, value in named.items()]


def _meaning(plan: Plan, baseline: str) -> str:
    short = baseline.partition("/")[2]
    if short.startswith("linear_"):
        return linear.describe(plan.task)
    return front_matter.BASELINES.get(short, "the photos compared by their raw pixels")


def _limits(plan: Plan, card: Mapping[str, Any], manifest: Mapping[str, Any]) -> Iterator[str]:
    """Say what the figures rest on, and what the model cannot do or was refused."""
    metrics = manifest["metrics"]
    examples = metrics.get("test/examples")
    if examples is not None:
        yield f"The figures rest on {examples:,.0f} examples; the intervals leave out the choice of the seed."
    if _linear_is_better(plan, metrics):
        yield f"A linear model does better, by `{plan.task.objective.report}`: see the baselines."
    total, refused = card["found"], card["quarantined"]
    reasons = ", ".join(f"{plain(name)} {count}" for name, count in sorted(card.get("reasons", {}).items()))
    yield f"{refused:,} of {total:,} entries of the data were refused" + (f": {reasons}." if reasons else ".")
    if manifest["accepted_worse"]:
        yield "It was published although it may be worse than the version before it: a person accepted that."
    for name, reason in sorted(manifest["absent"].items()):
        yield f"It has no signature `{name}`: {plain(reason)}."


def _linear_is_better(plan: Plan, metrics: Mapping[str, float]) -> bool:
    measure = plan.task.objective
    split, _, name = measure.report.partition("/")
    other, own = metrics.get(f"{split}/linear_{name}"), metrics.get(measure.report)
    return other is not None and own is not None and measure.better(other, own)


def _worst(evaluation: Evaluation | None) -> Worst | None:
    """Return the classes or numbers that are learnt worst; None where the evaluation has no such table."""
    tables = evaluation.tables if evaluation is not None else {}
    for name, (columns, by, low_is_bad) in WORST.items():
        if name in tables and len(tables[name]) > 1:
            ranked = tables[name].sort_values(by, ascending=low_is_bad, kind="stable").head(ROWS)
            return Worst(columns, [list(row) for row in ranked[list(columns)].itertuples(index=False)])
    return None


def plain(value: object) -> str:
    """Write a value so that Markdown shows it as it is, on one line."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~])", r"\\\1", " ".join(str(value).split()))


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=False,  # noqa: S701 - Markdown: `plain` escapes what comes from data
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"plain": plain, "dash": lambda _: "---"}
    return environment
