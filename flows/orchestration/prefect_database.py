"""The database of an embedded Prefect server: a new one is a copy of one that was migrated before.

Prefect takes an empty SQLite database through its whole history of migrations, for seconds that the first
training of every workspace would wait. What comes out depends on Prefect's version alone.
"""

import asyncio
import contextlib
import importlib.metadata
import os
import sqlite3
import tempfile
from pathlib import Path

from features.storage.locks import locked
from flows.orchestration import addresses


def migrate(folder: Path) -> None:
    """Make the database, or bring it up to date, while no other server of the folder does.

    Prefect's own migration at the start of a server fails where two of them begin on one new database.
    """
    from prefect.server.database import provide_database_interface

    async def upgrade() -> None:
        await database.create_db()
        await (await database.engine()).dispose()

    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / "migration.lock"):
        database = provide_database_interface()
        file = addresses.sqlite_file(database.database_config.connection_url)
        new = file if file is not None and not file.exists() else None
        copied = new is not None and copy(template(), new)
        asyncio.run(upgrade())
        if new is not None and not copied:
            copy(new, template())


def template() -> Path:
    """Return the file with an empty database of this version of Prefect, which all workspaces share."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "servable" / f"prefect-{importlib.metadata.version('prefect')}.db"


def copy(source: Path, target: Path) -> bool:
    """Copy a database that nobody writes to, whole or not at all; return whether it could be copied."""
    if not source.is_file():
        return False
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            part = Path(folder) / target.name
            with (
                contextlib.closing(sqlite3.connect(source)) as old,
                contextlib.closing(sqlite3.connect(part)) as new,
            ):
                old.backup(new)
                if new.execute("pragma quick_check").fetchone() != ("ok",):
                    return False
            part.replace(target)
    except (OSError, sqlite3.Error):
        return False
    return True
