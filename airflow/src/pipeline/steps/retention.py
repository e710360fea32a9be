"""Deletes old runs, so that the store doesn't fill up."""

import logging

from pipeline.artifacts import folders_below, join, remove
from pipeline.sentry_utils import monitor_pipeline_step
from pipeline.settings import Settings

_log = logging.getLogger(__name__)


@monitor_pipeline_step("prune", critical=False)
def prune(settings: Settings) -> None:
    """Remove all but the newest RUNS_KEPT of `runs/` and of `snapshots/`; their names sort by time."""
    for kind in ("runs", "snapshots"):
        root = join(settings.artifact_url, kind)
        for name in folders_below(root)[: -settings.runs_kept]:
            remove(join(root, name))
            _log.info("removed %s/%s", kind, name)
