"""A new Prefect database: the same by migrations and as a copy, and made where the copy is no good."""

import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from flows.orchestration import prefect_database

SCRIPT = "import sys; from pathlib import Path; from flows.orchestration import prefect_database"
SCRIPT += "; prefect_database.migrate(Path(sys.argv[1]))"


def made(folder: Path, cache: Path) -> Path:
    """Migrate the database of a folder in a process of its own, as a server does."""
    foreign = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    environment = foreign | {"PREFECT_HOME": str(folder), "XDG_CACHE_HOME": str(cache)}
    subprocess.run([sys.executable, "-c", SCRIPT, str(folder)], env=environment, check=True)
    return folder / "prefect.db"


def content(file: Path) -> list[tuple]:
    """Return what a database is made of, and at which migration it is.

    Prefect's migrations write the constraints of a table in any order.
    """
    with contextlib.closing(sqlite3.connect(file)) as database:
        rows = database.execute(
            "select type, name, tbl_name, sql from sqlite_master order by name"
        ).fetchall()
        parts = [
            (*row[:3], *sorted(line.strip(" \t,") for line in (row[3] or "").splitlines())) for row in rows
        ]
        return [*parts, *database.execute("select version_num from alembic_version").fetchall()]


def mark(file: Path) -> None:
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        database.execute("create table marked (number integer)")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that the first database was kept in, beside the folder of the first."""
    folder = tmp_path_factory.mktemp("databases")
    assert content(made(folder / "first", folder / "cache"))
    return folder / "cache"


@pytest.fixture
def template(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    return prefect_database.template()


def test_a_new_database_is_a_copy_of_the_first(cache: Path, template: Path, tmp_path: Path) -> None:
    assert [path for path in cache.rglob("*") if path.is_file()] == [template]
    migrated = content(template)
    assert migrated == content(cache.parent / "first" / "prefect.db")
    other = tmp_path / "cache" / template.relative_to(cache)
    assert prefect_database.copy(template, other)
    mark(other)
    copied = content(made(tmp_path / "second", tmp_path / "cache"))
    assert [row for row in copied if row[1:2] != ("marked",)] == migrated
    assert len(copied) == len(migrated) + 1
    # A database that is there is left alone.
    assert content(made(tmp_path / "second", cache)) == copied


def test_a_damaged_copy_is_replaced(template: Path, tmp_path: Path) -> None:
    migrated = content(template)
    damaged = tmp_path / "cache" / "servable" / template.name
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(template.read_bytes()[:40_000])
    assert content(made(tmp_path / "home", tmp_path / "cache")) == migrated == content(damaged)


def test_what_cannot_be_copied_is_left(template: Path, tmp_path: Path) -> None:
    assert not prefect_database.copy(tmp_path / "none.db", tmp_path / "new.db")
    (tmp_path / "file").touch()
    assert not prefect_database.copy(template, tmp_path / "file" / "new.db")
    (tmp_path / "text.db").write_text("no database " * 1000)
    assert not prefect_database.copy(tmp_path / "text.db", tmp_path / "new.db")
    assert {path.name for path in tmp_path.iterdir()} == {"file", "text.db"}
