"""Pipeline runs without their feature store, without their database, and on insufficient business data."""

import sqlite3
import sys
from contextlib import closing

from verify.fault_lab import FaultLab, FaultNotFiredError, free_port
from verify.faults.fault import Fault, Raised

SMALL = ("--datasets", "100", "--users", "50", "--interactions", "1000")
_POOR = (
    "UPDATE datasets SET price = -1 WHERE id = (SELECT min(id) FROM datasets)",
    # So few interactions are left that the 5-core is empty and nothing can be evaluated.
    "DELETE FROM interactions WHERE id >= (SELECT min(id) + 100 FROM interactions)",
)
_PIPELINE = (sys.executable, "-m", "pipeline")
_BY_PIPELINE = Raised("pipeline")


def fire(shop: FaultLab) -> None:
    """See the package."""
    business = shop.folder / "business.db"
    whole = {"BUSINESS_DATABASE_URL": f"sqlite:///{business}", "ARTIFACT_URL": str(shop.folder / "runs")}
    nowhere = f"127.0.0.1:{free_port()}"
    shop.command([*_PIPELINE, "run", "--no-publish"], {**whole, "ARTIFACT_URL": f"ftp://{nowhere}/artifacts"})
    shop.command(
        [*_PIPELINE, "demo", *SMALL], {**whole, "BUSINESS_DATABASE_URL": f"postgresql+psycopg2://verify@{nowhere}/none"}
    )
    said = shop.command([*_PIPELINE, "demo", *SMALL], whole)
    if not business.exists():
        raise FaultNotFiredError(f"no business data: {said}")
    with closing(sqlite3.connect(business)) as connection, connection:
        for statement in _POOR:
            connection.execute(statement)
    shop.command([*_PIPELINE, "evaluate"], whole)


FAULT = Fault(
    "offline",
    dict.fromkeys(
        (
            "pipeline.critical_step_failed",
            "pipeline.step_failed",
            "pipeline.data_quality",
            "pipeline.model_training",
            "pipeline.database",
        ),
        _BY_PIPELINE,
    ),
    fire,
)
