"""Figures: what they show, that no text overlaps or is cut off, that any label can be drawn."""

import io
import itertools
import re
import threading
import xml.etree.ElementTree as ElementTree

import matplotlib
import matplotlib.pyplot
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from PIL import Image

from models.evaluation.measures import classification as metrics
from models.figures import classification, curves
from models.figures.drawing import planes
from models.figures.drawing.canvas import DARK, LIGHT, png, svg
from models.figures.drawing.lettering import plain, shorten, typeset

HOSTILE = ("<script>", "a$b$c", "x\ny", "عربي", "中文", "cat 🐱", "\u202egnp.exe", "é" * 40, "%s {0}", "  ")


def evaluation(classes, seed=0, n=30):
    rng = np.random.default_rng(seed)
    targets = np.tile(np.arange(classes), n)
    logits = rng.normal(size=(len(targets), classes)) + 3 * np.eye(classes)[targets]
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = [f"a rather long label, number {i}" for i in range(classes)]
    return metrics.evaluate(targets, scores, labels, resamples=10)


def epochs(count, phases=("head", "fine-tune")):
    rows = []
    for i in range(count):
        phase = phases[i * len(phases) // count]
        rows.append({"phase": phase, "epoch": i, "train/loss": 1 / (i + 1), "validation/loss": 1.1 / (i + 1)})
    return rows


def drawn(figure):
    """Lay a figure out as for a file and return the visible texts with their boxes in pixels."""
    typeset(figure)
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    texts = [one for one in figure.findobj(Text) if one.get_visible() and one.get_text().strip()]
    boxes = [(one, one.get_window_extent(renderer)) for one in texts]
    return [(one, box) for one, box in boxes if _shown(one, figure)]


def _shown(text, figure):
    """Leave out tick labels beyond the axes' limits and those switched off: they are not drawn."""
    for axes in figure.axes:
        for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            for tick in axis.get_major_ticks() + axis.get_minor_ticks():
                if text is tick.label1:
                    inside = min(low, high) - 1e-9 <= tick.get_loc() <= max(low, high) + 1e-9
                    return inside and axes.axison and tick.label1.get_visible()
                if text is tick.label2:
                    return False
    return True


def assert_legible(figure):
    found = drawn(figure)
    assert found
    width, height = figure.bbox.width, figure.bbox.height
    for text, box in found:
        inside = box.x0 >= -0.5 and box.y0 >= -0.5 and box.x1 <= width + 0.5 and box.y1 <= height + 0.5
        assert inside, f"{text.get_text()!r} is cut off: {box} in {width}x{height}"
    for (one, a), (other, b) in itertools.combinations(found, 2):
        across, down = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        # A line box holds the room of ascenders and descenders, so a pixel of overlap is no touch.
        assert across <= 1 or down <= 1.5, f"{one.get_text()!r} overlaps {other.get_text()!r}"


@pytest.mark.parametrize("classes", [2, 3, 7, 20, 21, 50, 100])
def test_texts_neither_overlap_nor_leave_the_figure(classes):
    found = evaluation(classes)
    assert_legible(classification.confusion(found.confusion, found.labels))
    assert_legible(classification.per_class(found.per_class))
    assert_legible(classification.calibration(found.calibration, found.metrics["test/ece"]))


@pytest.mark.parametrize("count", [1, 2, 9, 60])
def test_learning_curves_are_legible_in_one_phase_and_in_several(count):
    assert_legible(curves.learning_curves(epochs(count, phases=("train",))))
    if count > 2:
        assert_legible(curves.learning_curves(epochs(count, phases=("head", "fine-tune", "polish"))))


def test_latency_and_gallery_are_legible():
    rng = np.random.default_rng(0)
    assert_legible(curves.latency(rng.lognormal(2.5, 0.3, 300)))
    images = [np.zeros((60 + 30 * i, 90, 3), np.uint8) for i in range(6)]
    captions = [f"{'folder/' * 9}{i}.jpg\ntrue {'a' * 50}\npredicted {'b' * 50}" for i in range(6)]
    assert_legible(planes.gallery(images, captions))


def test_confusion_shows_counts_and_shades_by_share_of_the_row():
    matrix = np.array([[90, 10, 0], [0, 5, 5], [0, 0, 7]])
    figure = classification.confusion(matrix, ("a", "b", "c"))
    written = {tuple(map(round, text.get_position())): text.get_text() for text in figure.axes[0].texts}
    assert written == {(0, 0): "90", (1, 0): "10", (1, 1): "5", (2, 1): "5", (2, 2): "7"}
    shades = figure.axes[0].images[0].get_array()
    np.testing.assert_allclose(shades[2, 2], to_rgb(LIGHT.good))
    np.testing.assert_allclose(shades[0, 2], to_rgb(LIGHT.paper))
    assert shades[1, 2].sum() < shades[0, 1].sum()  # half of b's row is darker than a tenth of a's


def test_confusion_counts_have_contrast_in_both_themes():
    def luminance(color):
        c = np.array(to_rgb(color))
        return float(
            np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722)
        )

    rng = np.random.default_rng(3)
    matrix = rng.integers(1, 100, (8, 8)) ** 2
    for theme in (LIGHT, DARK):
        axes = classification.confusion(matrix, list("abcdefgh"), theme).axes[0]
        for text in axes.texts:
            column, row = map(round, text.get_position())
            pair = sorted([luminance(axes.images[0].get_array()[row, column]), luminance(text.get_color())])
            assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.0


def test_per_class_shows_the_weakest_first_and_says_so():
    found = evaluation(60)
    axes = classification.per_class(found.per_class).axes[0]
    bars = [patch.get_width() for patch in axes.patches]
    assert bars == sorted(found.per_class["f1"])[: classification.MOST_BARS]
    assert "weakest 40 of 60" in axes.get_xlabel()


def test_calibration_bars_stand_at_the_accuracy_of_their_bin():
    found = evaluation(4)
    upper, lower = classification.calibration(found.calibration, 0.125).axes
    filled = found.calibration[found.calibration["count"] > 0]
    assert [bar.get_height() for bar in upper.patches] == pytest.approx(list(filled["accuracy"]))
    assert [bar.get_height() for bar in lower.patches] == list(found.calibration["count"])
    assert upper.get_legend().get_title().get_text() == "ECE 0.125"


def test_learning_curves_understand_both_ways_of_naming():
    ours = curves.learning_curves([{"phase": "a", "train/loss": 2.0, "validation/loss": 3.0}])
    keras = curves.learning_curves([{"phase": "a", "loss": 2.0, "val_loss": 3.0, "learning_rate": 0.1}])
    for figure in (ours, keras):
        lines = {line.get_label(): list(line.get_ydata()) for line in figure.axes[0].get_lines()}
        assert lines == {"train": [2.0], "validation": [3.0]}
        assert len(figure.axes) == 1


def test_latency_percentiles_are_those_of_numpy():
    values = np.arange(1.0, 101.0)
    lines = curves.latency(values).axes[0].get_lines()
    assert [line.get_xdata()[0] for line in lines] == list(np.percentile(values, [50, 95, 99]))


def test_kernels_keep_colour_and_sign():
    weights = np.zeros((1, 2, 3, 1))
    weights[0, 0, 0, 0], weights[0, 1, 2, 0] = 2.0, -2.0  # red up on the left, blue down on the right
    tile = classification.kernels(weights).axes[0].images[0].get_array()
    np.testing.assert_allclose(tile, [[[1.0, 0.5, 0.5], [0.5, 0.5, 0.0]]])
    gray = classification.kernels(np.array([[[[4.0]], [[-1.0]]]])).axes[0].images[0]
    np.testing.assert_allclose(gray.get_array(), [[1.0, 0.375]])
    assert len(classification.kernels(np.ones((3, 3, 3, 200))).axes) == 72  # 64 tiles in rows of 12


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_any_label_can_be_drawn(theme):
    scores = np.full((20, len(HOSTILE)), 1 / len(HOSTILE))
    found = metrics.evaluate(np.arange(20) % len(HOSTILE), scores, HOSTILE, resamples=10)
    for figure in (
        classification.confusion(found.confusion, HOSTILE, theme),
        classification.per_class(found.per_class, theme),
        planes.gallery([np.zeros((9, 9, 3), np.uint8)], ["\n".join(HOSTILE[:2])], theme),
        curves.learning_curves([{"phase": HOSTILE[1], "loss": float("nan")}] * 2 + epochs(4), theme),
        curves.latency([1.0, 2.0, 3.0], theme),
        classification.calibration(found.calibration, 0.1, theme),
    ):
        root = ElementTree.fromstring(svg(figure))
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        Image.open(io.BytesIO(png(figure, 50))).load()


def test_svg_reaches_for_nothing_outside():
    source = svg(classification.calibration(evaluation(3).calibration, 0.1)).decode()
    targets = re.findall(r'(?:href|src)="([^"]*)"|url\(([^)]*)\)', source)
    assert targets
    assert all(a.startswith("#") or b.startswith("#") for a, b in targets)


def test_dark_figures_are_transparent_and_light_ones_white():
    found = evaluation(3)
    for theme, corner in ((LIGHT, (255, 255, 255, 255)), (DARK, (255, 255, 255, 0))):
        image = Image.open(
            io.BytesIO(png(classification.confusion(found.confusion, found.labels, theme), 60))
        )
        assert image.convert("RGBA").getpixel((0, 0)) == corner


def test_drawing_in_threads_touches_no_global_state():
    found, before = evaluation(5), dict(matplotlib.rcParams)
    results = [b""] * 4

    def draw(at):
        results[at] = png(classification.confusion(found.confusion, found.labels), 60)

    threads = [threading.Thread(target=draw, args=(at,)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results[0]
    assert set(results) == {results[0]}
    assert dict(matplotlib.rcParams) == before
    assert matplotlib.pyplot.get_fignums() == []


@pytest.mark.parametrize("text", [*HOSTILE, "", "short", "x" * 500])
def test_shorten_gives_one_drawable_line_that_fits(text):
    for most in (1, 5, 18):
        line = shorten(text, most)
        assert 1 <= len(line) <= most
        assert "\n" not in line
        assert line == plain(line)


def test_shorten_keeps_both_ends():
    assert shorten("folder/subfolder/file_0001.jpg", 18) == "folder/subfo…1.jpg"
    assert shorten("ants", 18) == "ants"


def test_the_legibility_check_itself_finds_faults():
    figure = curves.latency([1.0, 2.0, 3.0])
    figure.text(0.5, 0.5, "one text over another")
    figure.text(0.5, 0.51, "one text over another")
    with pytest.raises(AssertionError, match="overlaps"):
        assert_legible(figure)
    figure = curves.latency([1.0, 2.0, 3.0])
    figure.text(0.98, 0.5, "far too long to stand here")
    with pytest.raises(AssertionError, match="cut off"):
        assert_legible(figure)
