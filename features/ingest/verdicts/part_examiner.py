"""Examine the files of a source part by part, in processes that may be on other machines.

The paths of each part lie in a file, and its verdicts go to a file beside it, in a folder that all processes
see. What is sent to a process and back is therefore small, whatever the files are, and a part that is done
twice, as its process died before it could say so, is read and not decoded again.
"""

import contextlib
import json
import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from features.ingest.verdicts import kinds
from features.ingest.verdicts.decoder_pool import DecoderPool, Job
from features.ingest.verdicts.verdict import Verdict, plain_of, restored
from features.spec import RAW_KINDS
from features.spread import Part, Spread, parts
from features.storage.files import write_file


@dataclass(frozen=True)
class Examiner:
    """What a process needs to know to examine a part.

    Attributes:
        raw: name of the raw kind of the files.
        rules: of the decoder, as JSON.
        store: folder for converted content.
        folder: of the parts.
    """

    raw: str
    rules: str
    store: bytes
    folder: Path

    def examined(self, files: Sequence[bytes], spread: Spread) -> Iterator[tuple[bytes, Verdict]]:
        """Yield each file with its verdict, part by part as they are done."""
        shutil.rmtree(self.folder, ignore_errors=True)  # Left by a process that was killed.
        cut = parts(len(files))
        try:
            for part in cut:
                write_file(self._paths(part), b"\0".join(files[slice(*part)]))
            for part in spread(self, cut):
                lines = self._verdicts(part).read_text(encoding="ascii").splitlines()
                yield from zip(files[slice(*part)], map(restored, map(json.loads, lines)), strict=True)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __call__(self, part: Part) -> Part:
        """Examine the files of a part, unless that is done; return the part."""
        if not self._verdicts(part).is_file():
            files = self._paths(part).read_bytes().split(b"\0")
            with kept.decoder(self.raw, self.rules, self.store) as pool:
                verdicts = dict(pool.examine(Job(path) for path in files))
            lines = [json.dumps(plain_of(verdicts[place])) + "\n" for place in range(len(files))]
            write_file(self._verdicts(part), "".join(lines))
        return part

    def _paths(self, part: Part) -> Path:
        return self.folder / f"{part[0]}-{part[1]}.paths"

    def _verdicts(self, part: Part) -> Path:
        return self.folder / f"{part[0]}-{part[1]}.verdicts"


class _Kept(threading.local):
    """The decoder process of each thread that examines parts: it starts once, not for every part."""

    key: tuple[str, str, bytes] | None = None
    pool: DecoderPool | None = None

    @contextlib.contextmanager
    def decoder(self, raw: str, rules: str, store: bytes) -> Iterator[DecoderPool]:
        """Provide the decoder; one of other rules, or that failed, is not used again."""
        if self.pool is None or self.key != (raw, rules, store):
            self.close()
            self.key = raw, rules, store
            self.pool = DecoderPool(kinds.reader(RAW_KINDS[raw]), json.loads(rules), store, workers=1)
        try:
            yield self.pool
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the process; otherwise it ends with this one."""
        if self.pool is not None:
            self.pool.close()
        self.pool = None


kept = _Kept()
