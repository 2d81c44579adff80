"""A small source of examples for every task, made from code: the harness trains and checks each on it."""

import gzip
import hashlib
import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from PIL import Image, ImageDraw

from features.formats import midi
from features.formats.midi import Note
from models.pretrained.applications import DEFAULT_MODULE
from tests.models import toys

PER_CLASS = 48
#: Overrides that make the default network of a task small enough for tests.
SMALL = {
    "image-classification": (
        "featurizer.height=16",
        "featurizer.width=16",
        "model.filters=[4, 8]",
        "model.depth=1",
        "training.epochs=12",
        "training.learning_rate=0.01",
        "training.towers=1",
    ),
    "image-regression": (
        "featurizer.height=16",
        "featurizer.width=16",
        "model.filters=[4, 8]",
        "model.dense=[]",
        "training.epochs=12",
        "training.learning_rate=0.01",
        "training.towers=1",
    ),
    "keypoint-detection": (
        "featurizer.height=32",
        "featurizer.width=32",
        "model.filters=[8, 8, 16]",
        "model.depth=1",
        "model.channels=8",
        "model.stride=4",
        "training.epochs=4",
        "training.min_steps=0",
        "training.learning_rate=0.01",
        "training.towers=1",
    ),
    "object-detection": (
        "featurizer.height=32",
        "featurizer.width=32",
        "model.filters=[8, 8, 16]",
        "model.channels=8",
        "model.stride=4",
        "model.max_boxes=7",
        "augmentation.mosaic=0.5",
        "training.epochs=4",
        "training.min_steps=0",
        "training.learning_rate=0.01",
        "training.towers=1",
    ),
    "audio-classification": (
        "data.sample_rate=8000",
        "featurizer.seconds=0.4",
        "featurizer.n_fft=128",
        "featurizer.hop_length=80",
        "featurizer.n_mels=16",
        "model.filters=[4, 8]",
        "model.depth=1",
        "training.epochs=10",
        "training.learning_rate=0.01",
        "training.towers=1",
    ),
    "speech-recognition": (
        "data.sample_rate=8000",
        "featurizer.n_fft=128",
        "featurizer.win_length=null",
        "featurizer.hop_length=80",
        "featurizer.n_mels=16",
        "featurizer.fmin=0",
        "featurizer.fmax=null",
        "model.filters=[8, 8]",
        "model.strides=[2, 2]",
        "model.dense=16",
        "model.units=[24]",
        "model.beam=4",
        "model.lm_order=3",
        "model.piece_seconds=2.4",
        "training.epochs=40",
        "training.min_steps=0",
        "training.batch_size=8",
        "training.learning_rate=0.01",
    ),
    "music-transcription": (
        "featurizer.seconds=1.0",
        "augmentation.heard=null",
        "augmentation.keys=1",
        "model.filters=4",
        "model.channels=4",
        "model.dilations=[1]",
        "training.epochs=4",
        "training.batch_size=8",
        "training.learning_rate=0.01",
        "training.towers=1",
    ),
    "image-search": ("model.projection=labels",),
    "image-clustering": ("model.most_groups=3",),
    "word-vectors": (
        "featurizer.min_count=1",
        "model.dimensions=12",
        "model.window=3",
        "training.epochs=3",
    ),
    "tabular-regression": ("training.epochs=20", "training.min_steps=200", "training.learning_rate=0.05"),
    "tabular-classification": ("training.epochs=20", "training.min_steps=200", "training.learning_rate=0.05"),
    "translation": (
        "featurizer.vocabulary=500",
        "model.width=16",
        "model.inner=32",
        "model.encoder=1",
        "model.decoder=1",
        "training.epochs=2",
        "training.min_steps=0",
        "training.average=2",
        "training.towers=1",
    ),
    "text-classification": (
        "model.width=8",
        "model.maps=6",
        "model.regions=[2, 3]",
        "training.epochs=12",
        "training.learning_rate=0.02",
    ),
}
RECIPE = {
    "image-classification": "cnn",
    "image-regression": "cnn",
    "keypoint-detection": "scratch",
    "object-detection": "scratch",
    "image-search": "default",
    "image-clustering": "default",
    "audio-classification": "cnn",
    "speech-recognition": "default",
    "music-transcription": "scratch",
    "tabular-classification": "mlp",
    "tabular-regression": "mlp",
    "text-classification": "cnn",
    "translation": "default",
    "word-vectors": "skip-gram",
}


def photo(path: Path) -> Path:
    """Write a JPEG of half a megabyte: noise, which does not compress."""
    pixels = np.random.default_rng(0).integers(0, 256, (640, 720, 3), np.uint8)
    Image.fromarray(pixels).save(path, quality=95)
    assert path.stat().st_size > 500_000
    return path


def images(folder: Path) -> Path:
    """Write two classes of striped pictures in every format, colour space and orientation we take."""
    random = np.random.default_rng(0)
    for label, vertical in (("level", False), ("upright", True)):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(PER_CLASS):
            name, content = _picture(random, number, vertical=vertical)
            (folder / label / name).write_bytes(content)
    return folder


def frames(folder: Path) -> Path:
    """Write pictures of a bright bar, and a table of its place and width; a third is one of a few values."""
    random = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(2 * PER_CLASS):
        height, width = random.integers(20, 60, 2)
        place, size = random.uniform(0.2, 0.8), random.uniform(0.05, 0.2)
        across = np.arange(width) / width
        bar = 200.0 * (np.abs(across - place) < size)
        pixels = np.clip(bar[None, :, None] + random.normal(30, 10, (height, width, 3)), 0, 255)
        kind, mode = FORMATS[number % len(FORMATS)]
        picture = Image.fromarray(pixels.astype(np.uint8))
        picture = picture.quantize(32) if mode == "P" else picture.convert(mode)
        name = f"{number:03}.{kind.lower()}"
        picture.save(folder / name, kind)
        rows.append((name, f"{place:.4f}", f"{1000 * size:.1f}", f"run {number // 4}"))
    table = pd.DataFrame(rows, columns=["file", "target", "width", "run"])
    table.to_csv(folder / "frames.csv", index=False)
    return folder


def eyes(folder: Path) -> Path:
    """Write pictures of a red and a blue spot, and a table of where they are; a few are not annotated."""
    random = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(2 * PER_CLASS):
        width, height = random.integers(30, 70, 2)
        picture = Image.fromarray(random.integers(30, 70, (height, width, 3), np.uint8))
        pen, points = ImageDraw.Draw(picture), []
        for color, side in (("red", 0.25), ("blue", 0.75)):
            x, y = width * random.normal(side, 0.08), height * random.normal(0.5, 0.1)
            pen.ellipse([x - 4, y - 4, x + 4, y + 4], fill=color)
            points += [f"{x:.2f}", f"{y:.2f}"]
        if number % 9 == 0:
            points[2:] = ["", "NA"]
        rows.append((_saved(picture, folder, number), *points))
    columns = ["file", "left_eye_x", "left_eye_y", "right_eye_x", "right_eye_y"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "eyes.csv", index=False)
    return folder


def shapes(
    folder: Path, images: int = 2 * PER_CLASS, side: tuple[int, int] = (40, 90), fewest: int = 0
) -> Path:
    """Write pictures of up to three squares, discs and triangles, and a table of their boxes."""
    random = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[tuple] = []
    for number in range(images):
        width, height = random.integers(*side, 2)
        picture = Image.fromarray(random.integers(30, 70, (height, width, 3), np.uint8))
        pen, boxes = ImageDraw.Draw(picture), []
        for _ in range(fewest + number % (4 - fewest)):
            half = random.uniform(0.08, 0.18) * min(width, height)
            x, y = random.uniform(half, width - half), random.uniform(half, height - half)
            box = (x - half, y - half, x + half, y + half)
            if any(abs(x - (a + c) / 2) < half + (c - a) / 2 for _, a, _, c, _ in boxes):
                continue
            kind = str(random.choice(["disc", "square", "triangle"]))
            color = tuple(int(level) for level in random.integers(120, 256, 3))
            if kind == "disc":
                pen.ellipse(box, fill=color)
            elif kind == "square":
                pen.rectangle(box, fill=color)
            else:
                pen.polygon([(x, y - half), (x + half, y + half), (x - half, y + half)], fill=color)
            boxes.append((kind, *box))
        name = _saved(picture, folder, number)
        rows += [(name, *(f"{side:.2f}" for side in box), kind) for kind, *box in boxes]
        rows += [] if boxes else [(name, "", "", "", "", "")]
    columns = ["file", "xmin", "ymin", "xmax", "ymax", "class"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "shapes.csv", index=False)
    return folder


def _saved(picture: Image.Image, folder: Path, number: int) -> str:
    """Save a picture in one of the forms we take; return its name."""
    kind, mode = FORMATS[number % len(FORMATS)]
    name = f"{number:03}.{kind.lower()}"
    if kind == "JPEG" and mode == "RGB":
        picture, _, exif = _turned(picture, 1 + number // len(FORMATS) % 8)
        picture.save(folder / name, kind, exif=exif)
        return name
    picture = picture.quantize(32) if mode == "P" else picture.convert(mode)
    picture.save(folder / name, kind)
    return name


def _picture(random: np.random.Generator, number: int, *, vertical: bool) -> tuple[str, bytes]:
    height, width = random.integers(20, 60, 2)
    stripes = (np.arange(width if vertical else height) // int(random.integers(2, 5)) % 2) * 160.0
    pixels = np.tile(stripes, (height, 1)) if vertical else np.tile(stripes[:, None], (1, width))
    noisy = np.clip(pixels[..., None] + random.normal(40, 15, (height, width, 3)), 0, 255)
    picture = Image.fromarray(noisy.astype(np.uint8))
    kind, mode = FORMATS[number % len(FORMATS)]
    picture = picture.quantize(32) if mode == "P" else picture.convert(mode)
    options = {}
    if kind == "JPEG" and mode == "RGB":
        # Stored turned, as a phone does it: upright pixels come out again.
        picture = picture.transpose(Image.Transpose.ROTATE_90)
        exif = Image.Exif()
        exif[274] = 6
        options["exif"] = exif.tobytes()
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return f"{number:03}.{kind.lower()}", stream.getvalue()


def odd_photos() -> list[bytes]:
    """Make photos of odd sizes, panoramas, grey ones, some with alpha, and one turned in all eight ways.

    The last eight are displayed alike, with EXIF orientations 1 to 8.
    """
    random = np.random.default_rng(1)
    made = []
    sizes = ((61, 43), (43, 61), (361, 60), (59, 353), (1, 40), (33, 32), (32, 32))
    for number, (width, height) in enumerate((*sizes, *sizes)):
        grain = random.integers(30, 220, (7, 8, 3), np.uint8)
        picture = Image.fromarray(grain).resize((width, height), Image.Resampling.BICUBIC)
        mode = ("RGB", "L", "RGBA", "LA")[number % 4]
        picture = picture.convert(mode)
        if mode.endswith("A"):
            picture.putalpha(Image.fromarray(random.integers(0, 256, (height, width), np.uint8)))
        made.append(_encoded(picture, "PNG"))
    grain = random.integers(30, 220, (7, 8, 3), np.uint8)
    picture = Image.fromarray(grain).resize((57, 43), Image.Resampling.BICUBIC)
    return made + [_encoded(*_turned(picture, turn)) for turn in range(1, 9)]


def _encoded(picture: Image.Image, kind: str, exif: bytes = b"") -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, exif=exif)
    return stream.getvalue()


def _turned(picture: Image.Image, turn: int) -> tuple[Image.Image, str, bytes]:
    """Turn pixels so that a picture is displayed as it was, with an orientation that says so."""
    exif = Image.Exif()
    exif[274] = turn
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    picture = picture.transpose(Image.Transpose(back[turn])) if turn > 1 else picture
    return picture, "PNG", exif.tobytes()


FORMATS = (
    ("JPEG", "RGB"),
    ("PNG", "RGB"),
    ("PNG", "RGBA"),
    ("PNG", "P"),
    ("GIF", "P"),
    ("BMP", "RGB"),
    ("WEBP", "RGB"),
    ("JPEG", "L"),
    ("JPEG", "CMYK"),
    ("PNG", "L"),
)


def sounds(folder: Path) -> Path:
    """Write two classes of tones, low and high, of every length, rate and format we take."""
    random = np.random.default_rng(0)
    for label, lowest in (("low", 200.0), ("high", 900.0)):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(PER_CLASS):
            ending, subtype, rate, channels = SOUNDS[number % len(SOUNDS)]
            time = np.arange(int(rate * random.uniform(0.15, 1.2))) / rate
            pitch = lowest * random.uniform(1, 2)
            tone = random.uniform(0.2, 0.8) * np.sin(2 * np.pi * pitch * time)
            noisy = tone[:, None] + random.normal(0, 0.02, (len(time), channels))
            path = folder / label / f"{number:03}.{ending}"
            soundfile.write(path, noisy.astype(np.float32), rate, subtype=subtype)
    return folder


def tunes(folder: Path) -> Path:
    """Write short tunes of tones that die away, with their notes beside them, as text or MIDI."""
    random = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(2 * PER_CLASS):
        ending, subtype, rate, _ = SOUNDS[number % 6]
        time = np.arange(int(rate * random.uniform(0.6, 1.8))) / rate
        tune, notes = np.zeros(len(time)), []
        for onset in np.arange(0.1, time[-1] - 0.2, 0.25):
            pitch, loud = int(random.integers(55, 80)), int(random.integers(40, 120))
            since = time - onset
            tone = np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * since) * np.exp(-6 * since)
            tune += np.where((since > 0) & (since < 0.2), 0.5 * loud / 127 * tone, 0)
            notes.append(Note(float(onset), float(onset) + 0.2, pitch, loud, 0))
        noisy = tune + random.normal(0, 0.002, len(time))
        soundfile.write(folder / f"{number:03}.{ending}", noisy.astype(np.float32), rate, subtype=subtype)
        if number % 2:
            (folder / f"{number:03}.mid").write_bytes(midi.write(notes))
        else:
            rows = [f"{note.onset},{note.offset},{note.pitch}" for note in notes]
            (folder / f"{number:03}.csv").write_text("\n".join(["onset,offset,pitch", *rows]))
    return folder


#: File name ending, kind of samples, Hz, channels.
SOUNDS = (
    ("wav", "PCM_16", 8000, 1),
    ("wav", "PCM_U8", 16000, 1),
    ("flac", "PCM_16", 11025, 1),
    ("wav", "PCM_24", 44100, 2),
    ("ogg", "VORBIS", 16000, 1),
    ("wav", "FLOAT", 22050, 1),
    ("mp3", "MPEG_LAYER_III", 16000, 1),
    ("wav", "PCM_16", 48000, 8),
)


def spoken(folder: Path) -> Path:
    """Write recordings of tones, one for each letter, with pauses between words, and their transcripts."""
    random = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    pitches = dict(zip(SPOKEN, (300.0, 520.0, 900.0, 1500.0), strict=True))
    rows = []
    for number in range(2 * PER_CLASS):
        words = ["".join(random.choice(list(SPOKEN), random.integers(1, 4))) for _ in range(1 + number % 3)]
        text = " ".join(words)
        ending, subtype, rate, channels = SOUNDS[number % len(SOUNDS)]
        parts = [_tone(random, pitches.get(letter, 0.0), rate) for letter in f" {text} "]
        noisy = np.concatenate(parts)[:, None] + random.normal(0, 0.005, (sum(map(len, parts)), channels))
        name = f"{number:03}.{ending}"
        soundfile.write(folder / name, noisy.astype(np.float32), rate, subtype=subtype)
        rows.append((name, text))
    pd.DataFrame(rows, columns=["file", "text"]).to_csv(folder / "transcripts.csv", index=False)
    return folder


SPOKEN = "abéđ"


def _tone(random: np.random.Generator, pitch: float, rate: int) -> np.ndarray:
    """Make 0.15 to 0.25 s of a tone that fades in and out; of none, silence."""
    time = np.arange(int(rate * random.uniform(0.15, 0.25))) / rate
    return random.uniform(0.3, 0.7) * np.hanning(len(time)) * np.sin(2 * np.pi * pitch * time)


def texts(folder: Path) -> Path:
    """Write two classes of sentences of one word to forty, in several scripts, as a table."""
    random = np.random.default_rng(0)
    rows = []
    for label, own in (("praise", PRAISE), ("blame", BLAME)):
        for number in range(PER_CLASS):
            words = [*random.choice(OTHER, int(random.integers(0, 38))), *random.choice(own, 2)]
            random.shuffle(words)
            rows.append((f"{' '.join(words)} {number}", label))
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows, columns=["text", "label"]).to_csv(folder / "texts.csv", index=False)
    return folder


PRAISE = ("lovely", "Wonderful!", "très bien", "отлично", "素晴らしい", "\U0001f600")
BLAME = ("awful", "isn't good", "sehr schlecht", "плохо", "ひどい", "\U0001f4a9")
OTHER = ("the", "film", "a", "of", "it's", "story", "and", '"quoted"', "actor's", "über", "3.5", "line\nend")


#: Words of a language and those of another one.
LEXICON = {
    "the": "le",
    "green": "vert",
    "house": "maison",
    "I": "я",
    "see": "вижу",
    "two": "два",
    "cats": "猫",
    "eat": "食べる",
    "today": "今日",
    "don't": "n'est",
    "fine": "très bien",
    "café": "cafe\u0301",
}


def sentence_pairs(count: int) -> list[tuple[str, str]]:
    """Make sentences with the same in a language of other words and scripts, some with two translations."""
    random = np.random.default_rng(0)
    pairs = []
    for number in range(count):
        words = random.choice(list(LEXICON), int(random.integers(1, 9)))
        source = " ".join(words) + random.choice([".", "?", " !"])
        target = " ".join(LEXICON[str(word)] for word in words) + random.choice([".", " ?", "。"])
        pairs.append((source, f"{target} {number % 7}"))
        if number % 9 == 0:
            pairs.append((source, f"« {target} »"))
    return pairs


def sentences(folder: Path) -> Path:
    """Write a table of sentence pairs."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(sentence_pairs(400), columns=["text", "translation"])
    table.to_csv(folder / "pairs.tsv", sep="\t", index=False, quoting=3)
    return folder


def corpus(folder: Path) -> Path:
    """Write two text files of sentences of a hundred different words, one of the two gzipped."""
    random = np.random.default_rng(0)
    names = [f"{stem}{number}" for stem in ("word", "слово", "mot-é", "言葉", "It's") for number in range(20)]
    sentences = [" ".join(random.choice(names, 12)) for _ in range(200)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "one.txt").write_text("\ufeff" + "\r\n".join(sentences[:100]), encoding="utf-8")
    with gzip.open(folder / "two.txt.gz", "wt", encoding="utf-8") as stream:
        stream.write("\n\n".join(sentences[100:]))
    return folder


def rows(folder: Path) -> Path:
    """Write XOR of two noisy numbers as a table, with a category that says nothing and cells left out."""
    random = np.random.default_rng(0)
    bits = random.integers(0, 2, (2 * PER_CLASS, 2))
    numbers = np.char.mod("%.4f", bits + random.normal(0, 0.1, bits.shape)).astype(object)
    numbers[::24, 1] = ["", "NA", "?", " nan"]
    table = pd.DataFrame(numbers, columns=["x 1", "2nd/x"])
    table["größe"] = random.choice(["groß", 'a "quoted", cell', "two\nlines", "素", ""], len(table))
    table["class"] = np.where(bits[:, 0] ^ bits[:, 1], "odd", "even")
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "rows.csv", index=False)
    return folder


def prices(folder: Path) -> Path:
    """Write prices of houses as tables have them: in thousands with commas, of numbers and categories."""
    random = np.random.default_rng(0)
    area, rooms = random.uniform(30, 200, 2 * PER_CLASS), random.integers(1, 8, 2 * PER_CLASS)
    town = random.choice(["Köln", "Bonn, am Rhein"], len(area))
    price = 2000 * area + 9000 * rooms + 30_000 * (town == "Köln") + random.normal(0, 5000, len(area))
    table = pd.DataFrame({"area": np.round(area, 1).astype(object), "rooms": rooms, "town": town})
    table.loc[::20, "area"] = ""
    table["value"] = [f"{one:,.1f}" for one in price]
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "houses.csv", index=False)
    return folder


def gallery(folder: Path) -> Path:
    """Write the pictures, and a small network as if it had been fetched into the workspace beside them."""
    cached(toys.save_module(folder.parent / "toy", width=8), folder.parent / "workspace")
    return images(folder)


def cached(module: Path, workspace: Path) -> None:
    """Put a module where the default one is kept once it is fetched."""
    name = hashlib.sha1(DEFAULT_MODULE.encode(), usedforsecurity=False).hexdigest()
    shutil.copytree(module, workspace / "hub" / name)


#: Task name to what writes its examples into a folder.
GOLDEN: dict[str, Callable[[Path], Path]] = {
    "image-classification": images,
    "image-regression": frames,
    "keypoint-detection": eyes,
    "object-detection": shapes,
    "image-search": gallery,
    "image-clustering": gallery,
    "audio-classification": sounds,
    "speech-recognition": spoken,
    "music-transcription": tunes,
    "tabular-classification": rows,
    "tabular-regression": prices,
    "text-classification": texts,
    "translation": sentences,
    "word-vectors": corpus,
}
