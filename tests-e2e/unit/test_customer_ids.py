"""A customer's datasets are requested by the customer's ids, from the import to the answer."""

import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from localservers.waiting import wait_until
from recommender_api.app import create_app
from recommender_api.settings import Settings
from servicekit.http_protocol import HttpProtocol
from testkit.fake_registry import FakeRegistry
from testkit.running_app import RunningApp

# In the order of a customer's file, which is not that of the numbers.
DATASETS = ["30", "10", "20", *(str(number) for number in range(1, 30) if number not in (10, 20)), "SKU-77", "0111161"]
USERS = [str(1001 + number) for number in range(40)]


def import_and_train(folder: Path) -> Path:
    """Return the bundle of a marketplace with these ids."""
    random = Random(4)
    with (folder / "datasets.csv").open("w", newline="") as file:
        rows = [
            (name, f"Customer dataset {name} topic {place % 5}", f"t{place % 5}") for place, name in enumerate(DATASETS)
        ]
        csv.writer(file).writerows([("id", "title", "tags"), *rows])
    with (folder / "interactions.csv").open("w", newline="") as file:
        now = datetime.now(UTC)
        done = [
            (
                user,
                name,
                random.choice(("view", "click", "purchase")),
                (now - timedelta(hours=random.randrange(1000))).isoformat(),
            )
            for user in USERS
            for name in random.sample(DATASETS, 8)
        ]
        csv.writer(file).writerows([("user_id", "dataset_id", "type", "ts"), *done])
    environment = {
        "PATH": os.environ["PATH"],
        "BUSINESS_DATABASE_URL": f"sqlite:///{folder / 'business.db'}",
        "ARTIFACT_URL": str(folder / "artifacts"),
    }
    for arguments in (("import", "--source", "csv", "--dir", str(folder)), ("run", "--no-publish")):
        command = [sys.executable, "-m", "pipeline", *arguments]
        done_with = subprocess.run(
            command, env=environment, cwd=folder, capture_output=True, text=True, timeout=120, check=False
        )
        assert done_with.returncode == 0, done_with.stderr
    (bundle,) = folder.glob("artifacts/runs/*/bundle/bundle.tar.gz")
    return bundle


@pytest.fixture
def api(tmp_path: Path, redis_url: str) -> Iterator[RunningApp]:
    """recommender-api with that bundle."""
    registry = FakeRegistry()
    registry.deploy(registry.push("1", import_and_train(tmp_path)))
    registry.start()
    settings = Settings(
        environment="test",
        redis_url=redis_url,
        redis_budget_ms=100,
        request_budget_ms=1000,
        registry_url=registry.url,
        registry_token="any",
        model_cache_dir=tmp_path / "models",
        event_journal_dir=tmp_path / "journal",
        events_token="the-token",
    )
    try:
        with RunningApp(create_app(settings), HttpProtocol) as running:
            wait_until(lambda: running.get("/ready").is_success, within=60, what="a model is loaded")
            yield running
    finally:
        registry.stop()


def test_no_answer_is_about_another_dataset(api: RunningApp) -> None:
    titles = {}
    for name in DATASETS:
        answer = api.ask(f"/similar/{name}", limit=50)
        assert answer.get("external_id", str(answer["dataset_id"])) == name
        titles |= {item.get("external_id", str(item["dataset_id"])): item["title"] for item in answer["items"]}
    assert len(titles) == len(DATASETS)
    for name, title in titles.items():
        assert title.startswith(f"Customer dataset {name} topic")
    assert api.http.get("/similar/0111162").status_code == 404
    event = {
        "event_id": "e-1",
        "type": "view",
        "user_id": 1001,
        "dataset_id": "SKU-77",
        "ts": datetime.now(UTC).isoformat(),
    }
    assert api.post("/events", {"events": [event]}, token="the-token").json() == {"accepted": 1, "duplicates": 0}
    assert "recommender_events_unknown_dataset_total 0.0" in api.http.get("/metrics").text
