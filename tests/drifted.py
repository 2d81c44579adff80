"""Golden examples that have come to differ from those of training."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import soundfile


def quiet(source: Path, folder: Path) -> Path:
    """Write sounds at a tenth of their loudness."""
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        samples, rate = soundfile.read(path, dtype="float32")
        target = folder / f"{path.parent.name}-{path.stem}.wav"
        target.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(target, samples / 10, rate, subtype="PCM_24")
    return folder


def russian(source: Path, folder: Path) -> Path:
    """Write a table of sentences of as many words, all in another script."""
    table = pd.read_csv(source)
    table["text"] = [" ".join("город" for _ in text.split()) for text in table["text"]]
    folder.mkdir(parents=True)
    table.to_csv(folder / source.name, index=False)
    return folder / source.name


def shifted(source: Path, folder: Path) -> Path:
    """Write a table of rows whose first number is greater by one."""
    table = pd.read_csv(source, dtype=str, keep_default_na=False)
    table["x 1"] = [f"{float(cell) + 1:.4f}" for cell in table["x 1"]]
    folder.mkdir(parents=True)
    table.to_csv(folder / source.name, index=False)
    return folder / source.name


#: What is monitored of the golden data, how it comes to differ from training, and the measures that show it
#: and those that do not.
CHANGED: dict[str, tuple[str, Callable[[Path, Path], Path], set[str], set[str]]] = {
    "audio-classification": (".", quiet, {"loudness"}, {"seconds"}),
    "text-classification": ("texts.csv", russian, {"unknown words", "script CYRILLIC"}, set()),
    "tabular-classification": ("rows.csv", shifted, {"x 1"}, {"2nd/x", "größe"}),
}
