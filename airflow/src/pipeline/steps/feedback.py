"""The step that reads what answers have shown, and what it leaves in `feedback/` for the training."""

import json
import logging
from contextlib import ExitStack
from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.artifacts import join, reading, writing
from pipeline.config import load_config
from pipeline.extract import open_event_log
from pipeline.extract.faults import note_read
from pipeline.extract.faults import reading as reading_database
from pipeline.extract.log_tables import Period
from pipeline.feedback.log import EXPOSURES, read_exposures
from pipeline.feedback.online import read_online
from pipeline.sentry_utils import monitor_pipeline_step
from pipeline.settings import Settings
from pipeline.steps.run_info import load_run_info

_FILE, ONLINE_FILE = "exposures.parquet", "online.json"
_ONLINE = timedelta(days=7)
_log = logging.getLogger(__name__)


@monitor_pipeline_step("feedback")
def feedback(settings: Settings, run: str) -> str:
    """The event log → `feedback/`: the exposures of the last days with their outcomes, up to the run's `as_of`.

    `online.json` has the shares of outcomes of the last week by version, which the report shows beside the metrics.
    """
    config = load_config(settings).feedback_settings()
    as_of = load_run_info(run).as_of
    found, online = EXPOSURES.empty_table(), {}
    with ExitStack() as opened:
        log = open_event_log(settings.database_url)
        if log is not None:
            with reading_database("events"):
                opened.enter_context(log)
                online = read_online(log, Period(as_of - _ONLINE, as_of))
                if config.is_used:
                    found = read_exposures(log, Period(as_of - timedelta(config.days), as_of), config.most)
            note_read("events")
    with writing(join(run, "feedback")) as folder:
        pq.write_table(found, folder / _FILE)
        (folder / ONLINE_FILE).write_text(json.dumps(online, indent=2), encoding="utf-8")
    _log.info("%s answers with an outcome or in random order", f"{len(found):,}")
    return run


def load_exposures(run: str) -> pa.Table:
    """Read what the step has written."""
    with reading(join(run, "feedback")) as folder:
        return pq.read_table(folder / _FILE)
