"""Show the summary of a finished training to people."""

from typing import Any

from flows.console import terminal

#: Metrics of the finished model, by the beginning of their names.
SHOWN = ("test/", "eval/", "cv/")


def show(summary: dict[str, Any], *, quiet: bool = False) -> None:
    """Print the main figures of a training and where to look next.

    Args:
        summary: of the training.
        quiet: print one line alone.
    """
    if "worker" in summary:
        terminal.note(f"worker {summary['worker']} of {summary['workers']} is done; worker 0 keeps the model")
        return
    metrics = summary["metrics"]
    if quiet:
        print(line(summary))
        return
    rows = [(name, figure(value)) for name, value in sorted(metrics.items()) if name.startswith(SHOWN)]
    terminal.table(f"{summary['model']} version {summary['version']}", ("metric", "value"), rows)
    stages = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in summary["seconds"].items())
    terminal.note(f"seconds: {stages}")
    terminal.note(f"report:  {summary['report']}")
    terminal.note(f"log:     {summary['log']}")
    terminal.note(f"release: {summary['release']}")
    terminal.note(
        f"serve:   servable serve, then servable predict {summary['model']} {_asked(summary['task'])}"
    )


def line(summary: dict[str, Any]) -> str:
    """Return the result of a training in one line: model, version and the metric that decides."""
    version = f"{summary['model']} version {summary['version']}{' unchanged' if summary['unchanged'] else ''}"
    name = summary["metric"]
    return f"{version}: {name} {figure(summary['metrics'][name])}" if name in summary["metrics"] else version


def _asked(task: str) -> str:
    from models import tasks

    raw = tasks.find(task).raw
    return raw.name.upper() if raw.cells else "FILE"


def figure(value: float) -> str:
    """Write a metric with at most four digits that count; a count in full."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"
