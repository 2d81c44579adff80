"""Boxes fitted to their image: what is kept, clipped, turned and left out."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageOps

from features.ingest.rules import BoxRules
from features.quarantine import RefusedError
from features.targets.boxes import BOXES, parsed
from features.targets.target import Fitted
from tests.faults.corpus import exif
from tests.features.sources.annotated import annotation

UPRIGHT = {"width": 48, "height": 40, "orientation": 1}


def fitted(*boxes: tuple[str, Any, Any, Any, Any], **rules: Any) -> Fitted | RefusedError:
    return BOXES.fit(annotation(*boxes), UPRIGHT, BoxRules(**rules))


def test_boxes_are_written_in_order_and_as_short_as_they_can_be() -> None:
    found = fitted(("dog", "3.0", "4", "13.25", "1e1"), ("cat, big", 0.1, 2, 11, 12))
    assert found == Fitted('"cat, big",0.1,2,11,12\ndog,3,4,13.25,10')
    assert isinstance(found, Fitted)
    assert parsed(found.text) == [("cat, big", 0.1, 2, 11, 12), ("dog", 3, 4, 13.25, 10)]
    assert fitted() == Fitted("")
    assert parsed("") == []


@pytest.mark.parametrize(
    ("box", "reason", "words"),
    [
        (("cat", 11, 2, 1, 12), "empty_box", "xmin 11, ymin 2, xmax 1, ymax 12; xmax must exceed xmin"),
        (("cat", 1, 12, 11, 2), "empty_box", "ymax exceed ymin"),
        (("cat", 1, 2, 1, 12), "empty_box", "xmax must exceed xmin"),
        (("cat", 48, 2, 60, 12), "outside_image", "lies wholly outside the image of 48 x 40 pixels"),
        (("cat", -9, 2, 0, 12), "outside_image", "wholly"),
        (("cat", 1, 41, 2, 50), "outside_image", "wholly"),
        (("cat", "", 2, 11, 12), "missing_value", "the box has no xmin"),
        (("", 1, 2, 11, 12), "missing_value", "the class is ''"),
        (("NA", 1, 2, 11, 12), "missing_value", "the class is 'NA'"),
        (("cat", "1px", 2, 11, 12), "not_a_number", "xmin is '1px'; expected a finite number"),
        (("cat", 1, 2, "nan", 12), "not_a_number", "xmax is 'nan'"),
        (("cat", 1, 2, "inf", 12), "not_a_number", "xmax is 'inf'"),
        (("cow", 1, 2, 11, 12), "unknown_class", "the class is 'cow'; expected 'cat', 'dog'"),
    ],
)
def test_boxes_that_cannot_be_used_are_left_out(box: Any, reason: str, words: str) -> None:
    good = ("dog", 3, 4, 13, 14)
    found = fitted(good, box, classes=("cat", "dog"))
    assert isinstance(found, Fitted)
    assert found.text == "dog,3,4,13,14"
    assert [(one.reason, one.row) for one in found.left_out] == [(reason, 2)]
    assert words in found.left_out[0].detail
    # Nothing says that an image of which no box is left shows no object.
    for refused in (
        fitted(box, classes=("cat", "dog")),
        fitted(good, box, classes=("cat", "dog"), bad_boxes="refuse_image"),
    ):
        assert isinstance(refused, RefusedError)
        assert refused.reason == reason
        assert refused.detail.startswith("box ")


def test_boxes_partly_outside_are_clipped_or_refused() -> None:
    found = fitted(("cat", -3, 2, 11, 12), ("dog", 3, 4, 100, 40.5))
    assert found == Fitted("cat,0,2,11,12\ndog,3,4,48,40", (), ("clipped_boxes",))
    assert fitted(("cat", 0, 0, 48, 40)) == Fitted("cat,0,0,48,40")
    found = fitted(("cat", -3, 2, 11, 12), ("dog", 3, 4, 48, 40), outside="refuse")
    assert isinstance(found, Fitted)
    assert found.text == "dog,3,4,48,40"
    assert [(one.reason, one.row) for one in found.left_out] == [("outside_image", 1)]
    assert "lies partly outside" in found.left_out[0].detail


@pytest.mark.parametrize(
    ("size", "orientation", "fits"),
    [
        (("48", "40"), 1, True),
        (("48.0", " 40"), 3, True),
        (("40", "48"), 1, False),
        (("40", "48"), 6, True),
        (("48", "40"), 6, True),
        (("500", "375"), 1, False),
        (("48", ""), 1, False),
    ],
)
def test_a_declared_size_must_be_the_images(size: tuple[str, str], orientation: int, fits: bool) -> None:
    text, measures = annotation(("cat", 1, 2, 11, 12), size=size), UPRIGHT | {"orientation": orientation}
    found = BOXES.fit(text, measures, BoxRules())
    assert isinstance(found, Fitted) == fits
    if isinstance(found, Fitted):
        turned = orientation == 6
        displayed = size[0] == "40"
        assert found.notes == (("other_orientation",) if turned and not displayed else ())
        stored = BOXES.fit(text, measures, BoxRules(boxes="stored"))
        assert isinstance(stored, Fitted)
        assert stored.notes == (("other_orientation",) if turned and displayed else ())
    else:
        assert found.reason == "wrong_size"
        assert f"declares {size[0]} x {size[1]} pixels; the image has 48 x 40" in found.detail
    assert isinstance(BOXES.fit(text, measures, BoxRules(sizes="ignore")), Fitted)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_stored_coordinates_are_turned_as_the_photo_is(orientation: int, tmp_path: Path) -> None:
    """The oracle is Pillow: a white rectangle in the stored pixels lies under the box once it is upright."""
    stored = Image.new("L", (48, 40))
    stored.paste(255, (5, 7, 20, 11))
    stored.save(tmp_path / "a.png", exif=exif(orientation))
    with Image.open(tmp_path / "a.png") as opened:
        expected = ImageOps.exif_transpose(opened).getbbox()
    measures = UPRIGHT | {"orientation": orientation}
    found = BOXES.fit(annotation(("cat", 5, 7, 20, 11)), measures, BoxRules(boxes="stored"))
    assert found == Fitted("cat," + ",".join(map(str, expected or ())))
    kept = BOXES.fit(annotation(("cat", 5, 7, 20, 11)), measures, BoxRules())
    assert kept == Fitted("cat,5,7,20,11")
