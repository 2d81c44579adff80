"""Trainings through the command line, with one seed or several: the figure of one says little."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.trained import command

SEEDS = (0, 1, 2)
#: Seconds of a training beyond which the first seed has to do.
QUICK = 300.0
#: Seconds of the longest training.
LONGEST = 4 * 3600.0


def trained(folder: Path, task: str, data: Path, name: str, *options: str) -> tuple[dict, float]:
    """Train through the command line; give the summary and the seconds of the whole command."""
    begin = time.perf_counter()
    line = ("train", task, "--data", data, "--name", name, *options, "--json")
    # A hung training is ended by the time limit of the whole benchmark; see `night`.
    done = command(*line, workspace=folder / "workspace", timeout=LONGEST)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), time.perf_counter() - begin


def repeated(folder: Path, task: str, data: Path, name: str, *options: str) -> tuple[dict[str, Any], float]:
    """Train with seed 0 and, where that took under five minutes, with the others as well.

    Returns:
        The summary of seed 0, in which ``metrics`` are means over the seeds and ``deviations`` their
        deviations; the seconds of the first command.
    """
    first, wall = trained(folder, task, data, name, *options)
    rest = SEEDS[1:] if wall < QUICK else ()
    others = [
        trained(folder, task, data, f"{name}-{seed}", *options, "--seed", str(seed))[0] for seed in rest
    ]
    return joined([first, *others]), wall


def joined(summaries: list[dict[str, Any]]) -> dict[str, Any]:
    """Take the means and deviations of the metrics that all summaries have, and all else from the first."""
    every = [summary["metrics"] for summary in summaries]
    shared = [name for name in every[0] if all(name in metrics for metrics in every)]
    values = {name: [metrics[name] for metrics in every] for name in shared}
    means = {name: float(np.mean(each)) for name, each in values.items()}
    deviations = {name: float(np.std(each, ddof=1)) for name, each in values.items() if len(each) > 1}
    return summaries[0] | {"metrics": means, "deviations": deviations, "seeds": len(summaries)}


def cell(summary: dict[str, Any], metric: str, digits: int = 4) -> str:
    """Write a metric; over several seeds its mean, deviation and their number."""
    value = f"{summary['metrics'][metric]:.{digits}f}"
    if metric not in summary.get("deviations", {}):
        return value
    return f"{value} ± {summary['deviations'][metric]:.{digits}f} ({summary['seeds']} seeds)"
