"""The page of a monitoring: the table of measures, and the live examples that show a drift best."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from features.names import counted
from features.sources.tables import cells as table_cells
from flows.monitoring.monitor import MOST_EXPLAINED, SHOWN, Monitoring
from flows.reports.pages.media import MEDIA, Media, Picture, picture
from flows.reports.pages.page import Fact, Report, Section, Table
from models import tasks
from models.figures import distributions
from models.monitoring import shifts
from models.monitoring.measures import UNKNOWN_WORDS
from models.monitoring.shifts import Shift

#: What a narrow screen cuts off comes last.
COLUMNS = ("measure", "drift", "PSI", "training", "live", "adjusted p")


def rows(found: Sequence[Shift]) -> list[list[object]]:
    """Return the cells of each measure, in the order of `COLUMNS`."""
    return [
        [
            shift.measure,
            size(shift) if shift.drifted else "no",
            f"{shift.psi:.3g}",
            shift.reference,
            shift.live,
            _probability(shift.adjusted),
        ]
        for shift in found
    ]


def _probability(p: float) -> str:
    return "below 1e-9" if p < 1e-9 else f"{p:.2g}"


def size(shift: Shift) -> str:
    """Name the size of an effect as is customary for PSI."""
    return "small" if shift.psi < 0.1 else "moderate" if shift.psi < 0.25 else "large"


def page(outcome: Monitoring) -> Report:
    """Lay an outcome out as a page."""
    return Report(
        title=outcome.watch.name,
        kind=outcome.task,
        verdict=outcome.verdict,
        tone="bad" if outcome.drifted else "good",
        sections=list(_sections(outcome)),
        subtitle=f"Live inputs and answers of version {outcome.version} against its training examples",
        facts=[
            Fact("live examples", len(outcome.live.requests)),
            Fact("refused", len(outcome.live.refused)),
            Fact("measures", len(outcome.shifts)),
            Fact("drifted", len(outcome.drifted), tone="bad" if outcome.drifted else "good"),
        ],
    )


def _sections(outcome: Monitoring) -> Iterator[Section]:
    watch, reference = outcome.watch, outcome.reference
    learnt = ", and the share of unknown words," if UNKNOWN_WORDS in reference.samples else ""
    prose = [
        f"Drift is a difference that is significant (p at most {watch.alpha:g} after Holm's correction for "
        f"{counted(len(outcome.shifts), 'test')}) and large enough (PSI at least {watch.effect:g}).",
        f"Inputs are compared with {counted(len(reference.training), 'training example')}; answers{learnt} "
        f"with {counted(len(reference.held_out), 'example')} held out of training. "
        "Numbers: the median, and the 10th and 90th percentile. Words: the share that changed most.",
    ]
    if outcome.given > len(outcome.live.requests) + len(outcome.live.refused):
        prose.append(f"{watch.most:,} of {outcome.given:,} live examples were chosen: {outcome.chosen}.")
    yield Section("Measures", prose=prose, tables=[Table(COLUMNS, rows(outcome.shifts))])
    for shift in outcome.drifted[:MOST_EXPLAINED]:
        yield _drift(outcome, shift)
    if refused := outcome.live.refused:
        cells = [[one.shown, str(one.error)] for one in refused[: 4 * SHOWN]]
        yield Section("Refused inputs", tables=[Table(("input", "error"), cells)])


def _drift(outcome: Monitoring, shift: Shift) -> Section:
    prose = [
        f"{shift.test} statistic {shift.statistic:.3g}, p {_probability(shift.p)}; "
        f"PSI {shift.psi:.3g}, {size(shift)}."
    ]
    if worst := outcome.worst.get(shift.measure):
        prose.append(f"Below: the {counted(len(worst), 'live example')} that differ most.")
    figures = [figure] if (figure := _figure(outcome, shift)) is not None else []
    return Section(f"Drift in {shift.measure}", prose=prose, figures=figures, media=gallery(outcome, shift))


def _figure(outcome: Monitoring, shift: Shift) -> Picture | None:
    before, now = (part.samples.get(shift.measure) for part in (outcome.reference, outcome.live))
    if before is None or now is None:
        return None
    if shifts.is_number(before) and shifts.is_number(now):
        draw = partial(
            distributions.numbers,
            before.dropna().to_numpy(float),
            now.dropna().to_numpy(float),
            shift.measure,
        )
    else:
        table = shifts.counted(before, now).head(12)
        draw = partial(
            distributions.categories,
            [str(name) for name in table.index],
            table["reference"].to_numpy(),
            table["live"].to_numpy(),
            shift.measure,
        )
    return picture(shift.measure, lambda theme: draw(theme=theme))


def gallery(outcome: Monitoring, shift: Shift) -> list[Media]:
    """Return the live examples that show a shift best, each with its value."""
    show = MEDIA[tasks.find(outcome.task).raw.name]
    values = outcome.live.samples.get(shift.measure)
    places = {request.shown: place for place, request in enumerate(outcome.live.requests)}
    items = []
    for shown, content in outcome.worst.get(shift.measure, ()):
        lines = [] if values is None else [f"{shift.measure}: {_value(values.iloc[places[shown]])}"]
        items.append(replace(show(content, shown, lines), cells=_cells(outcome, content)))
    return items


def _cells(outcome: Monitoring, content: bytes) -> list[tuple[str, str]]:
    """Name the cells of a row; of anything else there are none."""
    values = table_cells.cells(content.decode("utf-8", "replace")) if outcome.columns else []
    return list(zip(outcome.columns, values, strict=False))


def _value(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
