"""From the databases to Parquet: the input of a run."""

from pipeline.extract.as_of import AsOf
from pipeline.extract.events import EVENTS_SETTLE_AFTER, open_event_log
from pipeline.extract.extract import extract, open_business
from pipeline.extract.incremental import ExtractedStore

__all__ = ["EVENTS_SETTLE_AFTER", "AsOf", "ExtractedStore", "extract", "open_business", "open_event_log"]
