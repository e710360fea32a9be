"""Checks of the event log: it names datasets of this marketplace, and repeats purchases of the business database."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.extract.extract import REPEATED_PURCHASES
from pipeline.quality.findings import Finding

# Written by the extraction: the number of rows of each source. Events are the last of the interactions.
COUNTS = "counts.json"
_CHECK = "events.unknown_dataset"
_MANY = 0.01


def unknown_datasets_finding(count: int, interactions: pa.Table, dataset_ids: pa.ChunkedArray) -> Finding:
    """Count, among the `count` events, those about datasets that the business database does not have.

    Deleted datasets count as known. Many unknown ones mean that callers send ids of another system.
    """
    if not count:
        return Finding(_CHECK, "ok", "there are no events", 0.0, _MANY)
    events = interactions.slice(len(interactions) - count)
    unknown = events.filter(pc.invert(pc.is_in(events["dataset_id"], dataset_ids)))
    share = len(unknown) / count
    details = f"{len(unknown):,} of {count:,} events are about datasets that the business database does not know"
    if len(unknown):
        details += f", such as {unknown['dataset_id'][0]}: post the ids of the business database to /events"
    return Finding(_CHECK, "warning" if share > _MANY else "ok", details, round(share, 6), _MANY)


def repeated_purchases_finding(extracted: Path) -> Finding:
    """Tell how many posted purchases were left out, because the business database has them too."""
    path = extracted / COUNTS
    counts = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    count = int(counts.get(REPEATED_PURCHASES, 0))
    details = f"{count:,} purchases are in the event log and in the business database; they count once"
    return Finding("events.repeated_purchase", "info" if count else "ok", details, count, 0)
