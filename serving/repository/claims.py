"""Version numbers claimed by publishers, and the staging folders that belong to the claims.

Everything lies in one hidden folder of the model, ``<model>/.servable``, which TensorFlow Serving passes
over because its name is no number::

    claims/<version>     made with O_EXCL, locked while its publisher lives
    staging/<version>/   the copy under way; renamed to <model>/<version> when it is complete
    trash/               versions on their way out
"""

import os
from pathlib import Path

from features.storage.locks import FileLock, is_held
from features.storage.trees import remove_tree
from serving.repository.version_names import parse_version

PRIVATE = ".servable"


class Claims:
    """The claims of one model.

    Args:
        base: the model's folder, a TensorFlow Serving base path.
    """

    def __init__(self, base: Path) -> None:
        self.base = base
        self.folder = base / PRIVATE / "claims"
        self.staging = base / PRIVATE / "staging"
        self.trash = base / PRIVATE / "trash"

    def claim(self) -> tuple[int, FileLock]:
        """Claim the next version number; the caller releases the lock when it is done.

        The number is higher than every version and every claim there has been, so numbers are never
        used twice, even after a version was deleted or its publisher died.
        """
        for folder in (self.folder, self.staging):
            folder.mkdir(parents=True, exist_ok=True)
        while True:
            number = max([0, *self.numbers(self.base), *self.numbers(self.folder)]) + 1
            path = self.folder / str(number)
            try:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
            except FileExistsError:
                continue
            return number, FileLock.acquire(path, create=False)

    def stage(self, version: int) -> Path:
        """Name the staging folder of a claimed version; nothing is there yet."""
        return self.staging / str(version)

    @staticmethod
    def numbers(folder: Path) -> list[int]:
        """Return every name in a folder that reads as a version."""
        if not folder.is_dir():
            return []
        parsed = (parse_version(path.name) for path in folder.iterdir())
        return [number for number in parsed if number is not None]

    def clean(self) -> list[str]:
        """Remove the staging folders of dead publishers and what retention left half removed."""
        removed = []
        for version in sorted(self.numbers(self.staging)):
            if not self._is_alive(version):
                remove_tree(self.stage(version))
                removed.append(f"staging of version {version}")
        if self.trash.is_dir():
            for path in self.trash.iterdir():
                remove_tree(path)
        self._forget_published()
        return removed

    def _is_alive(self, version: int) -> bool:
        try:
            return is_held(self.folder / str(version))
        except FileNotFoundError:
            # Never claimed, or forgotten just now by another publisher.
            return False

    def _forget_published(self) -> None:
        # The highest claim is the counter and stays; one of a publisher at work stays as well.
        numbers = sorted(self.numbers(self.folder))
        for number in numbers[:-1]:
            if (self.base / str(number)).is_dir() and not self._is_alive(number):
                (self.folder / str(number)).unlink(missing_ok=True)
