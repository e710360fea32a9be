"""Steps that make the data: extract, quality, features."""

import json
import logging
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import AwareDatetime, BaseModel, TypeAdapter

from contracts.data_checks import DataCheck
from contracts.features import USER_FEATURES
from contracts.snapshot import write_snapshot
from pipeline.arrays import load_array, save_arrays
from pipeline.artifacts import folders_below, join, read_file, reading, writing
from pipeline.errors import DataError, NoTablesError, NothingToTrainError
from pipeline.extract import EVENTS_SETTLE_AFTER, AsOf, ExtractedStore, open_business, open_event_log
from pipeline.extract import extract as extract_tables
from pipeline.features.items import ItemState, item_state
from pipeline.quality import clean
from pipeline.quality.baselines import earlier_profiles
from pipeline.quality.event_log import COUNTS
from pipeline.quality.quarantine import QuarantinedRow, read_quarantine
from pipeline.quality.rules_file import load_rules
from pipeline.recall import read_own_vectors
from pipeline.records import Records
from pipeline.relational import check_engine, open_engine
from pipeline.sentry_utils import monitor_pipeline_step
from pipeline.settings import Settings
from pipeline.snapshot import add_changes, user_blobs
from pipeline.steps.code_version import code_version
from pipeline.steps.columns import load_declared, load_own_data
from pipeline.steps.marker_files import load_marker
from pipeline.steps.run_info import is_refresh, load_run_info
from pipeline.withdrawn import read_withdrawn
from ranking.features import item_table
from ranking.recall import Popular

_log = logging.getLogger(__name__)
_CHECKS = TypeAdapter(list[DataCheck])
# In `extract/`, if there is an event log.
EVENTS_UNTIL = "events_until.json"
# In `features/`, if the user has some.
_OWN_VECTORS = "own_vectors"


class EventsUntil(BaseModel):
    """`events_until.json`: all events that were received before this moment have been read."""

    events_until: AwareDatetime


@monitor_pipeline_step("extract")
def extract(settings: Settings, run: str) -> str:
    """Databases → `extract/`; raises `NothingToTrainError` if the business database is still empty."""
    info = load_run_info(run)
    with ExitStack() as opened, writing(join(run, "extract")) as folder:
        business = opened.enter_context(open_business(settings.business_database_url))
        log = open_event_log(settings.database_url)
        events = None if log is None else opened.enter_context(log)
        try:
            counts = extract_tables(
                business,
                events,
                settings.extraction_sql,
                folder,
                settings.zone,
                as_of=AsOf(info.as_of, info.started_at),
                store=ExtractedStore(extracted_of(run), info.started_at, code_version(), is_full=info.full_extraction),
            )
        except NoTablesError as error:
            require_earlier_bundle(run)
            raise error from None
        if not counts["datasets"] and not counts["interactions"]:
            require_earlier_bundle(run)
        (folder / COUNTS).write_text(json.dumps(counts), encoding="utf-8")
        if "events" in counts:
            until = EventsUntil(events_until=info.as_of - EVENTS_SETTLE_AFTER)
            (folder / EVENTS_UNTIL).write_text(until.model_dump_json(), encoding="utf-8")
    return run


@monitor_pipeline_step("quality")
def quality(settings: Settings, run: str) -> str:
    """`extract/` → `clean/`; if a check stops the run, `clean/` holds only the report and the profile."""
    check_engine(settings.pipeline_engine_url, settings.artifact_url)
    rules = load_rules(settings.quality_rules)
    withdrawn = read_withdrawn(settings.database_url)
    now = load_run_info(run).as_of
    earlier = earlier_profiles(other_trainings(run), now)
    failure: DataError | None = None
    with (
        reading(join(run, "extract")) as extracted,
        writing(join(run, "clean")) as folder,
        open_engine(settings.pipeline_engine_url, folder) as engine,
    ):
        try:
            findings = clean(extracted, folder, now, withdrawn, rules=rules, earlier=earlier, engine=engine)
        except DataError as error:
            # The folder is kept, because it says why.
            failure = error
    if failure is not None:
        raise failure
    _log.info("%d quality findings, none critical", len(findings))
    return run


@monitor_pipeline_step("features")
def features(settings: Settings, run: str) -> str:
    """`clean/`, `columns/` → `features/`, and the snapshot of all users, which says until when it has the events."""
    records = load_records(run)
    # First, because a mistake in the user's file should cost no time.
    own = None if settings.dataset_vectors is None else read_own_vectors(settings.dataset_vectors, records.catalogue)
    state = item_state(records, settings.seed)
    with writing(join(run, "features")) as folder:
        save_arrays(
            folder,
            content=state.table.content,
            provider=state.table.provider,
            log_price=state.table.log_price,
            item_rows=state.rows,
            popular_items=state.popular.items,
            popular_scores=state.popular.scores,
            popular_30d_items=state.popular_30d.items,
            popular_30d_scores=state.popular_30d.scores,
        )
        (folder / "trending.json").write_text(json.dumps(state.trending), encoding="utf-8")
        if own is not None:
            save_arrays(folder, **{_OWN_VECTORS: own.rows})
            _log.info("own vectors: %s datasets have one, %s have none; %s are of unknown datasets", *own.counts())
    with writing(snapshot_of(run)) as folder:
        manifest = write_snapshot(
            folder,
            version_of(run),
            load_run_info(run).as_of,
            user_blobs(records),
            events_until=load_events_until(run),
            user_features=(*USER_FEATURES, *load_declared(run).user_features),
        )
        if settings.snapshot_incremental:
            add_changes(folder, manifest, synced_snapshots(_other_runs(run)))
    _log.info("features of %s datasets, snapshot of %s users", f"{len(records.catalogue):,}", f"{manifest.rows:,}")
    return run


def require_earlier_bundle(run: str) -> None:
    """Raise `NothingToTrainError` if no earlier run made a bundle; otherwise missing data is a fault."""
    runs = run.rstrip("/").rsplit("/", 1)[0]
    if not any("bundle" in folders_below(join(runs, name)) for name in folders_below(runs)):
        raise NothingToTrainError(
            "nothing to train yet: the business database is empty; fill it by `python -m pipeline demo` or `import`"
        )


def other_trainings(run: str) -> list[str]:
    """Return the addresses of the other runs beside a run; without refreshes, of which there are many each night."""
    return [other for other in _other_runs(run) if not is_refresh(other)]


def synced_snapshots(runs: Iterable[str]) -> list[str]:
    """Return the addresses of the snapshots of these runs that were synced, the last one first.

    A run that can't be read counts as one that was not synced.
    """
    found = []
    for run in runs:
        try:
            marker = load_marker(run, "sync")
        except OSError as error:
            _log.warning("the snapshot of %s counts as not synced: %s", run, error)
            continue
        if marker is not None:
            found.append((marker.started_at, snapshot_of(run)))
    return [address for _, address in sorted(found, reverse=True)]


def _other_runs(run: str) -> list[str]:
    runs, _, name = run.rstrip("/").rpartition("/")
    return [join(runs, other) for other in folders_below(runs) if other != name]


def version_of(run: str) -> str:
    """Return the name of a run: that of its folder."""
    return run.rstrip("/").rsplit("/", 1)[-1]


def snapshot_of(run: str) -> str:
    """Return the address of a run's snapshot: ARTIFACT_URL/snapshots/<version>."""
    root = run.rstrip("/").rsplit("/", 2)[0]
    return join(root, "snapshots", version_of(run))


def extracted_of(run: str) -> str:
    """Return the address of what all runs have read: ARTIFACT_URL/extracted."""
    return join(run.rstrip("/").rsplit("/", 2)[0], "extracted")


def load_events_until(run: str) -> datetime | None:
    """Return the moment up to which the run has all received events; None without an event log."""
    data = read_file(join(run, "extract", EVENTS_UNTIL))
    return None if data is None else EventsUntil.model_validate_json(data).events_until


def load_records(run: str) -> Records:
    """Read `clean/`, and the declared columns of users."""
    with reading(join(run, "clean")) as folder:
        records = Records.load(folder)
    return replace(records, own_users=load_own_data(run, len(records.catalogue), len(records.user_ids)).users)


def load_checks(run: str) -> list[DataCheck]:
    """Read the results of the data checks, including passed ones."""
    with reading(join(run, "clean")) as folder:
        return _CHECKS.validate_json((folder / "report.json").read_bytes())


def load_quarantine(run: str) -> list[QuarantinedRow]:
    """Read the rows and values that `quality` left out."""
    with reading(join(run, "clean")) as folder:
        return read_quarantine(folder)


def load_items(run: str) -> ItemState:
    """Read `features/`, and the declared columns of datasets."""
    with reading(join(run, "features")) as folder:
        content, provider, log_price = (load_array(folder, name) for name in ("content", "provider", "log_price"))
        own = load_own_data(run, len(provider), 0)
        return ItemState(
            item_table(content, provider, log_price, own.columns, own.datasets),
            load_array(folder, "item_rows"),
            _load_popular(folder, "popular"),
            _load_popular(folder, "popular_30d"),
            json.loads((folder / "trending.json").read_text(encoding="utf-8")),
        )


def load_own_vectors(run: str) -> NDArray[np.float32] | None:
    """Read the user's own vectors [n, d]; None if the run has none."""
    with reading(join(run, "features")) as folder:
        return load_array(folder, _OWN_VECTORS) if (folder / f"{_OWN_VECTORS}.npy").is_file() else None


def _load_popular(folder: Path, name: str) -> Popular:
    return Popular(load_array(folder, f"{name}_items"), load_array(folder, f"{name}_scores"))
