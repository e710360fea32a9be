"""Steps that hand over what a training has made: publish, deploy, sync."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import monitoring
from contracts.artifact_store import locate
from pipeline.artifacts import folders_below, join, reading, writing
from pipeline.bundle.build import ARCHIVE
from pipeline.evaluate import PART
from pipeline.publish import deploy as deploy_version
from pipeline.publish import push, sync_snapshot
from pipeline.sentry_utils import monitor_pipeline_step
from pipeline.settings import Settings
from pipeline.steps.data import snapshot_of, version_of

_log = logging.getLogger(__name__)


@monitor_pipeline_step("publish")
def publish(settings: Settings, run: str) -> str:
    """`bundle/`, `evaluation_part/` → the registry, and `registry/` with the version that it returned."""
    register(settings, run)
    return run


def register(settings: Settings, run: str) -> None:
    """Push the bundle of a run with its evaluation part, and store the version that the registry gave it."""
    with reading(join(run, "bundle")) as folder, _evaluation_part(run) as part:
        version = push(
            settings.registry_url,
            settings.registry_ci_token,
            settings.model_name,
            folder / ARCHIVE,
            part,
            signing_key=settings.signing_key,
        )
    monitoring.bind_context(model_name=settings.model_name, model_version=version)
    with writing(join(run, "registry")) as folder:
        (folder / "version.json").write_text(json.dumps({"version": version}), encoding="utf-8")
    _log.info("registered as %s version %s", settings.model_name, version)


@contextmanager
def _evaluation_part(run: str) -> Iterator[Path | None]:
    """Give the evaluation part of a run; None if it has none, as a refresh."""
    if "evaluation_part" not in folders_below(run):
        yield None
        return
    with reading(join(run, "evaluation_part")) as folder:
        part = folder / PART
        yield part if part.exists() else None


@monitor_pipeline_step("deploy")
def deploy(settings: Settings, run: str) -> str:
    """Deploy the registered version as primary, if the registry's checks pass."""
    version = published_version(run)
    monitoring.bind_context(model_name=settings.model_name, model_version=version)
    deployment = deploy_version(
        settings.registry_url,
        settings.registry_ci_token,
        settings.model_name,
        version,
        reason=f"training, run {version_of(run)}",
    )
    monitoring.bind_context(deployment_id=deployment)
    _log.info("version %s is deployed (%s)", version, deployment)
    return run


@monitor_pipeline_step("sync")
def sync_snapshot_at(settings: Settings, snapshot: str) -> str:
    """Write the snapshot at an address to Redis."""
    state = sync_snapshot(settings.feature_sync_url, settings.admin_token, _absolute(snapshot))
    _log.info("snapshot is in Redis: %s", state)
    return snapshot


def sync(settings: Settings, run: str) -> str:
    """Write the run's snapshot to Redis."""
    sync_snapshot_at(settings, snapshot_of(run))
    return run


def published_version(run: str) -> str:
    """Return the registry's version of the run's bundle."""
    with reading(join(run, "registry")) as folder:
        return str(json.loads((folder / "version.json").read_text(encoding="utf-8"))["version"])


def _absolute(uri: str) -> str:
    """Return an address that is valid in a process with any working directory."""
    path = locate(uri).local_path
    return uri if path is None else str(path.resolve())
