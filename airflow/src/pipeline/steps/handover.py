"""Steps that hand over what a training has made: publish, deploy, sync."""

import json
import logging

import monitoring
from contracts.artifact_store import locate
from pipeline.artifacts import join, reading, writing
from pipeline.bundle.build import ARCHIVE
from pipeline.publish import deploy as deploy_version
from pipeline.publish import push, sync_snapshot
from pipeline.sentry_utils import monitor_pipeline_step
from pipeline.settings import Settings
from pipeline.steps.data import snapshot_of

_log = logging.getLogger(__name__)


@monitor_pipeline_step("publish")
def publish(settings: Settings, run: str) -> str:
    """`bundle/` → the registry, and `registry/` with the version that it returned."""
    register(settings, run)
    return run


def register(settings: Settings, run: str) -> None:
    """Push the bundle of a run, and store the version that the registry gave it."""
    with reading(join(run, "bundle")) as folder:
        version = push(settings.registry_url, settings.registry_token, settings.model_name, folder / ARCHIVE)
    monitoring.bind_context(model_name=settings.model_name, model_version=version)
    with writing(join(run, "registry")) as folder:
        (folder / "version.json").write_text(json.dumps({"version": version}), encoding="utf-8")
    _log.info("registered as %s version %s", settings.model_name, version)


@monitor_pipeline_step("deploy")
def deploy(settings: Settings, run: str) -> str:
    """Deploy the registered version as primary, if the registry's checks pass."""
    version = published_version(run)
    monitoring.bind_context(model_name=settings.model_name, model_version=version)
    deployment = deploy_version(settings.registry_url, settings.registry_token, settings.model_name, version)
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
