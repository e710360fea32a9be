"""From the databases to Parquet: the input of a run."""

from pipeline.extract.as_of import AsOf
from pipeline.extract.events import open_event_log
from pipeline.extract.extract import extract, open_business

__all__ = ["AsOf", "extract", "open_business", "open_event_log"]
