"""Cached features: rows of arrays, found by the content they were computed from.

A stage is a pure function of one raw example, so its results are kept by (fingerprint of the stage,
hash of the content) and shared by all datasets. Rows lie in ``.npy`` shards that are written aside,
flushed and renamed; a JSON beside each lists its hashes and its SHA-256 and is written last.
"""

import concurrent.futures
import hashlib
import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from features.datasets.dataset import Dataset
from features.datasets.shard_file import ShardFile
from features.errors import DataError, StorageError
from features.spec import Progress, silent
from features.spread import Part, parts
from features.storage import memory
from features.storage.files import writing
from features.storage.trees import sha256

#: A shard holds at most this many bytes.
SHARD_BYTES = 64 * 2**20
#: Rows of at most this many bytes altogether are kept in memory, and at most this part of what is left of it;
#: of more, each batch is read from the shards.
MEMORY_BYTES, MEMORY_PART = 2 * 2**30, 4
READERS = 4
#: Examples that a stage takes at a time.
BATCH = 32

#: Has the rows of parts computed in other processes; yields how many each was, as they are done.
Elsewhere = Callable[[Sequence[Part]], Iterator[int]]


def fingerprint(stage: Any) -> str:
    """Hash what a stage computes: 16 hexadecimal digits.

    Args:
        stage: a Keras layer, hashed by class, config and weights, or anything with a
            ``fingerprint`` of its own.
    """
    own = getattr(stage, "fingerprint", None)
    if isinstance(own, str):
        return own
    digest = hashlib.sha256(type(stage).__name__.encode())
    config = {k: v for k, v in stage.get_config().items() if k not in ("name", "trainable")}
    digest.update(json.dumps(config, sort_keys=True, default=str).encode())
    for variable in getattr(stage, "weights", ()):
        digest.update(np.ascontiguousarray(variable.numpy()).tobytes())
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Shard:
    """One file of rows."""

    path: Path
    hashes: tuple[str, ...]
    sha256: str
    lengths: tuple[int, ...] | None = None
    padding: float = 0.0


class Rows:
    """Rows in a wanted order, read when they are asked for.

    Attributes:
        shape: [rows, ...].
        dtype: of the rows.
        lengths: of each row along its first axis, where they vary; None where all are equally long.
    """

    def __init__(
        self,
        parts: "Sequence[ShardFile | np.ndarray]",
        where: np.ndarray,
        lengths: Sequence[Sequence[int]] | None = None,
        padding: float = 0.0,
    ) -> None:
        self._where, self._parts = where, parts
        self.lengths = (
            np.array([lengths[part][row] for part, row in where], np.int64) if lengths is not None else None
        )
        self.dtype = parts[0].dtype if parts else np.dtype(np.float32)
        self.padding = padding
        self.shape = (len(where), *(parts[0].shape[1:] if parts else ()))

    def __len__(self) -> int:
        return len(self._where)

    def __getitem__(self, positions: Any) -> np.ndarray:
        places = self._where[positions]
        if self.lengths is not None:
            return self._varying(places, int(np.max(self.lengths[positions], initial=1)))
        result = np.empty((len(places), *self.shape[1:]), self.dtype)
        for number in np.unique(places[:, 0]):
            chosen = np.flatnonzero(places[:, 0] == number)
            result[chosen] = self._parts[number][places[chosen, 1]]
        return result

    def _varying(self, places: np.ndarray, longest: int) -> np.ndarray:
        """Return rows as long as the longest of them; what fills the others lies in the shards already."""
        result = np.empty((len(places), longest, *self.shape[2:]), self.dtype)
        for number in np.unique(places[:, 0]):
            chosen = np.flatnonzero(places[:, 0] == number)
            rows = self._parts[number][places[chosen, 1]][:, :longest]
            result[chosen, : rows.shape[1]] = rows
            result[chosen, rows.shape[1] :] = self.padding
        return result


class FeatureStore:
    """The rows one stage has computed so far.

    Args:
        directory: named by the stage's fingerprint.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = Path(directory)

    def _shards(self) -> list[Shard]:
        return [_shard(path) for path in sorted(self.directory.glob("shard-*.json"))]

    def missing(self, hashes: Sequence[str]) -> list[str]:
        """List the hashes without a row, each once, in the order given."""
        held = {one for shard in self._shards() for one in shard.hashes}
        return [one for one in dict.fromkeys(hashes) if one not in held]

    def append(self, hashes: Sequence[str], rows: np.ndarray, padding: float | None = None) -> None:
        """Keep rows [len(hashes), ...]; safe beside other processes that append.

        Args:
            hashes: of the contents.
            rows: what the stage made of them.
            padding: what fills rows of varying length at their end; None where all are equally long.

        Raises:
            StorageError: the disk is full; nothing is left behind.
        """
        name = f"shard-{hashlib.sha256(hashes[0].encode()).hexdigest()[:8]}-{uuid.uuid4().hex[:8]}"
        path = self.directory / f"{name}.npy"
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            digest = self._write(path, lambda stream: np.save(stream, rows, allow_pickle=False))
            record: dict[str, Any] = {"hashes": list(hashes), "sha256": digest}
            if padding is not None:
                record |= {"lengths": row_lengths(rows, padding).tolist(), "padding": str(padding)}
            written = json.dumps(record).encode()
            self._write(path.with_suffix(".json"), lambda stream: stream.write(written))
        except OSError as error:
            path.unlink(missing_ok=True)
            raise StorageError(
                f"cannot write features to {path}",
                got=error.strerror,
                expected=f"{rows.nbytes:,} bytes free",
                todo="free some space and repeat: finished shards are kept",
            ) from error

    def _write(self, path: Path, write: Any) -> str:
        with writing(path) as stream:
            write(stream)
            stream.flush()
            return sha256(Path(stream.name))

    def gather(self, hashes: Sequence[str]) -> Rows:
        """Return the rows of these hashes, in this order.

        Raises:
            DataError: a shard is damaged, or a row is missing; names the shard.
        """
        damaged = self.verify()
        if damaged:
            raise DataError(
                f"cached features are damaged: {', '.join(damaged)}",
                todo="repeat the command: only these shards are computed again",
            )
        place: dict[str, tuple[int, int]] = {}
        shards = self._shards()
        for number, shard in enumerate(shards):
            place |= {one: (number, row) for row, one in enumerate(shard.hashes) if one not in place}
        absent = [one for one in hashes if one not in place]
        if absent:
            raise DataError(f"{len(absent)} examples have no features in {self.directory}", got=absent[0])
        used = sorted({place[one][0] for one in hashes})
        renumbered = {number: position for position, number in enumerate(used)}
        parts = _opened([shards[number].path for number in used])
        where = np.array([(renumbered[place[one][0]], place[one][1]) for one in hashes], np.int64).reshape(
            -1, 2
        )
        if any(shards[number].lengths is None for number in used):
            return Rows(parts, where)
        padding = shards[used[0]].padding if used else 0.0
        return Rows(parts, where, [shards[number].lengths or () for number in used], padding)

    def verify(self) -> list[str]:
        """Name the shards whose content is not what was written: cut, flipped or gone."""
        return [
            str(shard.path)
            for shard in self._shards()
            if not shard.path.is_file() or sha256(shard.path) != shard.sha256
        ]

    def repair(self) -> list[str]:
        """Drop damaged shards, so that compute makes their rows again; return their names."""
        damaged = self.verify()
        for name in damaged:
            Path(name).with_suffix(".json").unlink(missing_ok=True)
            Path(name).unlink(missing_ok=True)
        return damaged


def _opened(paths: Sequence[Path]) -> "Sequence[ShardFile | np.ndarray]":
    """Load shards that fit into a part of the memory that is left; of others, read rows when asked for."""
    files = [ShardFile(path) for path in paths]
    if sum(file.nbytes for file in files) <= min(MEMORY_BYTES, memory.available() // MEMORY_PART):
        return [np.load(path, allow_pickle=False) for path in paths]
    return files


def _shard(path: Path) -> Shard:
    """Read a shard's record; one that is damaged lists nothing, which `verify` then names."""
    rows = path.with_suffix(".npy")
    try:
        record = json.loads(path.read_bytes())
        shard = Shard(rows, tuple(record["hashes"]), record["sha256"])
        if "lengths" not in record:
            return shard
        return replace(shard, lengths=tuple(record["lengths"]), padding=float(record["padding"]))
    except (ValueError, KeyError, TypeError):
        return Shard(rows, (), "")


def row_lengths(rows: np.ndarray, padding: float) -> np.ndarray:
    """Return how many entries of each row [rows, entries, ...] stand before its padding, at least 1."""
    fills = np.isnan(rows) if np.isnan(padding) else rows == padding
    there = ~fills.reshape(len(rows), rows.shape[1], -1).all(axis=2)
    return np.maximum(1, rows.shape[1] - np.argmax(there[:, ::-1], axis=1)) * there.any(1) + ~there.any(1)


def joined(parts: Sequence[np.ndarray], padding: float | None) -> np.ndarray:
    """Concatenate batches of rows, brought to one length where they vary."""
    if padding is None:
        return np.concatenate(parts)
    longest = max(part.shape[1] for part in parts)
    edges = [[(0, 0), (0, longest - part.shape[1])] + [(0, 0)] * (part.ndim - 2) for part in parts]
    return np.concatenate(
        [np.pad(part, edge, constant_values=padding) for part, edge in zip(parts, edges, strict=True)]
    )


def compute(
    stage: Any,
    dataset: Dataset,
    store: FeatureStore,
    *,
    batch_size: int = BATCH,
    progress: Progress = silent,
    elsewhere: Elsewhere | None = None,
) -> int:
    """Compute and keep the rows of every accepted example that has none; repair damaged shards first.

    Args:
        stage: from raw examples [batch] to an array [batch, ...]; where it has a ``padding``, the
            second axis is as long as the batch's longest example, filled up with that.
        dataset: has ``frame`` with the column sha256, and ``read(row)``.
        store: where the rows go.
        batch_size: examples at a time.
        progress: told how many are done.
        elsewhere: has the rows computed by `compute_part` in other processes; None: here.

    Returns:
        How many rows were computed.
    """
    store.repair()
    if elsewhere is None:
        return compute_part(traced(stage), dataset, store, batch_size=batch_size, progress=progress)
    contents = list(dict.fromkeys(dataset.frame["sha256"]))
    missing = set(store.missing(contents))
    cut = [part for part in parts(len(contents), batch_size) if missing.intersection(contents[slice(*part)])]
    done = 0
    for count in elsewhere(cut):
        done += count
        progress("featurize", done, len(missing))
    return done


@dataclass(frozen=True)
class Traced:
    """A stage as a graph, which is traced once for all parts, and what fills its rows of varying length."""

    function: Any
    padding: float | None


def traced(stage: Any) -> Traced:
    """Make the graph of a stage."""
    return Traced(tf.function(stage, reduce_retracing=True, autograph=False), getattr(stage, "padding", None))


def compute_part(
    stage: Traced,
    dataset: Dataset,
    store: FeatureStore,
    part: Part | None = None,
    *,
    batch_size: int = BATCH,
    progress: Progress = silent,
) -> int:
    """Compute and keep the rows of a part of the contents, of those that have none.

    Args:
        stage: of `compute`, as a graph.
        dataset: as of `compute`.
        store: where the rows go.
        part: of the contents, each counted once; None for all.
        batch_size: examples at a time.
        progress: told how many are done.

    Returns:
        How many rows were computed.
    """
    frame = dataset.frame.drop_duplicates("sha256")
    frame = frame if part is None else frame[slice(*part)]
    missing = set(store.missing(list(frame["sha256"])))
    todo = [row for row in frame.itertuples() if row.sha256 in missing]
    hashes: list[str] = []
    computed: list[np.ndarray] = []
    for done, (names, raws) in enumerate(_batches(dataset, todo, batch_size)):
        computed.append(stage.function(tf.constant(raws)).numpy())
        hashes += names
        if sum(rows.nbytes for rows in computed) >= SHARD_BYTES:
            store.append(hashes, joined(computed, stage.padding), stage.padding)
            hashes, computed = [], []
        progress("featurize", min((done + 1) * batch_size, len(todo)), len(todo))
    if computed:
        store.append(hashes, joined(computed, stage.padding), stage.padding)
    return len(todo)


def _batches(dataset: Dataset, rows: list[Any], size: int) -> Iterator[tuple[list[str], list[Any]]]:
    """Read the raw examples in threads, one batch ahead of the one being computed."""
    with concurrent.futures.ThreadPoolExecutor(READERS) as pool:
        ahead = [pool.submit(dataset.read, row) for row in rows[:size]]
        for start in range(0, len(rows), size):
            current = ahead
            ahead = [pool.submit(dataset.read, row) for row in rows[start + size : start + 2 * size]]
            yield [row.sha256 for row in rows[start : start + size]], [future.result() for future in current]
