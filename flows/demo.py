"""The main job from end to end on real images that come with a dependency: scikit-learn's digits.

1,797 scans of handwritten digits (8x8 grey levels, from the UCI repository), written as PNG files
together with a few damaged ones, so that the quarantine has something to show.
"""

import signal
import subprocess
import sys
from pathlib import Path

from PIL import Image

from features.errors import UnavailableError
from flows import predict, terminal
from flows import request as requests
from flows import summary as summaries
from flows.workspace import Workspace

NAME = "digits"


def run(workspace: Workspace) -> None:
    """Ingest, train, evaluate, pass the gate, publish, serve and query; then tell where to look."""
    folder = write_digits(workspace.root / "demo" / NAME)
    terminal.note(f"wrote scikit-learn's digits to {folder}, with three damaged files among them")
    request = requests.Request(
        task="image-classification",
        data=str(folder),
        name=NAME,
        recipe="digits",
        workspace=str(workspace.root),
    )
    with terminal.progress_bars():
        summary = requests.run(request)
    summaries.show(summary)
    samples = [next((folder / str(digit)).glob("*.png")) for digit in range(0, 10, 3)]
    _serve_and_ask(workspace, samples)
    terminal.stdout.print(
        f"\nReport    {summary['report']}\nRelease   {summary['release']}\n"
        "UIs       .venv/bin/servable ui\nServe     .venv/bin/servable serve\n"
        f"Ask       .venv/bin/servable predict {NAME} {samples[0]}",
        highlight=False,
        soft_wrap=True,
    )


def write_digits(folder: Path) -> Path:
    """Write the scans as 32x32 PNG files in a folder per digit; files that exist stay as they are."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    for number, (scan, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        path = folder / str(digit) / f"scan-{number:04d}.png"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            grey = (scan * (255 / 16)).astype("uint8")
            Image.fromarray(grey).resize((32, 32), Image.Resampling.NEAREST).save(path)
    whole = (folder / "0" / "scan-0000.png").read_bytes()
    (folder / "0" / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (folder / "1" / "empty.png").write_bytes(b"")
    (folder / "2" / "error-page.png").write_text("<!doctype html><title>404 Not Found</title>")
    return folder


def _serve_and_ask(workspace: Workspace, samples: list[Path]) -> None:
    command = [sys.executable, "-m", "flows", "serve", "--workspace", str(workspace.root), "--port=0"]
    log = workspace.root / "demo" / "server.log"
    with log.open("wb") as stream:
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stream, text=True)
    try:
        target = _address(server, log)
        terminal.note(f"the model server answers at {target}; asking it over gRPC:")
        for answer in predict.answers(NAME, samples, target=target):
            terminal.stdout.print(f"  {predict.sentence(answer)}", highlight=False, soft_wrap=True)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)


def _address(server: subprocess.Popen, log: Path) -> str:
    """Read where the server listens from its first line."""
    line = server.stdout.readline() if server.stdout else ""
    if not line.startswith("gRPC "):
        raise UnavailableError(
            "the model server did not start", got=f"exit code {server.poll()}", todo=f"read {log}"
        )
    return line.removeprefix("gRPC ").strip()
