"""Steps of a refresh: new statistics, lists and datasets around the ranker of the model in service.

They have names of their own where they differ from those of a training: a refresh that passes must not end the
incident of a training that failed.
"""

import json
import logging

import monitoring
from pipeline.artifacts import join, reading
from pipeline.bundle.build import content_of
from pipeline.columns.evaluate import ColumnError
from pipeline.errors import DataError, InputError, NothingToRefreshError
from pipeline.publish import deploy_refresh
from pipeline.recall import build_tables, content_neighbours, own_neighbours
from pipeline.sentry_utils import monitor_pipeline_step
from pipeline.settings import Settings
from pipeline.steps.columns import write_columns
from pipeline.steps.data import load_items, load_own_vectors, load_records, version_of
from pipeline.steps.handover import published_version, register
from pipeline.steps.modelling import OWN_VECTORS, Trained, load_contents, write_bundle, write_precomputed, write_tables
from pipeline.steps.served_model import load_refreshed, load_served_columns, load_served_ranking
from ranking.recall import Neighbours

_log = logging.getLogger(__name__)


@monitor_pipeline_step("refresh_columns")
def columns(_: Settings, run: str) -> str:
    """`clean/`, `model/` → `columns/`: those that the model in service was trained with, by the same SQL and codes."""
    try:
        write_columns(run, load_served_columns(run), has_categories=True)
    except ColumnError as error:
        raise DataError(
            f"columns.{error.half}.{error.place}.sql of the model in service: {error}; correct PIPELINE_CONFIG, and "
            "train a model"
        ) from error
    return run


@monitor_pipeline_step("refresh_recall")
def recall(settings: Settings, run: str) -> str:
    """`clean/`, `features/`, `model/` → `recall/`; with own vectors if the model was trained with some."""
    records, items = load_records(run), load_items(run)
    content, vector = content_neighbours(items.table.content), _own_neighbours(run)
    write_tables(run, "recall", build_tables(records, content, settings.seed, vector))
    _log.info("recall tables of %s datasets", f"{len(records.catalogue):,}")
    return run


def _own_neighbours(run: str) -> Neighbours | None:
    """Return the table that the model in service was trained with: its ranker knows the votes of no other one."""
    trained_length = (load_refreshed(run).config or {}).get(OWN_VECTORS)
    own = load_own_vectors(run)
    if trained_length is None:
        if own is not None:
            _log.info("DATASET_VECTORS takes effect with the next training")
        return None
    if own is None:
        raise InputError("DATASET_VECTORS: the model in service was trained with own vectors: set it, or train a model")
    if own.shape[1] != trained_length:
        raise InputError(
            f"DATASET_VECTORS: vectors of {own.shape[1]} numbers; the model in service was trained with "
            f"{trained_length}: set the file of those, or train a model"
        )
    return own_neighbours(own)


@monitor_pipeline_step("refresh_precompute")
def precompute(settings: Settings, run: str) -> str:
    """The served ranker over the new data → `precomputed/`."""
    write_precomputed(run, load_contents(run, load_served_ranking(run)), settings.training_threads)
    return run


@monitor_pipeline_step("refresh_bundle")
def bundle(settings: Settings, run: str) -> str:
    """Everything → `bundle/`, with the metrics of the trained version and golden requests of its own."""
    refreshed = load_refreshed(run)
    trained = Trained(refreshed.metrics, refreshed.config, refreshed.refreshes)
    write_bundle(settings, run, load_served_ranking(run), trained)
    return run


@monitor_pipeline_step("refresh_publish")
def publish(settings: Settings, run: str) -> str:
    """`bundle/` → the registry, and `registry/`; raises `NothingToRefreshError` if the content is what serves."""
    refreshed = load_refreshed(run)
    with reading(join(run, "bundle")) as folder:
        made = json.loads((folder / "contents" / "manifest.json").read_text(encoding="utf-8"))["version"]
    if content_of(made) == content_of(refreshed.active_bundle):
        raise NothingToRefreshError(
            f"nothing to refresh: the data has not changed since version {refreshed.active}, which is in service"
        )
    register(settings, run)
    return run


@monitor_pipeline_step("refresh_deploy")
def deploy(settings: Settings, run: str) -> str:
    """Deploy the refresh in the place of the version that it was made beside; raises `OvertakenError`."""
    version, refreshed = published_version(run), load_refreshed(run)
    monitoring.bind_context(model_name=settings.model_name, model_version=version)
    deployment = deploy_refresh(
        settings.registry_url,
        settings.registry_ci_token,
        settings.model_name,
        version,
        refreshed.active,
        reason=f"refresh of version {refreshed.refreshes}, run {version_of(run)}",
    )
    monitoring.bind_context(deployment_id=deployment)
    _log.info("version %s, a refresh of version %s, is deployed (%s)", version, refreshed.refreshes, deployment)
    return run
