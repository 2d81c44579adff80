"""The main job from end to end, on images, sounds, words and texts.

The images are real, and come with a dependency: scikit-learn's 1,797 scans of handwritten digits (8x8 grey
levels, from the UCI repository), written as PNG files together with a few damaged ones, so that the
quarantine has something to show. The sounds are generated: low, middle and high tones. Word vectors are
learnt from the 300 news articles that come with gensim (Lee, Pincombe and Welsh 2005), and the texts are
English words by their form, from the analogies that come with it (Mikolov et al. 2013).
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gensim.test.utils import datapath
from PIL import Image

from features.sounds.files.decoding import wave_bytes
from flows import launch
from flows.console import summary as summaries
from flows.console import terminal
from flows.demo.server import serving
from flows.orchestration import prefect_server
from flows.queries import question
from flows.runs.plans import request as requests
from flows.workspace import Workspace


@dataclass(frozen=True)
class Part:
    """One model of the demo.

    Attributes:
        name: of the model.
        task: what kind it is.
        recipe: how it is trained.
        write: writes the examples into a folder.
        told: what was written, for the terminal.
        samples: gives the files, words or texts that the server is asked about.
    """

    name: str
    task: str
    recipe: str
    write: Callable[[Path], Path]
    told: str
    samples: Callable[[Path], list[Any]]


def run(workspace: Workspace) -> None:
    """Ingest, train, evaluate, pass the gate, publish, serve and query; then tell where to look."""
    requests.check_addresses(workspace)
    examples: dict[str, list[Any]] = {}
    summaries_of: list[dict[str, Any]] = []
    with prefect_server.kept_api(workspace):
        for part in PARTS:
            folder = part.write(workspace.root / "demo" / part.name)
            terminal.note(part.told.format(folder=folder))
            request = requests.Request(
                part.task, str(folder), part.name, recipe=part.recipe, workspace=str(workspace.root)
            )
            with terminal.progress_bars():
                summaries_of.append(launch.run(request))
            summaries.show(summaries_of[-1])
            examples[part.name] = part.samples(folder)
    _serve_and_ask(workspace, examples)
    for summary in summaries_of:
        _tell(f"\nReport    {summary['report']}\nRelease   {summary['release']}")
    _tell("\nUIs       .venv/bin/servable ui\nServe     .venv/bin/servable serve")
    for name, samples in examples.items():
        _tell(f"Query     .venv/bin/servable predict {name} {samples[0]}")


def _one_of_each(pattern: str) -> Callable[[Path], list[Path]]:
    """Return the first file of each class that the pattern names."""

    def choose(folder: Path) -> list[Path]:
        first: dict[str, Path] = {}
        for path in sorted(folder.glob(pattern)):
            first.setdefault(path.parent.name, path)
        return list(first.values())

    return choose


def _tell(text: str) -> None:
    terminal.stdout().print(text, highlight=False, soft_wrap=True)


def write_digits(folder: Path) -> Path:
    """Write the scans as 32x32 PNG files in a folder per digit; files that exist stay as they are."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    for number, (scan, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        path = folder / str(digit) / f"scan-{number:04d}.png"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            grey = (scan * (255 / 16)).astype("uint8")
            Image.fromarray(grey).resize((32, 32), Image.Resampling.NEAREST).save(path)
    whole = (folder / "0" / "scan-0000.png").read_bytes()
    (folder / "0" / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (folder / "1" / "empty.png").write_bytes(b"")
    (folder / "2" / "error-page.png").write_text("<!doctype html><title>404 Not Found</title>")
    return folder


def write_tones(folder: Path) -> Path:
    """Write 120 generated tones, low, middle and high, as WAV files in a folder each."""
    random = np.random.default_rng(0)
    time = np.arange(int(0.5 * TONE_RATE)) / TONE_RATE
    for label, lowest in (("high", 1400), ("low", 200), ("middle", 550)):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(40):
            pitch = lowest * random.uniform(1.0, 1.7)
            tone = 0.5 * np.sin(2 * np.pi * pitch * time) + random.normal(0, 0.02, len(time))
            (folder / label / f"generated-{number:03d}.wav").write_bytes(wave_bytes(tone, TONE_RATE))
    return folder


TONE_RATE = 8000


def write_news(folder: Path) -> Path:
    """Copy gensim's news articles, one a line."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(datapath("lee_background.cor"), folder / "news.txt")
    return folder


def write_forms(folder: Path) -> Path:
    """Write the words of gensim's analogies that have a form of their own, as a table of word and form."""
    forms: dict[str, str] = {}
    form = None
    for line in Path(datapath("questions-words.txt")).read_text(encoding="utf-8").splitlines():
        if line.startswith(":"):
            form = FORMS.get(line.removeprefix(": "))
        elif form:
            # Each line is two pairs, the second of a pair in the form.
            forms |= dict.fromkeys(line.split()[1::2], form)
    folder.mkdir(parents=True, exist_ok=True)
    rows = "".join(f"{word},{form}\n" for word, form in sorted(forms.items()))
    (folder / "forms.csv").write_text(f"text,label\n{rows}", encoding="utf-8")
    return folder


#: Sections of the analogies to the form of the second word.
FORMS = {
    "gram1-adjective-to-adverb": "adverb",
    "gram3-comparative": "comparative",
    "gram4-superlative": "superlative",
    "gram5-present-participle": "participle",
    "gram8-plural": "plural",
}

PARTS = (
    Part(
        "digits",
        "image-classification",
        "digits",
        write_digits,
        "wrote scikit-learn's digits to {folder}, with three damaged files among them",
        _one_of_each("[0369]/scan-????.png"),
    ),
    Part(
        "tones",
        "audio-classification",
        "tones",
        write_tones,
        "wrote generated tones, which no one ever played, to {folder}",
        _one_of_each("*/generated-007.wav"),
    ),
    Part(
        "words",
        "word-vectors",
        "news",
        write_news,
        "copied gensim's news articles to {folder}",
        lambda folder: ["government", "israel", "cricket"],
    ),
    Part(
        "forms",
        "text-classification",
        "forms",
        write_forms,
        "wrote words by their form, from gensim's analogies, to {folder}",
        lambda folder: ["brightly", "sweetest", "gardening"],
    ),
)


def _serve_and_ask(workspace: Workspace, examples: dict[str, list[Any]]) -> None:
    with serving(workspace) as target:
        terminal.note(f"the model server is at {target}; its predictions over gRPC:")
        for name, samples in examples.items():
            for answer in question.answers(question.Question(name, samples), target):
                _tell(f"  {question.sentence(answer)}")
