"""Which runs of the pipeline rebuild the data of an earlier day; such a run never deploys."""

from datetime import datetime, timedelta
from typing import Any

# A nightly run that starts later than the next one is due is about the past.
_PAST = timedelta(days=1)


def is_rebuild(dag_run: Any, now: datetime) -> bool:
    """Return whether a run is a backfill, or has a logical date more than a day ago."""
    if getattr(dag_run.run_type, "value", dag_run.run_type) == "backfill":
        return True
    return dag_run.logical_date is not None and now - dag_run.logical_date > _PAST
