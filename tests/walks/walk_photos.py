"""Somebody with folders of photos, one of them damaged: train, predict, look, compare, tune, clean up."""

import csv
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests import golden
from tests.walks.walk import Walk, small, walking

LABEL = "level|upright"


def test_photos(tmp_path: Path) -> None:
    with walking(tmp_path) as walk:
        photos = golden.images(walk.path("photos"))
        shutil.copy(next((photos / "upright").glob("*.jpeg")), walk.path("cat.jpg"))
        (photos / "level" / "cut.jpeg").write_bytes(
            next((photos / "level").glob("*.jpeg")).read_bytes()[:200]
        )
        _train(walk)
        _look(walk)
        _predict(walk)
        _compare(walk)
        _clean_up(walk)


def _train(walk: Walk) -> None:
    begin = "servable train image-classification --data photos/ --name pets"
    walk.do("docs/quickstart.md", begin, r"refused: level/cut\.jpeg: truncated", more="--dry-run")
    walk.do("README.md", begin, r"97 .* found = 96 accepted \+ 1 quarantined")
    walk.do("README.md", ".venv/bin/servable models", r"pets +1 +stable")


def _look(walk: Walk) -> None:
    told = walk.do("README.md", ".venv/bin/servable report pets", r"report\.html")
    page = Path(told.splitlines()[0])
    assert "accuracy" in (walk.place.folder / page).read_text()
    lines = walk.start("docs/quickstart.md", "servable serve")
    assert lines[0].startswith("gRPC 127.0.0.1:")
    address = walk.do(
        "docs/page.md",
        "servable open pets --no-browser",
        r"http://127\.0\.0\.1:\d+/#pets",
        more=f"--rest-target 127.0.0.1:{walk.place.ports['8501']}",
    ).strip()
    assert "<!doctype html>" in walk.place.run(f"curl -sf '{address}'").stdout


def _predict(walk: Walk) -> None:
    walk.do("README.md", ".venv/bin/servable predict pets cat.jpg", LABEL)
    walk.do(
        "README.md",
        ".venv/bin/servable predict pets photos/ --csv answers.csv",
        "1 of 97 inputs failed",
        code=65,
    )
    rows = list(csv.DictReader(walk.path("answers.csv").read_text().splitlines()))
    assert (len(rows), sum(bool(row["error"]) for row in rows)) == (97, 1)
    assert {row["label"] for row in rows} == {"level", "upright", ""}
    handler = partial(SimpleHTTPRequestHandler, directory=str(walk.place.folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{web.server_port}/cat.jpg"
        asking = "servable predict pets https://example.org/cat.jpg"
        own = {"https://example.org/cat.jpg": url}
        walk.do("docs/predict.md", asking, "not on the public internet", own=own, code=77)
        walk.do("docs/predict.md", asking, LABEL, own=own, more="--allow-private-addresses")
        web.shutdown()
    walk.do("README.md", ".venv/bin/servable explain pets cat.jpg --out heatmap.png", "strongest")
    assert walk.path("heatmap.png").stat().st_size > 0


def _compare(walk: Walk) -> None:
    walk.do(
        "README.md",
        "servable train image-classification --data photos/ --name pets",
        r"pets version 2 is published",
        more=f"{small('image-classification')} --accept-worse",
    )
    walk.do("README.md", "servable compare pets@1 pets", "accuracy", more="--html compared.html")
    assert walk.path("compared.html").is_file()
    walk.do(
        "docs/tuning.md",
        "servable tune image-classification --data photos/ --name pets --trials 20 --minutes 30",
        r"best .*accuracy",
        own={"--trials 20": "--trials 2"},
        more=f"{small('image-classification')} --no-train --local",
    )


def _clean_up(walk: Walk) -> None:
    walk.do("README.md", ".venv/bin/servable rollback pets", "version 1 is stable")
    walk.place.stop()
    walk.do("README.md", "servable delete", "deleted version 2", more="pets@2 --yes")
    walk.do("README.md", "servable prune", "freed", more="--keep 1 --yes")
    walk.do("README.md", ".venv/bin/servable predict pets cat.jpg --local", LABEL)
