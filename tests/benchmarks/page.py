"""The page of benchmarks: one part for each kind, with a table of all its sets and the sections behind it.

A section stands between markers with its name, so that whoever merges two pages keeps all sections.
`arranged` brings any such page into order, and twice gives what once does.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from tests.benchmarks.figures import KINDS, Kind, Line

HEAD = """# Benchmarks

`make bench` measures speed, `make evaluate` trains on the real datasets; each writes its sections here
anew. Times depend on the machine; ratios are taken within one run. A figure after ± is the deviation over
seeds or folds.
"""
_SECTION = re.compile(r"<!-- (?P<name>[\w-]+) -->\n(?P<body>.*?)<!-- end of (?P=name) -->\n?", re.DOTALL)
_HEADING = re.compile(r"^(#+) ", re.MULTILINE)
#: Level of a section's own heading: one below that of its kind.
_LEVEL = 3
_COLUMNS = ("data", "recipe", "measure", "figure", "interval or deviation", "baseline", "published", "source")


def sections(page: str) -> dict[str, str]:
    """Return the sections of a page, by name, without their markers."""
    return {match["name"]: match["body"] for match in _SECTION.finditer(page)}


def with_section(page: str, name: str, body: str) -> str:
    """Put a section in the place of the one of its name, and the page into order."""
    return _written(sections(page) | {name: body})


def arranged(page: str) -> str:
    """Bring the sections of a page into order and write the tables of kinds anew."""
    return _written(sections(page))


def rows(section: str) -> list[dict[str, str]]:
    """Read the first table of a section: each row by its headings, the first of equal ones."""
    lines = [_cells(line) for line in _first_table(section.splitlines())]
    return [dict(reversed(list(zip(lines[0], line, strict=False)))) for line in lines[2:]]


def _first_table(lines: Sequence[str]) -> Iterator[str]:
    started = False
    for line in lines:
        if line.startswith("|"):
            started = True
            yield line
        elif started:
            return


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _written(found: Mapping[str, str]) -> str:
    placed = {name for kind in KINDS for name in kind.sections}
    rest = Kind("Other measurements", tuple(name for name in found if name not in placed))
    parts = [_part(kind, found) for kind in (*KINDS, rest)]
    return "\n".join([HEAD, *filter(None, parts)])


def _part(kind: Kind, found: Mapping[str, str]) -> str:
    own = [name for name in kind.sections if name in found]
    if not own:
        return ""
    blocks = [f"<!-- {name} -->\n{_levelled(found[name])}<!-- end of {name} -->\n" for name in own]
    return "\n".join([f"## {kind.title}\n", *filter(None, [_table(kind.lines, found)]), *blocks])


def _levelled(section: str) -> str:
    """Bring a section's headings to their level, as far as the first one is from it."""
    first = _HEADING.search(section)
    shift = _LEVEL - len(first[1]) if first else 0
    return _HEADING.sub(lambda match: "#" * (len(match[1]) + shift) + " ", section)


def _table(lines: Sequence[Line], found: Mapping[str, str]) -> str:
    """Write the table of a kind out of the sections that are there."""
    written = [_row(line, rows(found[line.section])) for line in lines if line.section in found]
    shown = [row for row in written if row]
    return (
        "\n".join([_line(_COLUMNS), "|" + " --- |" * len(_COLUMNS), *map(_line, shown), ""]) if shown else ""
    )


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _row(line: Line, table: Sequence[Mapping[str, str]]) -> tuple[str, ...] | None:
    row = _labelled(table, line.row)
    if row is None or line.column not in row:
        return None
    baseline = _baseline(line, table, row)
    published = "; ".join(f"{each.figure} ({each.information})" for each in line.published) or "-"
    source = "; ".join(each.source for each in line.published) or "-"
    measured = (row[line.column], row.get(line.spread, "-"), baseline)
    return (line.data, line.recipe, line.measure, *measured, published, source)


def _labelled(table: Sequence[Mapping[str, str]], label: str) -> Mapping[str, str] | None:
    """Find the row whose first cell begins with a label."""
    return next((row for row in table if list(row.values())[-1].startswith(label)), None)


def _baseline(line: Line, table: Sequence[Mapping[str, str]], row: Mapping[str, str]) -> str:
    if line.baseline is None:
        return "-"
    other = row if line.baseline.row is None else _labelled(table, line.baseline.row)
    value = other.get(line.baseline.column) if other else None
    return f"{value} ({line.baseline.name})" if value else "-"
