"""The report page: self-contained, safe whatever the labels are, true to its data."""

import base64
import io
import math
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from flows.reports import dataset
from flows.reports.pages import media
from flows.reports.pages import page as report
from flows.reports.pages.media import Axes, Media, Picture, View
from flows.reports.pages.page import Baseline, Code, Fact, Headline, Link, Report, Section, Table, render
from flows.reports.sections import parts
from models.evaluation.measures import classification

VOID = {"meta", "img", "source", "br", "wbr"}
HOSTILE = '"><script>alert(1)</script>\u202e{{7*7}}\x00\udcff&amp;'


class Page(HTMLParser):
    """Parse strictly: every element closed in order; collects elements, attributes and text."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.words = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def page(*parts, **fields):
    given = {
        "title": "pets",
        "kind": "image-classification",
        "verdict": "Gate passed",
        "tone": "good",
    } | fields
    return Page(render(Report(sections=parts, **given)))


def evaluation(labels, n=20, seed=0):
    rng = np.random.default_rng(seed)
    classes = len(labels)
    targets = np.tile(np.arange(classes), n)
    logits = rng.normal(size=(len(targets), classes)) + 2 * np.eye(classes)[targets]
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return classification.evaluate(targets, scores, labels, resamples=50)


def png(color, size=(8, 8)):
    stream = io.BytesIO()
    Image.new("RGB", size, color).save(stream, "PNG")
    return stream.getvalue()


def decoded(uri):
    mime, _, payload = uri.removeprefix("data:").partition(";base64,")
    return mime, base64.b64decode(payload, validate=True)


def full_report(labels):
    found = evaluation(labels)
    view = View(HOSTILE, png("blue"), "image/png", axes=Axes([(0.0, HOSTILE)], [(0.5, HOSTILE)]))
    shown = Media(HOSTILE, views=[view, view])
    wrong = [media.image(png("red"), f"{HOSTILE}.png", [f"true {labels[0]}"])]
    body = (
        parts.metrics(found),
        parts.classes(found),
        parts.calibration(found),
        parts.training([{"phase": HOSTILE, "loss": 1.0, "val_loss": 2.0}]),
        parts.kernels(np.ones((3, 3, 3, 4))),
        parts.mistakes(wrong, len(found.mistakes)),
        dataset.describe(
            {
                "found": 9,
                "reasons": {HOSTILE: 1},
                "classes": {name: {"train": 3, "test": 1} for name in labels},
            }
        ),
        parts.latency([1.0, 2.0, 3.0], "One by one."),
        parts.checks([["parity", HOSTILE, None, "passed"]]),
        parts.reproduction(f"name: {HOSTILE}", "servable train", 0, {HOSTILE: HOSTILE}, {"commit": HOSTILE}),
    )
    return Report(
        title=HOSTILE,
        kind=HOSTILE,
        verdict=HOSTILE,
        tone="good",
        sections=body,
        subtitle=HOSTILE,
        headline=parts.headline(found, baselines=[Baseline(HOSTILE, 0.25)]),
        lead=Section(HOSTILE, media=[Media(HOSTILE, cells=[(HOSTILE, HOSTILE)]), shown]),
        facts=[Fact(HOSTILE, HOSTILE)],
    )


@pytest.fixture(scope="module")
def hostile():
    return render(full_report(("<script>alert(1)</script>", HOSTILE, "a\nb", "../../x")))


def test_hostile_labels_never_become_markup(hostile):
    """I25: labels and file names are text, whatever they hold."""
    found = Page(hostile)
    assert found.all("script") == []
    assert '"><script>alert(1)</script>\\u202e{{7*7}}\\u0000\\udcff&amp;' in found.text
    assert not any(name.startswith("on") for _, attributes in found.elements for name in attributes)


def test_hostile_characters_are_escaped_and_encodable(hostile, tmp_path):
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", hostile)
    path = tmp_path / "report.html"
    report.write(full_report((HOSTILE, "b")), path)
    assert path.read_text("utf-8").startswith("<!doctype html>")
    assert [child.name for child in tmp_path.iterdir()] == ["report.html"]


def test_page_needs_nothing_but_itself(hostile):
    found = Page(hostile)
    assert found.all("link") == []
    sources = [
        a[k] for _, a in found.elements for k in ("src", "srcset", "href", "poster", "action") if k in a
    ]
    assert sources
    assert all(source.startswith(("data:image/", "data:audio/", "#")) for source in sources)
    style = re.search(r"<style>(.*?)</style>", hostile, re.S).group(1)
    assert "url(" not in style
    assert "@import" not in style
    policy = next(a["content"] for a in found.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:; media-src data:;")


def test_every_embedded_picture_is_whole(hostile):
    uris = [a.get("src") or a.get("srcset") for tag, a in Page(hostile).elements if tag in ("img", "source")]
    assert len(uris) > 8
    for mime, data in map(decoded, uris):
        if mime == "image/svg+xml":
            assert data.rstrip().endswith(b"</svg>")
        else:
            Image.open(io.BytesIO(data)).load()


def test_navigation_reaches_every_section(hostile):
    found = Page(hostile)
    targets = [a["href"].removeprefix("#") for a in found.all("a")]
    assert targets == [a["id"] for a in found.all("section")]
    assert len(set(targets)) == 10


def test_headline_shows_value_interval_and_verdict():
    headline = Headline(
        "test accuracy",
        0.954,
        0.915,
        0.9804,
        "95 % bootstrap interval",
        baselines=[Baseline("always a", 0.25)],
    )
    found = page(headline=headline, subtitle="Version 3", facts=[Fact("classes", 2)])
    for expected in (
        "95.4 %",
        "91.5 % to 98.0 %, 95 % bootstrap interval",
        "always a: 25.0 %",
        "Version 3",
        "Gate passed",
        "classes 2",
    ):
        assert expected in found.text
    assert "left:91.50%;width:6.54%" in [a.get("style") for a in found.all("i")]
    assert {"class": "pill good"} in found.all("p")


def test_sections_carry_any_task_without_template_changes():
    audio, text = Media("a.wav", ["said “yes”"], b"RIFF", "audio/wav"), Media("line 7", text="ein <Satz>")
    found = page(
        Section(
            "Search",
            ["Two paragraphs.", "Here."],
            tables=[Table(("q", "map"), [["x", 0.5]])],
            media=[audio, text],
        )
    )
    assert decoded(found.all("audio")[0]["src"]) == ("audio/wav", b"RIFF")
    for expected in ("Search", "Two paragraphs. Here.", "q map x 0.500", "said “yes”", "ein <Satz>"):
        assert expected in found.text


def test_dark_pages_get_the_dark_figure():
    found = page(
        Section(
            "S",
            figures=[
                Picture("P", b"<svg/>", b"<svg id='d'/>", "c"),
                Picture("Q", png("red"), mime="image/png"),
            ],
        )
    )
    assert [decoded(a["srcset"])[1] for a in found.all("source")] == [b"<svg id='d'/>"]
    assert found.all("source")[0]["media"] == "(prefers-color-scheme: dark)"
    assert [decoded(a["src"])[1] for a in found.all("img")] == [b"<svg/>", png("red")]
    assert [a["alt"] for a in found.all("img")] == ["P", "Q"]


def test_figures_too_large_as_svg_become_png():
    matrix = np.random.default_rng(0).integers(0, 50, (70, 70))
    from models.figures import classification as figures

    shown = media.picture(
        "big", lambda theme: figures.confusion(matrix, [f"name {i}" for i in range(70)], theme)
    )
    assert shown.mime == "image/png"
    light, dark = (Image.open(io.BytesIO(data)) for data in (shown.light, shown.dark))
    assert light.size == dark.size
    assert light.tobytes() != dark.tobytes()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (math.nan, "–"),
        (1234567, "1,234,567"),
        (np.int64(1000), "1,000"),
        (0.95444, "0.954"),
        (0.0, "0.000"),
        (np.float32(0.5), "0.500"),
        (12.345, "12.3"),
        (999.96, "1,000"),
        (12345.678, "12,350"),
        (-0.5, "-0.500"),
        (1.2e-7, "1.2e-07"),
        (math.inf, "inf"),
        (True, "True"),
        ("x", "x"),
    ],
)
def test_cells(value, shown):
    assert report.cell(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(1.0, "100.0 %"), (0.99996, "99.9 %"), (0.5, "50.0 %"), (0.0, "0.0 %")]
)
def test_percent_never_claims_all(value, shown):
    assert report.percent(value) == shown


def test_number_columns_are_aligned_right_and_shares_get_bars():
    table = Table(
        ("class", "recall", "note"), [["a", 0.25, "x"], ["b", None, 1]], shares=frozenset({"recall"})
    )
    found = page(Section("S", tables=[table]))
    assert [a.get("class") for a in found.all("th")] == [None, "number", None]
    assert [a.get("class") for a in found.all("td")] == [None, "number", None, None, "number", "number"]
    assert [a["style"] for a in found.all("i")] == ["width:25.0%"]


def test_a_phone_stacks_what_it_has_no_room_for():
    short = Table(("class", "recall", "F1"), [["a", 0.25, 0.5]])
    long = Table(("metric", "value", "meaning"), [["x", 0.25, "recall averaged over the classes"]])
    found = page(Section("S", tables=[short, long]))
    assert [a["class"].split() for a in found.all("table")] == [["narrow"], ["narrow", "stacked", "hoisted"]]
    assert [a["data-label"] for a in found.all("td")] == [
        "class",
        "recall",
        "F1",
        "metric",
        "value",
        "meaning",
    ]


def test_views_of_an_example_stand_in_one_row_with_their_axes():
    axes = Axes([(0.0, "0"), (0.5, "1")], [(0.25, "440")])
    views = [View("photo", png("red"), "image/png"), View("heatmap", png("blue"), "image/png", axes=axes)]
    found = page(Section("S", media=[Media("x.wav", views=views)], wide=True))
    assert "--count:2" in [a.get("style") for a in found.all("div")]
    assert [a["alt"] for a in found.all("img")] == ["x.wav: photo", "x.wav: heatmap"]
    assert "photo Hz 440 0 1 s heatmap" in found.text


def test_marks_of_a_sound_are_its_seconds_and_hertz():
    axes = media.sound_axes(2.0, np.linspace(100, 4000, 40))
    assert list(axes.across) == [(0.0, "0"), (0.25, "0.5"), (0.5, "1"), (0.75, "1.5"), (1.0, "2")]
    assert [text for _, text in axes.up] == ["100", "1,400", "2,700", "4,000"]
    assert [place for place, _ in axes.up] == pytest.approx([0.0125, 0.3375, 0.6625, 0.9875])


def test_cells_of_a_row_are_named_and_links_are_only_followed_by_the_reader():
    link = Link("The run", "http://127.0.0.1:5000/#/runs/1", "start it")
    found = page(Section("S", media=[Media("row 7", cells=[("age", "71"), ("sex", "")])], links=[link]))
    assert "age 71 sex – row 7" in found.text
    assert {"href": link.address, "rel": "noreferrer"} in found.all("a")
    assert not [a for tag, a in found.elements if tag != "a" and "href" in a]


def test_what_is_rarely_read_is_folded():
    section = parts.reproduction("name: cnn", "", 3, {"python": "3.12"}, {"weights": "ab12"})
    found = page(section)
    assert len(found.all("details")) == 3
    assert "Seed 3." in found.text


def test_gallery_images_are_upright_and_small():
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    picture = Image.new("RGB", (800, 400), "white")
    picture.paste("black", (0, 0, 400, 400))
    picture.save(stream, "JPEG", exif=exif)
    shown = Image.open(io.BytesIO(media.image(stream.getvalue(), "x").data))
    assert shown.size == (160, 320)
    assert shown.getpixel((80, 40))[0] < 40
    assert shown.getpixel((80, 280))[0] > 215


def test_small_images_keep_their_pixels():
    item = media.image(png((1, 2, 3)), "x")
    assert item.sharp
    assert Image.open(io.BytesIO(item.data)).getpixel((4, 4)) == (1, 2, 3)


def test_undecodable_image_leaves_a_gap_not_an_error():
    item = media.image(b"not an image", "x.jpg", ["why"])
    assert item.data is None
    assert "no picture x. jpg why" in page(Section("S", media=[item])).text


def test_metrics_section_tells_values_and_meanings():
    found = evaluation(("a", "b", "c"))
    rows = {row[0]: row[1:] for row in parts.metrics(found).tables[0].rows}
    assert next(iter(rows)) == "test/accuracy"
    assert set(rows) == set(found.metrics)
    assert rows["test/macro_f1"][0] == found.metrics["test/macro_f1"]
    assert "2 highest" in rows["test/top_k_accuracy"][1]
    assert all(meaning for _, meaning in rows.values())
    two = {row[0]: row[1:] for row in parts.metrics(evaluation(("a", "b"))).tables[0].rows}
    assert two["test/top_k_accuracy"][1] == "equal to accuracy: of two classes, k is 1"
    assert two["test/top_k_accuracy"][0] == two["test/accuracy"][0]


def test_dataset_section_reconciles():
    card = {
        "found": 12,
        "accepted": 9,
        "quarantined": 2,
        "skipped": 1,
        "reasons": {"empty": 1, "truncated": 1},
    }
    classes = {"ants": {"train": 3, "test": 2}, "bees": {"train": 4}}
    section = dataset.describe(card | {"classes": classes})
    assert section.tables[0].columns == ("class", "train", "test", "all")
    assert section.tables[0].rows == [["ants", 3, 2, 5], ["bees", 4, 0, 4], ["all", 7, 2, 9]]
    assert [(fact.name, fact.value) for fact in section.facts] == [
        ("found", 12),
        ("accepted", 9),
        ("quarantined", 2),
        ("skipped", 1),
    ]
    assert [row[:2] for row in section.tables[1].rows] == [["empty", 1], ["truncated", 1]]


def test_classes_section_lists_the_confusions_by_frequency():
    labels = [f"c{i}" for i in range(12)]
    found = evaluation(labels)
    table = parts.classes(found).tables[1]
    true, guess, times = table.rows[0]
    assert times == max(found.confusion[i, j] for i in range(12) for j in range(12) if i != j)
    assert found.confusion[labels.index(true), labels.index(guess)] == times


@pytest.mark.parametrize(
    ("shown", "total", "text"),
    [(0, 0, "None: every"), (1, 1, "1 test example was"), (2, 9, "Shown are the 2")],
)
def test_mistakes_section_counts(shown, total, text):
    section = parts.mistakes([Media("x")] * shown, total)
    assert text in section.prose[0]


def test_loss_as_the_main_metric_has_no_percentage():
    rng = np.random.default_rng(0)
    found = classification.evaluate(
        rng.integers(0, 2, 30), np.full((30, 2), 0.5), ("a", "b"), main="loss", resamples=10
    )
    assert parts.headline(found).unit == "nats"
    assert parts.headline(found).written(0.6931) == "0.693 nats"
    assert list({row[0] for row in parts.metrics(found).tables[0].rows}) != []


def test_equal_data_give_an_equal_page():
    made = datetime(2026, 1, 2, tzinfo=UTC)
    first, second = (
        Report("m", "t", "v", "plain", (Section("S", code=(Code("x: 1"),)),), created=made) for _ in range(2)
    )
    assert render(first) == render(second)
    assert "2026-01-02 00:00 UTC" in render(first)
