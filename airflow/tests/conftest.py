"""A small marketplace, as Parquet and as records, made once."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import monitoring

if TYPE_CHECKING:
    from pipeline.business.content import Content
    from pipeline.records import Records

END = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _context() -> Iterator[None]:
    """What a step adds to the context of reports ends with the test that has called the step."""
    with monitoring.bound_context():
        yield


@pytest.fixture(scope="session")
def content() -> "Content":
    """A marketplace of 300 datasets, 200 users and 12,000 interactions that end at END."""
    from pipeline.demo import DemoSize, generate

    return generate(DemoSize(datasets=300, users=200, interactions=12_000), seed=7, end=END)


@pytest.fixture(scope="session")
def clean_folder(content: "Content", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its clean Parquet files."""
    from prove.clean_content import write_clean_tables

    return write_clean_tables(content, tmp_path_factory.mktemp("marketplace"), END)


@pytest.fixture(scope="session")
def records(clean_folder: Path) -> "Records":
    """Its records."""
    from pipeline.records import Records

    return Records.load(clean_folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def business_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty business database, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'business.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url
