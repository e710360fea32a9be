"""The definition of a run."""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from pipeline.artifacts import join
from pipeline.errors import PipelineError
from pipeline.settings import Settings
from pipeline.steps import data, handover, modelling
from pipeline.steps.retention import prune

_log = logging.getLogger(__name__)


class Step(NamedTuple):
    """One step: its name, and its function from the address of a run to that address."""

    name: str
    run: Callable[[Settings, str], str]


_DATA = (Step("extract", data.extract), Step("quality", data.quality), Step("features", data.features))
_EVALUATE = Step("evaluate", modelling.evaluate)
RUN = (
    *_DATA,
    Step("recall", modelling.recall),
    Step("train", modelling.train),
    _EVALUATE,
    Step("precompute", modelling.precompute),
    Step("bundle", modelling.bundle),
)
HANDOVER = (Step("publish", handover.publish), Step("deploy", handover.deploy), Step("sync", handover.sync))
EVALUATION = (*_DATA, _EVALUATE)


def steps(*, publish: bool) -> tuple[Step, ...]:
    """Return the steps of a whole run; without `publish` it ends with the bundle."""
    return (*RUN, *HANDOVER) if publish else RUN


def new_run(settings: Settings, now: datetime) -> str:
    """Return the address of a run that starts now; its name becomes the version of bundle and snapshot.

    Old runs are deleted first.
    """
    try:
        prune(settings)
    except (OSError, PipelineError) as error:
        # The function has reported it, and old runs only cost space.
        _log.warning("old runs could not be deleted: %s", error)
    return join(settings.artifact_url, "runs", run_name(now))


def run_name(now: datetime) -> str:
    """Return the name of a run that starts now; names sort by time."""
    return now.strftime("%Y%m%dT%H%M%S%fZ")
