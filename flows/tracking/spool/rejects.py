"""Events that MLflow refused: counted, explained, and offered again.

``rejected.jsonl`` in the spool keeps one of them a line, ``.rejected/RUN/`` the files they would have
uploaded. Offered again, the events of a run go into a spool folder of their own, and from there to
MLflow as all others do; what is refused again comes back here.
"""

import json
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from features.storage.files import write_file
from flows.console.redaction import mask
from flows.tracking.spool.outbox import (
    FILES,
    GONE,
    IDS,
    REJECTED,
    REJECTED_FILES,
    Journal,
    Spool,
    now,
    rejections,
)

#: Stands in the name of a folder between the run and the time at which its events were offered again.
AGAIN = ".again-"
#: Reasons named in a sentence; the file has all.
MOST_REASONS = 3


def describe(folder: Path) -> str:
    """Describe in one line how many events were rejected, why and where they are; empty if none were."""
    records = [record for _, record in _records(folder)]
    if not records:
        return ""
    runs = len({(record or {}).get("run") for record in records})
    reasons = Counter(str((record or {}).get("reason", "the line cannot be read")) for record in records)
    named = "; ".join(f"{_short(reason)} ({count})" for reason, count in reasons.most_common(MOST_REASONS))
    others = f"; {len(reasons) - MOST_REASONS} other reasons" if len(reasons) > MOST_REASONS else ""
    return (
        f"tracking: {len(records)} events of {runs} runs were rejected by MLflow and are kept in "
        f"{folder / REJECTED}: {named}{others}. Send them again with: servable sync --rejected"
    )


def _short(reason: str) -> str:
    text = mask(" ".join(reason.split()))
    return text if len(text) <= 160 else f"{text[:157]}..."


def offer(folder: Path) -> int:
    """Put the rejected events of a spool folder among those that wait; return how many.

    A line that cannot be read, here or in the spool before, stays where it is.
    """
    if not (folder / REJECTED).is_file():
        return 0
    with rejections(folder):
        lines, runs = [], dict[str, list[dict[str, Any]]]()
        for line, record in _records(folder):
            if record is None or record["kind"] == "damaged":
                lines.append(line)
            else:
                runs.setdefault(record["run"].partition(AGAIN)[0], []).append(record)
        for run, records in runs.items():
            _put_back(folder, run, records)
        write_file(folder / REJECTED, "".join(lines))
        if not lines:
            (folder / REJECTED).unlink()
    return sum(map(len, runs.values()))


def _records(folder: Path) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Yield every line with what it holds; None if it cannot be read."""
    with suppress(FileNotFoundError), open(folder / REJECTED, encoding="utf-8", errors="replace") as stream:
        for line in stream:
            if line.strip():
                yield line if line.endswith("\n") else line + "\n", _parsed(line)


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
        valid = isinstance(record["body"], dict) and isinstance(record["at"], int)
        named = isinstance(record["kind"], str) and Path(record["run"]).name == record["run"] != ""
        return record if valid and named else None
    except (ValueError, KeyError, TypeError):
        return None


def _put_back(folder: Path, run: str, records: list[dict[str, Any]]) -> None:
    """Write the events of a run to a folder of their own, aside first."""
    aside = folder / f"{GONE}{uuid.uuid4().hex}"
    journal = Journal(aside)
    for record in records:
        if "file" in record["body"]:
            _move_file(folder, record, journal)
        journal.append(record["kind"], record["body"], at=record["at"])
    if status := _missing_end(folder / run, records):
        journal.append("finish", {"status": status}, at=max(record["at"] for record in records))
    journal.save_cursor(_ids(folder / run, records) | {"of": run})
    journal.close()
    aside.rename(folder / f"{run}{AGAIN}{now()}")


def _move_file(folder: Path, record: Mapping[str, Any], journal: Journal) -> None:
    target = journal.staged(record["body"]["file"])
    source = folder / REJECTED_FILES / record["run"] / target.name
    if source.exists() and target.parent == journal.directory / FILES:
        target.parent.mkdir(exist_ok=True)
        source.rename(target)
        with suppress(OSError):  # not empty yet
            source.parent.rmdir()


def _missing_end(directory: Path, records: list[dict[str, Any]]) -> str:
    """Return the status of a run whose start was rejected, but not its end: earlier versions did that.

    Its spool folder says how it ended; one that is gone was deleted because it had FINISHED.
    """
    kinds = {record["kind"] for record in records}
    if "start" not in kinds or "finish" in kinds:
        return ""
    state, _ = Spool(directory).last_state()
    return {"": "FINISHED", "RUNNING": ""}.get(state, state)


def _ids(directory: Path, records: list[dict[str, Any]]) -> dict[str, Any]:
    """Return MLflow's ids of the run, as far as they are known here."""
    ids = Spool(directory).cursor() | next((r["ids"] for r in reversed(records) if r.get("ids")), {})
    return {key: ids[key] for key in IDS if key in ids}
