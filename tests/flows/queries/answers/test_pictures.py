"""``servable predict`` for points and boxes: sentences, thresholds and drawn pictures.

The networks are those of the golden examples, untrained: what they answer is drawn all the same.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flows import cli
from flows.queries.question import sentence
from models import tasks
from models.export import export
from serving.client.client import Client
from serving.config import Options
from serving.server.server import Server
from tests.faults import corpus
from tests.models import places

NAMES = {"keypoint-detection": "points", "object-detection": "boxes"}
#: Those that are asked; maps of occlusion take the longest to make.
SIGNATURES = {"points": ("serving_default",), "boxes": ("serving_default", "detect")}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve an untrained network of each task."""
    base = tmp_path_factory.mktemp("served")
    for title, name in NAMES.items():
        (base / name).mkdir()
        task, labels, network = tasks.find(title), places.LABELS[title], places.small(title)
        functions = dict[str, Any]()
        for signature in SIGNATURES[name]:
            functions |= export.signatures(network, task, labels, signature)
        export.export(network, task, labels, base / name / "1", warmup=(), functions=functions)
    config = base / "models.config"
    entries = "\n".join(
        f'config {{ name: "{name}" base_path: "{base / name}" model_platform: "tensorflow" }}'
        for name in NAMES.values()
    )
    config.write_text(f"model_config_list {{\n{entries}\n}}\n")
    with Server(Options(port=0, model_config_file=config)) as running:
        yield running


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """Write a photo that EXIF turns upright: 90 by 160 pixels as displayed."""
    path = tmp_path / "photo.jpg"
    path.write_bytes(corpus.encode(corpus.picture(1, 160, 90), "JPEG", exif=corpus.exif(6)))
    return path


def run(server: Server, capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, list[str], str]:
    """Run ``servable predict`` in this process: exit code, lines, standard error."""
    with pytest.raises(SystemExit) as left:
        cli.main(["predict", *map(str, arguments), "--target", server.target])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return int(left.value.code or 0), captured.out.splitlines(), captured.err


def answered(server: Server, capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    code, (line,), err = run(server, capsys, *arguments, "--json")
    assert code == 0, err
    return json.loads(line)


@pytest.mark.parametrize("name", NAMES.values())
@pytest.mark.parametrize("ending", [".jpg", ".png"])
def test_answers_are_drawn_on_the_upright_photo(
    server: Server, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, ending: str
) -> None:
    out = tmp_path / "new" / f"drawn{ending}"
    further = ["--input", "score_threshold=0"] if name == "boxes" else []
    answer = answered(server, capsys, name, photo, "--out", out, *further)
    with Image.open(out) as opened:
        drawn = np.asarray(opened.convert("RGB"), np.float64)
        assert opened.format == {".jpg": "JPEG", ".png": "PNG"}[ending]
    height, width, _ = drawn.shape
    # Small photos are enlarged by a whole number.
    scale = width // 90
    assert (width, height) == (90 * scale, 160 * scale)
    if name == "points":
        marked = [(x, y) for x, y in answer["points"]]
        color = (255, 59, 107)
    else:
        assert answer["count"] == len(answer["boxes"]) > 0
        # The box drawn last lies on top: the middle of one of its sides has its colour.
        (xmin, _, xmax, ymax), place = answer["boxes"][-1], answer["classes"][-1]
        marked = [((xmin + xmax) / 2, ymax)]
        color = [(255, 59, 107), (47, 180, 255), (255, 192, 46)][place]
    for x, y in marked:
        column, row = (int(np.clip(side * scale, 1, last - 3)) for side, last in ((x, width), (y, height)))
        near = drawn[max(row - 4, 0) : row + 5, max(column - 4, 0) : column + 5].reshape(-1, 3)
        assert np.abs(near - color).sum(axis=1).min() < (120 if ending == ".jpg" else 1)


@pytest.mark.parametrize("name", NAMES.values())
def test_what_cannot_be_drawn_is_refused(
    server: Server, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    code, lines, err = run(server, capsys, name, photo, photo, "--out", tmp_path / "two.png")
    assert (code, lines) == (2, [])
    assert "--out draws the answer to one example; got 2 examples" in err
    code, _, err = run(server, capsys, name, photo, "--out", tmp_path / "drawn.docx")
    assert code == 2
    assert "got the ending .docx; expected such as .png or .jpg" in err
    assert not list(tmp_path.glob("*.docx")) + list(tmp_path.glob("two*"))


def test_a_threshold_goes_to_the_signature_that_takes_it(
    server: Server, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    every = answered(server, capsys, "boxes", photo, "--input", "score_threshold=0")
    assert every["count"] == 7
    least = every["scores"][3]
    some = answered(server, capsys, "boxes", photo, "--input", f"score_threshold={least + 1e-6}")
    assert some["count"] == sum(score > least + 1e-6 for score in every["scores"]) < 7
    assert some["boxes"] == every["boxes"][: some["count"]]
    none = answered(server, capsys, "boxes", photo, "--input", "score_threshold=0.999")
    assert (none["count"], none["boxes"], none["labels"]) == (0, [], [])
    apart = answered(
        server, capsys, "boxes", photo, "--input", "score_threshold=0", "--input", "iou_threshold=0"
    )
    assert apart["boxes"] != every["boxes"]
    code, _, err = run(server, capsys, "boxes", photo, "--input", "threshold=0.5")
    assert code == 2
    assert "has no input threshold" in err


def test_a_client_gives_thresholds_of_each_image(server: Server, photo: Path) -> None:
    """NaN stands for the recipe's; `docs/detection.md` shows the call."""
    raw, nan = photo.read_bytes(), float("nan")
    with Client(server.target) as client:
        usual = client.predict("boxes", image_bytes=[raw])
        both = client.predict(
            "boxes",
            image_bytes=[raw, raw],
            score_threshold=[nan, 0.0],
            iou_threshold=[nan, nan],
            signature="detect",
        )
    assert both["boxes"].shape == (2, 7, 4)
    assert (usual["count"][0], both["count"][1]) == (both["count"][0], 7)
    np.testing.assert_allclose(usual["boxes"][0], both["boxes"][0], atol=0.01)


def test_a_request_may_leave_thresholds_out_and_a_threshold_may_hold_for_all_images(
    server: Server, photo: Path
) -> None:
    raw = photo.read_bytes()
    with Client(server.target) as client:
        usual = client.predict("boxes", image_bytes=[raw, raw])
        bare = client.predict("boxes", image_bytes=[raw, raw], signature="detect")
        none = client.predict("boxes", image_bytes=[raw, raw], score_threshold=[1.0], signature="detect")
    for name, values in usual.items():
        np.testing.assert_array_equal(bare[name], values)
    assert none["count"].tolist() == [0, 0]
    assert not none["boxes"].any()


def test_a_line_lists_points_and_boxes(
    server: Server, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, (line,), _ = run(server, capsys, "points", photo)
    answer = answered(server, capsys, "points", photo)
    assert code == 0
    assert line == sentence(answer)
    (x, y), score = answer["points"][0], answer["scores"]["left_eye"]
    assert line.startswith(f"{photo}: left_eye ({x:.1f}, {y:.1f}) {score:.3f}; right_eye (")
    _, (line,), _ = run(server, capsys, "boxes", photo, "--input", "score_threshold=0")
    answer = answered(server, capsys, "boxes", photo, "--input", "score_threshold=0")
    assert line == sentence(answer)
    corners = ", ".join(f"{side:.1f}" for side in answer["boxes"][0])
    assert line.startswith(f"{photo}: {answer['labels'][0]} {answer['scores'][0]:.3f} ({corners}); ")
    _, (line,), _ = run(server, capsys, "boxes", photo, "--input", "score_threshold=0.999")
    assert line == f"{photo}: no object"


def test_long_answers_are_cut_short() -> None:
    boxes = {"labels": ["cat"] * 12, "scores": [0.5] * 12, "boxes": [[1, 2, 3, 4.25]] * 12, "input": "a.jpg"}
    assert sentence(boxes).count("cat 0.500 (1.0, 2.0, 3.0, 4.2)") == 10
    assert sentence(boxes).endswith("; and 2 more")
    points = {"scores": {str(n): 0.25 for n in range(68)}, "points": [[1, 2]] * 68, "input": "a.jpg"}
    assert sentence(points).startswith("a.jpg: 0 (1.0, 2.0) 0.250; 1 (1.0, 2.0) 0.250; ")
    assert sentence(points).endswith("; and 58 more")
