"""The clean tables of a marketplace that exists in memory only."""

from datetime import datetime
from pathlib import Path

from pydantic import SecretStr

from pipeline.business.content import Content
from pipeline.business.database import open_engine
from pipeline.business.load import replace_content
from pipeline.extract import extract, open_business
from pipeline.quality import clean


def write_clean_tables(content: Content, folder: Path, now: datetime) -> Path:
    """Load a content into a database below `folder`, extract and clean it, and return the folder of the tables."""
    extracted, cleaned = folder / "extract", folder / "clean"
    extracted.mkdir(parents=True)
    cleaned.mkdir()
    url = f"sqlite:///{folder / 'business.db'}"
    engine = open_engine(url, "BUSINESS_DATABASE_URL")
    replace_content(engine, content)
    engine.dispose()
    with open_business(SecretStr(url)) as business:
        extract(business, None, None, extracted)
    clean(extracted, cleaned, now)
    return cleaned
