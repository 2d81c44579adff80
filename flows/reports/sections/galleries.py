"""The reports of image-search and image-clustering: what is found, what lies together, what repeats."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from features.datasets.dataset import Dataset
from flows.courses import gallery, image_clustering, image_search
from flows.reports.pages import media as reports_media
from flows.reports.pages import page as report
from flows.reports.pages.context import Context
from flows.reports.projection import map as projection
from flows.runs.plans.plan import Plan
from flows.runs.run import Record
from models.evaluation.measures import retrieval
from models.figures.drawing import contact_sheet, planes
from models.search.vector_index import unit_rows

#: What the intervals are.
BOOTSTRAP = "95 % interval (bootstrap, 1,000 resamples)"
#: Photos at the top of the page, and the nearest others of each.
QUERIES, NEIGHBOURS = 4, 5
#: Near duplicates shown as pictures, two a pair; and photos on the contact sheet of a cluster.
SHOWN_PAIRS, SHOWN_MEMBERS = 12, 40

#: What a metric's name means, for readers who did not choose it.
MEANINGS = {
    "eval/precision_at_10": "share of the 10 nearest training photos that have the label of a test photo",
    "eval/precision_at_10_embeddings": "the same, searched by vectors before the projection",
    "eval/precision_at_10_pixels": "the same, searched by raw pixels of 32 x 32 copies",
    "eval/recall_at_10": "share of the exact 10 nearest that the published index returns",
    "eval/items": "photos in the index",
    "eval/near_duplicates": "pairs of photos with a cosine of {least} or more (model.near_duplicate)",
    "eval/clusters": "number of clusters",
    "eval/silhouette": "how much closer photos are to their own cluster than to the next, -1 to 1",
    "eval/ari_embeddings": "agreement of clusters and labels: 0 by chance, 1 if identical (adjusted Rand)",
    "eval/ari_pixels": "the same, of clusters of raw pixels",
    "eval/nmi_embeddings": "normalised mutual information of clusters and labels, 0 to 1",
    "eval/nmi_pixels": "the same, of clusters of raw pixels",
    "eval/purity_embeddings": "share of photos whose label is the most frequent one of their cluster",
    "eval/purity_pixels": "the same, of clusters of raw pixels",
}


def facts(context: Context) -> list[report.Fact]:
    """Count photos and dimensions."""
    index = gallery.gallery(context.network)
    return [report.Fact("photos", index.items), report.Fact("dimensions", index.dimensions)]


def search_headline(context: Context) -> report.Headline | None:
    """Show the precision beside that of raw pixels; without labels, the recall of the index."""
    figures, name = context.state.metrics, image_search.MEASURED
    if name not in figures:
        recall = figures["eval/recall_at_10"]
        return report.Headline(
            "recall of the index", recall, note="share of the exact 10 nearest that it returns"
        )
    ends = (figures.get(f"{name}_low"), figures.get(f"{name}_high"))
    return report.Headline(
        "precision among the 10 nearest",
        figures[name],
        *ends,
        BOOTSTRAP,
        baselines=_baselines("search by raw pixels", figures.get(f"{name}_pixels")),
    )


def cluster_headline(context: Context) -> report.Headline | None:
    """Show the agreement with the labels beside that of raw pixels; without labels, the silhouette."""
    figures, name = context.state.metrics, image_clustering.MEASURED
    if name in figures:
        ends = (figures.get(f"{name}_low"), figures.get(f"{name}_high"))
        return report.Headline(
            "agreement with the labels (adjusted Rand)",
            figures[name],
            *ends,
            BOOTSTRAP,
            unit="",
            baselines=_baselines("clusters of raw pixels", figures.get("eval/ari_pixels")),
        )
    value = figures.get("eval/silhouette")
    return (
        None
        if value is None
        else report.Headline("silhouette", value, note="-1 to 1", unit="", ends=(-1.0, 1.0))
    )


def _baselines(name: str, value: float | None) -> list[report.Baseline]:
    return [] if value is None else [report.Baseline(name, value)]


def search_lead(context: Context) -> report.Section:
    """Show some photos, each with its nearest others."""
    plan, frame = context.plan, image_search.items(context.plan, context.dataset)
    labels = gallery.labelled(context.dataset)
    places = _queries(frame, by_label=labels)
    every = gallery.searched(plan, context.network, frame)
    cosines, rows = retrieval.nearest(every, every[places], NEIGHBOURS + 1)
    items = [
        _neighbours(
            plan,
            frame,
            place,
            near[near != place][:NEIGHBOURS],
            similarities[near != place][:NEIGHBOURS],
            labels,
        )
        for place, near, similarities in zip(places, rows, cosines, strict=True)
    ]
    return report.Section(
        f"Photos and their {NEIGHBOURS} nearest others, with the cosine", media=items, wide=True
    )


def _queries(frame: Any, *, by_label: bool) -> list[int]:
    """Choose photos to search for: one of each of the largest classes, else evenly spread ones."""
    if not by_label:
        spread = np.linspace(0, len(frame) - 1, min(QUERIES, len(frame)))
        return np.unique(spread.round().astype(int)).tolist()
    labels = frame["label"].to_numpy(object)
    largest = frame["label"].value_counts().index[:QUERIES]
    return [int(np.flatnonzero(labels == label)[0]) for label in largest]


def _neighbours(
    plan: Plan, frame: Any, place: int, near: np.ndarray, cosines: np.ndarray, labels: bool
) -> reports_media.Media:
    """Show a photo beside those near it."""
    rows = frame.iloc[[place, *near]]
    files = gallery.pictures(plan, rows)
    said = [f"{cosine:.3f}" for cosine in cosines]
    if labels:
        said = [f"{label} {cosine}" for label, cosine in zip(rows["label"].iloc[1:], said, strict=True)]
    titles = [str(rows["label"].iloc[0]) if labels else "photo", *said]
    views = [
        reports_media.View(title, file, sharp=reports_media.small(file))
        for title, file in zip(titles, files, strict=True)
    ]
    return reports_media.Media(str(rows["name"].iloc[0]), views=views)


def cluster_lead(context: Context) -> report.Section:
    """Show the photos nearest to the centre of each of the largest clusters."""
    plan, dataset = context.plan, context.dataset
    members, distances, _ = _clustered(context)
    titles = _titles(dataset, members)
    items = []
    for number in np.argsort(-np.bincount(members), kind="stable")[:QUERIES]:
        rows = np.flatnonzero(members == number)
        rows = rows[np.argsort(distances[rows], kind="stable")][: NEIGHBOURS + 1]
        files = gallery.pictures(plan, dataset.frame.iloc[rows])
        views = [
            reports_media.View(f"distance {distance:.3f}", file, sharp=reports_media.small(file))
            for distance, file in zip(distances[rows], files, strict=True)
        ]
        items.append(reports_media.Media(titles[number], views=views))
    return report.Section("The photos nearest to the centre of each cluster", media=items, wide=True)


def _clustered(context: Context) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return of each photo its cluster, its distance from the centre, and its normalised vector."""
    members = np.array(image_clustering.clusters(context.record)["members"])
    unit = unit_rows(gallery.vectors(context.plan, context.network, context.dataset.frame))
    centres = context.network.model.get_layer("clusters").centres.numpy()
    return members, np.linalg.norm(unit - centres[members], axis=1), unit


def _titles(dataset: Dataset, members: np.ndarray) -> list[str]:
    """Name clusters by their number and, where photos have labels, by the most frequent ones."""
    names = [f"cluster {number}" for number in range(int(members.max()) + 1)]
    if not gallery.labelled(dataset):
        return names
    labels = [dataset.frame["label"][members == number] for number in range(len(names))]
    return [f"{name}: {_frequent(of)}" for name, of in zip(names, labels, strict=True)]


def _frequent(labels: Any) -> str:
    """Name the labels that half of some photos have, at most three."""
    shares = labels.value_counts(normalize=True)
    enough = int((shares.cumsum() < 0.5).sum()) + 1
    return ", ".join(map(str, shares.index[: min(enough, 3)]))


def metrics(context: Context) -> Iterator[report.Section]:
    """Tabulate the metrics with what they mean."""
    figures = context.state.metrics
    counted = {"eval/items", "eval/near_duplicates", "eval/clusters"}
    least = getattr(context.plan.sections["model"], "near_duplicate", None)
    rows = [
        [name, int(figures[name]) if name in counted else figures[name], meaning.format(least=least)]
        for name, meaning in MEANINGS.items()
        if name in figures
    ]
    yield report.Section("Metrics", tables=[report.Table(("metric", "value", "meaning"), rows)])


def search(context: Context) -> Iterator[report.Section]:
    """Show how well classes are found, and which photos are near duplicates."""
    details = gallery.details(context.record)
    if details["precision"]:
        yield _precision(context.record, details["precision"])
    frame = image_search.items(context.plan, context.dataset)
    yield _duplicates(context.plan, context.record, frame, pd.DataFrame(details["duplicates"]))


def _precision(record: Record, by_label: Mapping[str, Mapping[str, float]]) -> report.Section:
    names = {
        image_search.MEASURED: "projected" if image_search.EMBEDDED in by_label else "embeddings",
        image_search.EMBEDDED: "embeddings",
        image_search.PIXELS: "raw pixels",
    }
    table = pd.DataFrame(by_label).rename(columns=names)
    table = table.sort_values(names[image_search.MEASURED], kind="stable")
    table = table.rename_axis("class").reset_index()
    record.tracked.table(table, "tables/precision_at_10.json")
    prose = "How many of the 10 training photos nearest to a test photo have its label."
    columns = tuple(table.columns)
    rows = [list(row) for row in table.itertuples(index=False)]
    report_table = report.Table(columns, rows, "By class, the hardest first", frozenset(columns[1:]))
    return report.Section("Precision at 10", prose=[prose], tables=[report_table])


def _duplicates(plan: Plan, record: Record, frame: Any, pairs: pd.DataFrame) -> report.Section:
    least, total = plan.sections["model"].near_duplicate, record.run.read().metrics["eval/near_duplicates"]
    if not len(pairs):
        return report.Section(
            "Near duplicates", prose=[f"None: no two photos have a cosine of {least:g} or more."]
        )
    names = frame["name"].to_numpy(object)
    table = pd.DataFrame(
        {"photo": names[pairs["first"]], "like": names[pairs["second"]], "cosine": pairs["cosine"]}
    )
    record.tracked.table(table, "tables/near_duplicates.json")
    few = pairs[["first", "second", "cosine"]].head(SHOWN_PAIRS)
    media = [
        _pair(plan, frame.iloc[[first, second]], cosine)
        for first, second, cosine in few.itertuples(index=False)
    ]
    prose = (
        f"{int(total):,d} pairs have a cosine of {least:g} or more; the {len(few)} most similar are shown."
    )
    listed = report.Table(
        tuple(table.columns), table.to_numpy(object).tolist(), "Near duplicates", folded=True
    )
    return report.Section("Near duplicates", prose=[prose], media=media, tables=[listed])


def _pair(plan: Plan, rows: Any, cosine: float) -> reports_media.Media:
    """Show two photos side by side: apart, a row of the page would end between them."""
    first, second = rows["name"]
    picture = contact_sheet.sheet(gallery.pictures(plan, rows), columns=2, side=160)
    return reports_media.Media(first, [second, f"cosine {cosine:.3f}"], picture)


def clusters(context: Context) -> Iterator[report.Section]:
    """Show each cluster as a contact sheet, and write the interactive map."""
    plan, record, dataset = context.plan, context.record, context.dataset
    result = image_clustering.clusters(record)
    members, distances, unit = _clustered(context)
    table = pd.DataFrame({"photo": dataset.frame["name"], "cluster": members, "distance": distances})
    record.tracked.table(table, "tables/clusters.json")
    _map(plan, record, dataset, unit, members)
    drawn = [
        _sheet(plan, dataset, members, distances, number, title)
        for number, title in enumerate(_titles(dataset, members))
    ]
    tables = [_counts(dataset, members)] if gallery.labelled(dataset) else []
    if result["tried"]:
        tried = [[int(k), value] for k, value in result["tried"].items()]
        tables.append(report.Table(("clusters", "silhouette"), tried, "Numbers of clusters that were tried"))
    prose = (
        "K-means on the normalised vectors. Each sheet goes from the centre of its cluster outwards. "
        "Distances are between vectors of length 1."
    )
    link = report.Link("Map of the photos", "projection.html", "in the folder of this report")
    links = [link] if (record.run.path / "projection.html").is_file() else []
    yield report.Section("Clusters", prose=[prose], figures=drawn, tables=tables, links=links)


def _sheet(
    plan: Plan, dataset: Dataset, members: np.ndarray, distances: np.ndarray, number: int, title: str
) -> reports_media.Picture:
    rows = np.flatnonzero(members == number)
    rows = rows[np.argsort(distances[rows], kind="stable")]
    # From the middle to the edge: evenly spread where there are more than are shown.
    sample = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), SHOWN_MEMBERS)).round().astype(int))]
    picture = contact_sheet.sheet(gallery.pictures(plan, dataset.frame.iloc[sample]))
    said = f"{len(rows):,d} photos, distance {distances[rows].min():.3f} to {distances[rows].max():.3f}"
    if gallery.labelled(dataset):
        shares = dataset.frame.iloc[rows]["label"].value_counts(normalize=True).head(3)
        said += ": " + ", ".join(f"{label} {report.percent(share, 0)}" for label, share in shares.items())
    return reports_media.Picture(title.capitalize(), picture, caption=said, mime="image/png", width=1000)


def _counts(dataset: Dataset, members: np.ndarray) -> report.Table:
    table = pd.crosstab(dataset.frame["label"], members)
    columns = ("label", *(f"cluster {number}" for number in table.columns))
    return report.Table(
        columns,
        [[label, *row] for label, row in zip(table.index, table.to_numpy().tolist(), strict=True)],
        "Photos by label and cluster",
    )


def _map(plan: Plan, record: Record, dataset: Dataset, unit: np.ndarray, members: np.ndarray) -> None:
    """Write the interactive map into the run and to MLflow."""
    rows = projection.chosen(len(unit), plan.request.seed)
    if len(rows) < 3:
        return
    frame = dataset.frame.iloc[rows]
    pictures = gallery.pictures(plan, frame)
    titles = _titles(dataset, members)
    groups = {"cluster": [titles[number] for number in members[rows]]}
    groups |= {"label": list(frame["label"])} if gallery.labelled(dataset) else {}
    page = projection.Projection(
        title=plan.name,
        caption=f"{len(rows):,d} of {len(unit):,d} photos: nearby ones are similar; "
        "large distances mean little.",
        points=[
            projection.Point(name, data=file) for name, file in zip(frame["name"], pictures, strict=True)
        ],
        layouts={"t-SNE": planes.flattened(unit[rows]), "PCA": planes.principal(unit[rows])},
        colours=groups,
    )
    path = record.run.path / "projection.html"
    projection.write(page, path)
    record.tracked.artifact(path)
