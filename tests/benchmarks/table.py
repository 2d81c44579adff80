"""A table of figures, printed and kept in docs/benchmarks.md between markers of its own."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks import page

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
SHARED = Path(os.environ.get("SERVABLE_SHARED", ROOT.parent / "shared"))


@dataclass(frozen=True)
class Table:
    """What one benchmark measured.

    Attributes:
        name: the benchmark's name, as on the command line.
        title: heading.
        prose: what was measured and how.
        columns: their headings.
        rows: cells, as they are shown.
        more: tables below it, in the same section.
    """

    name: str
    title: str
    prose: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    more: Sequence["Table"] = ()

    def markdown(self) -> str:
        """Write the table as a section of the page."""
        lines = [f"## {self.title}", "", *([self.prose, ""] if self.prose else [])]
        lines += ["| " + " | ".join(self.columns) + " |", "|" + " --- |" * len(self.columns)]
        lines += ["| " + " | ".join(map(str, row)) + " |" for row in self.rows]
        return "\n".join([*lines, *(f"\n#{table.markdown()}" for table in self.more)])

    def keep(self) -> None:
        """Put the section in the place of the one that the page has, and the page into order."""
        text = PAGE.read_text() if PAGE.is_file() else ""
        PAGE.write_text(page.with_section(text, self.name, f"{self.markdown()}\n"))


def machine() -> str:
    """Name the machine; the widest vectors decide how fast TensorFlow computes, and how it rounds."""
    kind = f"{platform.machine()} with {found}" if (found := _widest()) else platform.machine()
    return f"{os.cpu_count()} cores, {kind}, Python {platform.python_version()}"


def _widest() -> str | None:
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return None
    names = {"amx_tile": "AMX", "avx512f": "AVX-512", "avx2": "AVX2"}
    return next((name for flag, name in names.items() if flag in flags), None)
