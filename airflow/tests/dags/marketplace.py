"""A small marketplace in SQLite, and the settings of a run over it."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from fake_handover import FakeHandover

from pipeline.business.database import open_engine
from pipeline.business.load import replace_content
from pipeline.demo import DemoSize, generate


def set_marketplace(patch: pytest.MonkeyPatch, folder: Path, services: FakeHandover) -> str:
    """Fill a database below a folder and set the environment of a run; returns the database's URL."""
    url = f"sqlite:///{folder}/business.db"
    content = generate(DemoSize(datasets=120, users=150, interactions=4000), 42, datetime.now(UTC))
    replace_content(open_engine(url, "BUSINESS_DATABASE_URL"), content)
    config = folder / "pipeline.yaml"
    config.write_text("queries: {most: 200}\n", encoding="utf-8")
    for name, value in {
        "BUSINESS_DATABASE_URL": url,
        "ARTIFACT_URL": str(folder / "artifacts"),
        "REGISTRY_URL": services.url,
        "FEATURE_SYNC_URL": services.url,
        "PIPELINE_CONFIG": str(config),
        "TRAINING_THREADS": "1",
    }.items():
        patch.setenv(name, value)
    return url
