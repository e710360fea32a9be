"""From the databases to Parquet: the input of a run."""

from pipeline.extract.events import open_event_log
from pipeline.extract.extract import extract, open_business

__all__ = ["extract", "open_business", "open_event_log"]
