"""Overlays: the colour stands where the heat is, in the right strength and the right way round."""

import io

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from models.figures.drawing import overlays
from models.figures.drawing.canvas import LIGHT, png


def explained(heat, seen, cell, **more):
    return overlays.Explanation(seen, np.array(heat, np.float32), cell, True, "cat", 0.9, **more)


def test_heat_covers_the_grey_picture_by_its_strength_and_sign():
    seen = np.full((8, 12, 3), 100, np.uint8)
    heat = np.zeros((8, 12))
    heat[1, 2], heat[6, 9] = 0.5, -0.25
    drawn = overlays.overlaid(explained(heat, seen, 1))
    grey = np.full(3, 100 / 255)
    for place, share, color in (
        ((1, 2), 1.0, LIGHT.good),
        ((6, 9), 0.5, LIGHT.bad),
        ((4, 4), 0.0, LIGHT.bad),
    ):
        cover = overlays.COVER * share
        wanted = (grey * (1 - cover) + np.array(to_rgb(color)) * cover) * 255
        np.testing.assert_allclose(drawn[place], wanted, atol=1)


@pytest.mark.parametrize("cell", [4, None])
def test_cells_lie_over_the_pixels_they_stand_for(cell):
    """Of 10 x 10 pixels in cells of 4, the last ones are cut; a map without cells spans the whole."""
    seen, heat = np.zeros((10, 10, 3), np.uint8), np.zeros((3, 3))
    heat[2, 0] = 1.0
    blue = overlays.overlaid(explained(heat, seen, cell))[..., 2]
    rows, columns = np.unravel_index(blue.argmax(), blue.shape)
    assert rows >= 8
    assert columns <= 2
    assert not blue[:4].any()


def test_a_sound_is_drawn_with_time_to_the_right_and_high_bands_on_top():
    decibels = np.full((20, 6), -80.0)
    decibels[15] = 0.0
    heat = np.zeros((20, 6))
    heat[3, 5] = 1.0
    found = explained(heat, decibels, 1, seconds=np.arange(20) / 10, hertz=np.arange(6) * 100.0)
    assert overlays.picture(found)[:, 15].min() == 255
    blue = overlays.overlaid(found).astype(int)
    assert np.unravel_index((blue[..., 2] - blue[..., 0]).argmax(), (6, 20)) == (0, 3)


def test_one_row_of_an_answer_is_read_without_what_fills_it_up():
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (10, 20, 30)).save(stream, "PNG")
    heat = np.zeros((2, 4, 4), np.float32)
    heat[1, :2, :2] = [[1, 2], [3, -4]]
    outputs = {
        "heatmap": heat,
        "rows": np.array([4, 2]),
        "columns": np.array([4, 2]),
        "stride": np.array([2, 4]),
        "label": np.array([b"dog", "käfer".encode()], object),
        "score": np.array([0.5, 0.25]),
        "seen_bytes": np.array([stream.getvalue()] * 2, object),
    }
    found = overlays.read(outputs, 1)
    assert (found.label, found.score, found.cell, found.signed, found.reach) == ("käfer", 0.25, 4, True, 4.0)
    assert found.heat.tolist() == [[1, 2], [3, -4]]
    assert found.seen[0, 0].tolist() == [10, 20, 30]


@pytest.mark.parametrize("sound", [False, True])
def test_a_figure_is_drawn_of_a_map_without_any_heat(sound):
    seen = np.full((6, 4), -100.0) if sound else np.zeros((6, 4, 3), np.uint8)
    heard = {"seconds": np.array([0.5]), "hertz": np.array([100.0])} if sound else {}
    drawn = png(overlays.figure(explained([[0.0]], seen, 6, **heard), "blank"))
    with Image.open(io.BytesIO(drawn)) as opened:
        assert opened.format == "PNG"
