"""The page in a real browser, against models whose answers are known."""

import base64
import importlib.resources
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
import soundfile
from PIL import Image, ImageDraw

from serving.config import Options
from serving.rest.page import document
from serving.server.server import Server
from tests import browser
from tests.browser import Browser, Page
from tests.serving.rest import page_models

pytestmark = pytest.mark.skipif(browser.executable() is None, reason="no chromium on this machine")

CHOOSER = "#form input[type=file]"
SUBMIT = "#form button[type=submit]"
ANSWERED = "/Answered/.test(document.querySelector('#status').textContent)"
#: Phone and desktop, light and dark.
LOOKS = [(390, False), (390, True), (1280, False), (1280, True)]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """A folder with a photo of 80 by 60 pixels in several forms, and a tone of 440 Hz."""
    folder = tmp_path_factory.mktemp("files")
    photo = Image.new("RGB", (80, 60), (40, 90, 160))
    pen = ImageDraw.Draw(photo)
    pen.rectangle((0, 0, 15, 60), fill=(220, 30, 30))
    pen.ellipse((30, 10, 60, 40), fill=(240, 240, 90))
    photo.save(folder / "cat's photo.png")
    photo.save(folder / "photo.avif")
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * 11025) / 11025)
    soundfile.write(folder / "tone.flac", tone, 11025)
    soundfile.write(folder / "tone.wav", np.stack([tone, tone], 1), 11025, subtype="PCM_16")
    soundfile.write(folder / "deep.wav", tone, 11025, subtype="PCM_24")
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("page")
    page_models.save_all(root / "models")
    entries = [
        f'config {{ name: "{folder.name}" base_path: "{folder}" model_platform: "tensorflow" '
        f"model_version_policy {{ all {{}} }} {label} }}"
        for folder in sorted((root / "models").iterdir())
        for label in ['version_labels { key: "old" value: 1 }' if folder.name == "line" else ""]
    ]
    (root / "models.config").write_text(f"model_config_list {{ {' '.join(entries)} }}")
    return root / "models.config"


@pytest.fixture(scope="module")
def server(models) -> Iterator[Server]:
    options = Options(
        port=0, rest_port=0, model_config_file=models, labels_for_unavailable=True, load_threads=2
    )
    with Server(options) as running:
        yield running


@pytest.fixture(scope="module")
def chromium(tmp_path_factory, files) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile"), files / "tone.wav") as running:
        yield running


@pytest.fixture
def page(chromium, server) -> Iterator[Page]:
    """A page that must ask nobody but the server, and must not complain."""
    made = chromium.page()
    yield made
    chromium.listen(0.05)
    own = (f"http://{server.rest_target}/", "data:", "blob:", "about:")
    assert [url for url in made.requests if not url.startswith(own)] == []
    assert made.complaints == []
    made.close()


def visit(page: Page, server: Server, model: str) -> None:
    page.open(f"http://{server.rest_target}/#{model}")
    page.wait_for(f"!!document.querySelector({json.dumps(SUBMIT)})")


def answered(page: Page) -> str:
    """Wait for an answer and return what is shown of it."""
    page.wait_for(f"{ANSWERED} || !document.querySelector('#problem').hidden")
    assert page.run(ANSWERED), page.text("#problem")
    return page.text("#shown")


def ask(page: Page, *, press: str = SUBMIT) -> str:
    page.run("document.querySelector('#status').textContent = ''")
    page.click(press)
    return answered(page)


def send(page: Page, file: Path) -> str:
    page.run("document.querySelector('#status').textContent = ''")
    page.choose_file(CHOOSER, file)
    return answered(page)


def choose(page: Page, signature: str) -> None:
    page.run("document.querySelector('#status').textContent = ''")
    page.run(
        "[...document.querySelectorAll('#signatures label')]"
        f".find((one) => one.textContent === {json.dumps(signature)}).click()"
    )


def all_of(page: Page, selector: str, value: str) -> list:
    """Return a value of every element that fits a selector."""
    return page.run(f"[...document.querySelectorAll({json.dumps(selector)})].map((one) => {value})")


def test_boxes_are_drawn_in_the_photos_own_pixels(page, server, files) -> None:
    visit(page, server, "objects")
    shown = send(page, files / "cat's photo.png")
    assert shown.startswith("1 object")
    assert "cat 0.75" in shown
    assert all_of(page, ".stage svg", "one.getAttribute('viewBox')") == ["0 0 80 60"]
    left, top, right, bottom = (f"{side:.0f}" for side in page_models.BOX)
    drawn = all_of(page, ".stage path", "one.getAttribute('d')")
    assert set(drawn) == {f"M{left} {top}H{right}V{bottom}H{left}Z"}


def test_points_are_drawn_where_they_are(page, server, files) -> None:
    visit(page, server, "faces")
    assert "nose" in send(page, files / "cat's photo.png")
    drawn = all_of(page, ".stage path", "one.getAttribute('d').split('h')[0]")
    assert set(drawn) == {f"M{x:.0f} {y:.0f}" for x, y in page_models.POINTS}


def test_a_heatmap_lies_where_the_network_looked_and_has_a_slider(page, server, files) -> None:
    visit(page, server, "photos")
    assert "80" in send(page, files / "cat's photo.png")
    choose(page, "occlusion")
    assert answered(page).startswith("cat")
    # The network saw the square in the middle, 60 of 80 pixels wide.
    sides = "['left', 'top', 'width', 'height'].map((side) => parseFloat(one.style[side]))"
    assert all_of(page, "canvas.over", sides) == [pytest.approx([12.5, 0, 75, 100])]
    pixels = "Array.from(one.getContext('2d').getImageData(0, 0, 2, 2).data)"
    cells = np.array(all_of(page, "canvas.over", pixels)).reshape(2, 2, 4)
    np.testing.assert_allclose(cells[..., 3] / cells[..., 3].max(), np.abs(page_models.HEAT), atol=0.01)
    assert cells[0, 1, 2] > cells[0, 1, 0], "what speaks for the label is blue"
    assert cells[1, 0, 0] > cells[1, 0, 2], "what speaks against it is orange"
    page.run(
        "for (const one of document.querySelectorAll('input[type=range]')) "
        "{ one.value = 20; one.dispatchEvent(new Event('input')); }"
    )
    assert all_of(page, "canvas.over", "one.style.opacity") == ["0.2"]


def test_a_label_to_explain_can_be_named(page, server, files) -> None:
    visit(page, server, "photos")
    send(page, files / "cat's photo.png")
    choose(page, "occlusion")
    answered(page)
    page.run("document.querySelector('#form details').open = true")
    page.fill("#field-label", "dog")
    assert ask(page).startswith("dog")


def test_photos_are_sent_as_they_are_or_as_jpeg(page, server, files) -> None:
    visit(page, server, "photos")
    send(page, files / "cat's photo.png")
    sent = base64.b64decode(page.body()["inputs"]["image_bytes"][0]["b64"])
    assert sent == (files / "cat's photo.png").read_bytes()
    assert all_of(page, "#resend a", "one.download") == []
    # TensorFlow does not read AVIF, the browser does: a JPEG is sent, and offered.
    assert "80" in send(page, files / "photo.avif")
    sent = base64.b64decode(page.body()["inputs"]["image_bytes"][0]["b64"])
    with Image.open(io.BytesIO(sent)) as photo:
        assert (photo.format, photo.size) == ("JPEG", (80, 60))
    assert all_of(page, "#resend a", "one.download") == ["photo.jpg"]


@pytest.mark.parametrize(
    "event", ["DragEvent('drop', { dataTransfer", "ClipboardEvent('paste', { clipboardData"]
)
def test_files_are_dropped_and_pasted(page, server, files, event) -> None:
    visit(page, server, "photos")
    content = base64.b64encode((files / "cat's photo.png").read_bytes()).decode()
    page.run(
        "const held = new DataTransfer();"
        f"const bytes = Uint8Array.from(atob('{content}'), (one) => one.charCodeAt(0));"
        "held.items.add(new File([bytes], 'x.png'));"
        f"document.querySelector('.drop').dispatchEvent(new {event}: held, bubbles: true }})); 0"
    )
    assert "80" in answered(page)
    assert page.body()["inputs"]["image_bytes"][0]["b64"] == content


def test_neighbours_are_thumbnails_where_the_model_has_pictures(page, server, files) -> None:
    visit(page, server, "gallery")
    assert "red.jpg" in send(page, files / "cat's photo.png")
    page.wait_for("document.querySelector('.thumbs img').naturalWidth === 32")
    assert all_of(page, ".thumbs img", "[one.alt, one.naturalWidth]") == [["red.jpg", 32], ["blue.jpg", 0]]
    assert page.body() == {"signature_name": "thumbnail", "inputs": {"id": ["a1", "b2"]}}


def test_scores_of_windows_are_strips_over_time(page, server, files) -> None:
    visit(page, server, "clips")
    assert "Scores over time" in send(page, files / "tone.wav")
    pixels = "[one.width, ...[0, 1].map((x) => one.getContext('2d').getImageData(x, 0, 1, 1).data[3])]"
    assert all_of(page, ".strip canvas", pixels) == [[2, 51, 255], [2, 204, 0]]


def test_the_camera_takes_a_photo(page, server) -> None:
    visit(page, server, "photos")
    camera = "#form .drop button"
    page.click(camera)
    page.wait_for("(document.querySelector('video') || {}).videoWidth > 0")
    assert "width" in ask(page, press=camera)
    sent = base64.b64decode(page.body()["inputs"]["image_bytes"][0]["b64"])
    with Image.open(io.BytesIO(sent)) as photo:
        assert photo.format == "JPEG"
        assert min(photo.size) > 100


@pytest.mark.parametrize("name", ["tone.wav", "tone.flac", "deep.wav"])
def test_sounds_are_sent_as_wav_of_16_bits_at_their_own_rate(page, server, files, name) -> None:
    visit(page, server, "sounds")
    shown = send(page, files / name)
    wanted, rate = soundfile.read(files / name, always_2d=True)
    sent = base64.b64decode(page.body()["inputs"]["audio_bytes"][0]["b64"])
    with soundfile.SoundFile(io.BytesIO(sent)) as sound:
        assert (sound.format, sound.subtype, sound.samplerate) == ("WAV", "PCM_16", rate)
        np.testing.assert_allclose(sound.read(always_2d=True), wanted, atol=1.01 / 32768)
    if name == "tone.wav":
        assert sent == (files / name).read_bytes()
    assert "440" in shown


def test_the_microphone_is_heard(page, server, chromium) -> None:
    visit(page, server, "sounds")
    record = "#form .drop button"
    page.click(record)
    page.wait_for(f"document.querySelector({json.dumps(record)}).textContent.startsWith('Stop')")
    chromium.listen(1.5)
    ask(page, press=record)
    sent = base64.b64decode(page.body()["inputs"]["audio_bytes"][0]["b64"])
    samples, rate = soundfile.read(io.BytesIO(sent), always_2d=True)
    heard = np.abs(np.fft.rfft(samples[:, 0]))
    assert 430 < np.argmax(heard) * rate / len(samples) < 450
    assert len(samples) > 0.5 * rate


def test_notes_are_drawn_as_a_piano_roll(page, server, files) -> None:
    visit(page, server, "music")
    assert send(page, files / "tone.wav").startswith("3 notes")
    drawn = all_of(page, ".roll .note", "['x', 'y', 'width'].map((side) => +one.getAttribute(side))")
    for (x, y, width), (onset, offset, pitch, _) in zip(drawn, page_models.NOTES, strict=False):
        assert (x, width) == pytest.approx((onset, offset - onset))
        # A key's row is one high, higher keys above lower ones.
        assert drawn[0][1] - y == pytest.approx(pitch - page_models.NOTES[0][2])
    assert all_of(page, ".roll", "one.getAttribute('aria-label')") == ["3 notes from C4 to C5 in 2 seconds"]


def test_spoken_words_play_from_where_they_begin(page, server, files) -> None:
    visit(page, server, "speech")
    assert send(page, files / "tone.wav").startswith("one two")
    assert all_of(page, ".spoken button", "one.firstChild.data") == ["one", "two"]
    page.click(".spoken li:last-child button")
    page.wait_for("document.querySelector('audio').currentTime >= 0.25")


def test_a_translation_is_the_headline_and_its_attention_a_matrix(page, server) -> None:
    visit(page, server, "translation")
    page.fill("#form textarea", "çà 素\n\"'%s\\")
    assert ask(page).startswith("le çà 素\n\"'%s\\")
    choose(page, "attention")
    answered(page)
    assert all_of(page, ".grid [scope=row]", "one.textContent") == ["le", "chat"]
    assert all_of(page, ".grid [scope=col]", "one.textContent") == ["the", "cat", "sits"]


def test_classes_are_bars_and_tokens_are_coloured(page, server) -> None:
    visit(page, server, "texts")
    page.fill("#form textarea", "good film")
    assert "praise" in ask(page)
    assert all_of(page, ".bars i", "one.style.width") == ["90%", "10%"]
    choose(page, "explain")
    answered(page)
    weights = "[one.textContent, one.className, +one.style.getPropertyValue('--weight')]"
    assert all_of(page, ".tokens span", weights) == [["good", "", 1], ["film", "against", 0.25]]


def test_a_row_is_a_form_and_empty_cells_are_missing(page, server) -> None:
    visit(page, server, "rows")
    assert all_of(page, "#form label", "one.textContent") == ["age", "photo type", "rooms 2"]
    page.click(SUBMIT)
    page.wait_for("!document.querySelector('#problem').hidden")
    assert page.text("#problem") == "Enter a value for age."
    page.fill("#field-age", "39.5")
    page.fill("#field-photo_type", "colour")
    shown = ask(page)
    assert shown.startswith("39.5 colour")
    assert "missing\nrooms 2" in shown


def test_versions_and_labels_are_chosen_and_stand_in_the_address(page, server) -> None:
    visit(page, server, "line")
    assert all_of(page, "#version option", "one.textContent") == [
        "current",
        "version 2",
        "version 1",
        "old (version 1)",
    ]
    for choice, value in (("", "6"), ("versions/1", "4"), ("labels/old", "4")):
        page.run(
            f"(one => {{ one.value = '{choice}'; one.dispatchEvent(new Event('change')) }})"
            "(document.querySelector('#version'))"
        )
        page.wait_for(
            f"location.hash === '#line{'/' * bool(choice)}{choice}' && !!document.querySelector('{SUBMIT}')"
        )
        page.fill("#field-x", "4")
        assert ask(page).startswith(value)


@pytest.mark.parametrize(
    ("model", "field", "value"),
    [
        ("photos", None, None),
        ("translation", "textarea", 'l\'été 50 % \\n "ok"'),
        ("rows", "#field-age", "3"),
    ],
)
def test_the_request_from_elsewhere_gets_the_same_answer(page, server, files, model, field, value) -> None:
    visit(page, server, model)
    if field is None:
        send(page, files / "cat's photo.png")
    else:
        page.fill(f"#form {field}", value)
        ask(page)
    curl, python = (page.run(f"document.querySelector('#{name}').textContent") for name in ("curl", "python"))
    assert shutil.which("curl"), "curl is what the page names"
    ended = [
        subprocess.run(command, cwd=files, capture_output=True, text=True, timeout=60, check=False)
        for command in (["sh", "-c", curl], [sys.executable, "-c", python])
    ]
    assert [one.returncode for one in ended] == [0, 0], [one.stderr for one in ended]
    answers = [json.loads(ended[0].stdout)["outputs"], eval(ended[1].stdout, {"nan": np.nan})]
    shown = json.loads(page.run("document.querySelector('#raw pre').textContent"))
    for answer in answers:
        assert {name: column[0] for name, column in answer.items()} == shown if len(shown) > 1 else answer


def test_errors_are_told_without_the_graphs_own_names(page, server) -> None:
    visit(page, server, "failing")
    page.fill("#form textarea", "x")
    page.click(SUBMIT)
    page.wait_for("!document.querySelector('#problem').hidden")
    told = page.text("#problem")
    assert "the text is too long" in told
    assert "{{" not in told
    page.open(f"http://{server.rest_target}/#nobody")
    page.wait_for("!document.querySelector('#problem').hidden")
    assert page.text("#problem") == "This server has no model nobody."
    page.open(f"http://{server.rest_target}/#line/versions/9")
    page.wait_for("!document.querySelector('#problem').hidden")
    assert all_of(page, "#version option", "one.value")[1:] == [
        "versions/2",
        "versions/1",
        "labels/old",
        "versions/9",
    ]
    assert all("status of 4" in complaint for complaint in page.complaints)
    page.complaints.clear()


def test_names_and_answers_are_text_and_never_markup(page, server) -> None:
    visit(page, server, "translation")
    page.fill("#form textarea", "<img src=x onerror=alert(1)><b>")
    assert "<b>" in ask(page)
    page.open(f"http://{server.rest_target}/#{quote('<img src=x onerror=alert(1)>', safe='')}")
    page.wait_for("!document.querySelector('#problem').hidden")
    assert page.run("document.querySelectorAll('main img, header img, b').length") == 0
    page.complaints.clear()


def test_it_is_worked_by_the_keyboard_alone(page, server) -> None:
    visit(page, server, "line")
    page.run("document.body.focus()")
    seen = []
    for _ in range(5):
        page.press("Tab")
        seen.append(page.run("document.activeElement.id || document.activeElement.textContent"))
        outline = page.run("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", seen
    assert seen == ["skip", "model", "version", "field-x", "Ask"]
    page.fill("#field-x", "8")
    page.press("Enter")
    assert answered(page).startswith("8")


def audited(page: Page) -> list:
    """Return what axe finds, by its impact; it must have looked at something."""
    axe = pytest.importorskip("axe_core_python", reason="axe-core-python is not installed")
    script = importlib.resources.files(axe) / "axe.min.js"
    page.run(script.read_text(encoding="utf-8"))
    result = page.run(
        "axe.run().then(({ passes, violations }) => "
        "[passes.length, violations.map(({ impact, id, nodes }) => [impact, id, nodes[0].html])])"
    )
    assert result[0] > 15
    return result[1]


@pytest.mark.parametrize(
    ("model", "signature"),
    [
        ("objects", None),
        ("photos", "occlusion"),
        ("music", None),
        ("speech", None),
        ("texts", "explain"),
        ("rows", None),
    ],
)
def test_nobody_is_shut_out(page, server, files, model, signature) -> None:
    visit(page, server, model)
    if page.run(f"!!document.querySelector({json.dumps(CHOOSER)})"):
        send(page, files / ("tone.wav" if model in ("music", "speech") else "cat's photo.png"))
    else:
        page.fill("#form textarea, #form input", "1")
        ask(page)
    if signature:
        choose(page, signature)
        answered(page)
    for width, dark in LOOKS:
        page.shape(width, dark=dark)
        assert audited(page) == []
        assert page.run("document.documentElement.scrollWidth") <= width


def test_a_file_asks_any_server_that_allows_it(chromium, models, tmp_path) -> None:
    (tmp_path / "page.html").write_bytes(document.alone())
    options = Options(
        port=0, rest_port=0, model_config_file=models, labels_for_unavailable=True, rest_cors=True
    )
    page = chromium.page()
    with Server(options) as server:
        address = quote(f"http://{server.rest_target}", safe="")
        page.open(f"{(tmp_path / 'page.html').as_uri()}?server={address}#line")
        page.wait_for(f"!!document.querySelector({json.dumps(SUBMIT)})")
        page.fill("#field-x", "4")
        assert ask(page).startswith("6")
        assert page.run("document.querySelector('#server').value") == f"http://{server.rest_target}"
    own = (f"http://{server.rest_target}/", "data:", "blob:", "about:", "file:")
    assert [url for url in page.requests if not url.startswith(own)] == []
    assert page.complaints == []
    page.close()


def test_a_file_is_told_why_a_server_does_not_answer_it(chromium, server, tmp_path) -> None:
    (tmp_path / "page.html").write_bytes(document.alone())
    page = chromium.page()
    page.open(f"{(tmp_path / 'page.html').as_uri()}?server=http://{server.rest_target}#line")
    page.wait_for("!document.querySelector('#problem').hidden")
    assert "--rest_api_enable_cors_support" in page.text("#problem")
    page.close()
