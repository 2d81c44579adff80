"""What the figures of translations show."""

import numpy as np
import pandas as pd

from models.figures import translation
from models.figures.drawing.canvas import DARK, LIGHT, svg


def test_an_attention_map_names_the_sub_words_and_shades_the_cells():
    weights = np.array([[1.0, 0.0, 0.0], [0.0, 0.25, 0.75]])
    for theme in (LIGHT, DARK):
        figure = translation.attention(weights, [" où", "s", ""], [" чт", ""], theme)
        (axes,) = figure.axes
        assert [label.get_text() for label in axes.get_xticklabels()] == ["␣où", "s", "(end)"]
        assert [label.get_text() for label in axes.get_yticklabels()] == ["␣чт", "(end)"]
        shades = axes.images[0].get_array()
        assert shades.shape == (2, 3, 3)
        assert np.ptp(shades[0, 1:], axis=0).max() == 0
        assert svg(figure).startswith(b"<?xml")


def test_buckets_are_drawn_with_their_counts():
    buckets = pd.DataFrame(
        {
            "characters": ["1 to 10", "11 to 20"],
            "examples": [1200, 3],
            "bleu": [40.0, 20.0],
            "chrf": [60.0, 50.0],
        }
    )
    figure = translation.by_length(buckets)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1 to 10\n(1,200)", "11 to 20\n(3)"]
    assert sorted(patch.get_height() for patch in axes.patches) == [20, 40, 50, 60]
