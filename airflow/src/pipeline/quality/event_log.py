"""Checks that the events of callers name datasets of this marketplace."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.quality.findings import Finding

# Written by the extraction: the number of rows of each source. Events are the last of the interactions.
COUNTS = "counts.json"
_CHECK = "events.unknown_dataset"
_MANY = 0.01


def unknown_datasets_finding(extracted: Path, interactions: pa.Table, dataset_ids: pa.ChunkedArray) -> Finding:
    """Count the events about datasets that are not in the business database; deleted ones count as known.

    Many of them mean that callers send ids of another system.
    """
    path = extracted / COUNTS
    count = int(json.loads(path.read_text(encoding="utf-8")).get("events", 0)) if path.exists() else 0
    if not count:
        return Finding(_CHECK, "ok", "there are no events", 0.0, _MANY)
    events = interactions.slice(len(interactions) - count)
    unknown = events.filter(pc.invert(pc.is_in(events["dataset_id"], dataset_ids)))
    share = len(unknown) / count
    details = f"{len(unknown):,} of {count:,} events are about datasets that the business database does not know"
    if len(unknown):
        details += f", such as {unknown['dataset_id'][0]}: post the ids of the business database to /events"
    return Finding(_CHECK, "warning" if share > _MANY else "ok", details, round(share, 6), _MANY)
