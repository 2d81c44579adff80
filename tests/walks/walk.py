"""A path through the documents: each of its commands stands in one, and is typed in the order of the path."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import golden
from tests.conftest import ROOT
from tests.project.place import Place, settled


@dataclass(frozen=True)
class Walk:
    """Somebody who follows the documents.

    Attributes:
        place: the folder in which commands are typed.
    """

    place: Place

    def do(
        self,
        document: str,
        command: str,
        fact: str = "",
        *,
        own: Mapping[str, str] | None = None,
        more: str = "",
        code: int = 0,
    ) -> str:
        """Type a command of a document, check its exit code and one fact of its output, and return that.

        Args:
            document: which holds the command, as it is written there.
            command: or its beginning.
            fact: regular expression to search for in what is printed.
            own: what the reader writes in place of something in the command, such as another file.
            more: options that the reader adds.
            code: the exit code.
        """
        typed = f"{self._changed(document, command, own)} {more}".strip()
        ended = self.place.run(typed)
        printed = ended.stdout + ended.stderr
        assert ended.returncode == code, f"{typed}: exit code {ended.returncode}, expected {code}\n{printed}"
        assert re.search(fact, printed), f"{typed}: no {fact!r} in\n{printed}"
        assert "Traceback" not in printed, printed
        return printed

    def start(self, document: str, command: str, more: str = "") -> list[str]:
        """Type a command of a document that stays up; return the lines it prints once it is ready."""
        return self.place.start(f"{self._changed(document, command, None)} {more}".strip())

    def _changed(self, document: str, command: str, own: Mapping[str, str] | None) -> str:
        assert command in (ROOT / document).read_text(), f"{document} has no {command!r}"
        for written, mine in (own or {}).items():
            assert written in command, f"{command} has no {written!r}"
            command = command.replace(written, mine)
        return command

    def path(self, name: str) -> Path:
        """Return a path in the folder."""
        return self.place.folder / name


@contextmanager
def walking(folder: Path) -> Iterator[Walk]:
    """Begin a path in an empty folder; what was started on it ends with it."""
    place = settled(folder)
    try:
        yield Walk(place)
    finally:
        place.stop()


def small(task: str) -> str:
    """Return the options that make the training of a task short, as the other tests have them."""
    sets = " ".join(f"--set '{setting}'" for setting in golden.SMALL[task])
    return f"--recipe {golden.RECIPE[task]} {sets}"
