"""Somebody who runs it for others: schedule, serve with TLS and a token, try a canary, roll back, check."""

import json
import re
import shutil
from pathlib import Path

from tests import golden
from tests.conftest import ROOT
from tests.walks.walk import Walk, small, walking

OPERATING, SECURITY = "docs/operating.md", "docs/security.md"


def test_an_operator(tmp_path: Path) -> None:
    with walking(tmp_path) as walk:
        photos = golden.images(walk.path("photos"))
        shutil.copy(next((photos / "upright").glob("*.jpeg")), walk.path("cat.jpg"))
        _schedule(walk)
        _train(walk)
        _serve(walk)
        _move(walk)
        _check(walk)


def _schedule(walk: Walk) -> None:
    lines = walk.start("README.md", ".venv/bin/servable ui")
    assert [line.split()[0] for line in lines] == ["MLflow", "Prefect"]
    walk.do(
        "README.md",
        '.venv/bin/servable schedule image-classification --cron "0 3 * * *" --data photos/ --name pets '
        "--recipe cnn",
        "deployed servable-train/image-classification-pets, due at '0 3",
    )
    walk.do("README.md", ".venv/bin/servable schedule list", r"pets +image-classification")
    page = "docs/training.md"
    walk.do(page, "servable schedule pause NAME", "pets: paused", own={"NAME": "pets"})
    walk.do("README.md", ".venv/bin/servable worker --once", "no training is due")
    walk.do("README.md", "servable schedule list", r"pets .* yes ")
    own = {"list": "remove pets"}
    walk.do("README.md", ".venv/bin/servable schedule list", "pets: no longer scheduled", own=own)


def _train(walk: Walk) -> None:
    for version, seed in ((1, 0), (2, 1)):
        walk.do(
            "README.md",
            "servable train image-classification --data photos/ --name pets",
            f"pets version {version} is published and stable",
            more=f"{small('image-classification')} --seed {seed} --accept-worse",
        )


def _serve(walk: Walk) -> None:
    """Make a certificate and a token with the commands of the documents, and serve with both."""
    page = (ROOT / "docs/serving.md").read_text()
    begin = page.index("openssl req")
    made = walk.place.run(page[begin : page.index("servable serve", begin)])
    assert made.returncode == 0, made.stderr
    walk.do(SECURITY, "openssl rand -hex 32 > token && chmod 600 token")
    walk.start("docs/serving.md", "servable serve --ssl_config_file=ssl.config", "--token_file=token")
    query = "servable predict pets cat.jpg"
    walk.do(SECURITY, query, "upright", more="--ca cert.pem --token-file token")
    walk.do(SECURITY, query, "authorization", more="--ca cert.pem", code=77)
    walk.do(SECURITY, query, "Use TLS if the server does: --tls", code=69)
    walk.do(
        SECURITY,
        'curl --cacert cert.pem -H "authorization: Bearer $(cat token)" https://gpu-box:8501/v1/models/pets',
        '"AVAILABLE"',
        own={"gpu-box": "127.0.0.1"},
        more="-s",
    )


def _move(walk: Walk) -> None:
    walk.do(OPERATING, "servable compare pets@1 pets@2", "accuracy")
    walk.do(OPERATING, "servable rollback pets", "version 1 is stable")
    walk.do(
        OPERATING,
        'servable promote pets 2 --to canary --share 25 --reason "more photos of birds"',
        "version 2 is the canary and answers 25 % of the requests",
    )
    walk.do(OPERATING, "servable watch pets --once", r"more (requests|minutes) are needed|no fault|^$")
    walk.do(OPERATING, 'servable rollback pets --reason "complaints from the field"', "version 1 is stable")
    told = walk.do(OPERATING, "servable history pets", more="--json")
    moves = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    reasons = [str(move) for move in moves]
    for reason in ("more photos of birds", "complaints from the field"):
        assert any(reason in move for move in reasons), told
    walk.do(OPERATING, 'servable promote pets 2 --reason "better on birds"', "version 2 is stable")


def _check(walk: Walk) -> None:
    dataset = min(path.parent for path in walk.path("workspace").glob("datasets/**/manifest.parquet"))
    walk.do(
        "docs/ingest.md", "servable verify DATASET", "all files are unchanged", own={"DATASET": str(dataset)}
    )
    walk.do(
        "docs/monitoring.md",
        "servable monitor pets --data photos-of-this-week/",
        "no drift",
        own={"photos-of-this-week/": "photos/"},
    )
    # A port that another program of this machine has is a finding of the doctor.
    ended = walk.place.run("servable doctor")
    assert ended.returncode in (0, 78), ended.stdout
    assert re.search(r"uv\.lock", ended.stdout + ended.stderr)
    walk.do(
        "docs/import.md",
        "servable import FOLDER_OF_A_SAVEDMODEL --name pets",
        "imported version 1 is published and stable",
        own={"FOLDER_OF_A_SAVEDMODEL --name pets": "workspace/repository/pets/1 --name imported"},
    )
    walk.do(OPERATING, "servable models", r"imported +1 +stable")
