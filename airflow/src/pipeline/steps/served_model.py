"""The model that a refresh keeps: which version is in service, and the files of its bundle that belong to it."""

import hashlib
import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, JsonValue, ValidationError

from contracts.bundle import (
    BundleManifest,
    MalformedBundleError,
    MalformedManifestError,
    UnreadableFeaturesError,
    check_features,
    unpack,
)
from contracts.checksums import ChecksumError
from pipeline.artifacts import folders_below, join, read_file, read_file_list, reading, writing
from pipeline.bundle.build import ARCHIVE
from pipeline.errors import NothingToRefreshError, PipelineError
from pipeline.publish import ServedModel, fetch_bundle, served_model
from pipeline.publish.http import UnreachableError
from pipeline.sentry_utils import monitor_pipeline_step
from pipeline.settings import Settings
from pipeline.steps.handover import published_version
from pipeline.steps.marker_files import is_done
from pipeline.steps.modelling import Ranking
from pipeline.steps.run_info import find_run_info, load_run_info
from ranking.bundle import OWN_COLUMNS
from ranking.diversity import NO_DIVERSITY, DiversitySettings
from ranking.own_columns import NO_COLUMNS, OwnColumns
from ranking.recall import RecallSettings

_RANKER, _RECALL, _DIVERSITY, _MANIFEST = "ranker.txt", "recall.json", "diversity.json", "manifest.json"
_OPTIONAL = (_DIVERSITY, OWN_COLUMNS)
_NEEDED = (_RANKER, _RECALL, _MANIFEST)
_REFRESHED = "refreshed.json"
_log = logging.getLogger(__name__)


class Refreshed(BaseModel):
    """`model/refreshed.json`: the trained version whose model this run refreshes, and what was in service then.

    `active` is the version that must still be in service when the refresh is deployed, `active_bundle` the version in
    its manifest; `metrics` and `config` are those of the trained version.
    """

    refreshes: str
    active: str
    active_bundle: str
    metrics: dict[str, float]
    config: dict[str, JsonValue] | None = None


@monitor_pipeline_step("served_model")
def fetch_served_model(settings: Settings, run: str) -> str:
    """The model in service → `model/`; raises `NothingToRefreshError` if there is none, or one of other features."""
    served = _find(settings, run)
    if served is None:
        raise NothingToRefreshError(f"nothing to refresh: no version of {settings.model_name} is in service yet")
    files = _stored_files(settings, served.sha256) or _registered_files(settings, served)
    manifest = _parse_manifest(files[_MANIFEST])
    try:
        check_features(manifest)
    except UnreadableFeaturesError as error:
        raise NothingToRefreshError(
            f"nothing to refresh: version {served.trained}: {error}; "
            "the next training makes a model that can be refreshed"
        ) from error
    refreshed = Refreshed(
        refreshes=served.trained,
        active=served.active,
        active_bundle=served.active_bundle,
        metrics=manifest.metrics,
        config=manifest.config,
    )
    with writing(join(run, "model")) as folder:
        for name in (_RANKER, _RECALL, *_OPTIONAL):
            if name in files:
                (folder / name).write_bytes(files[name])
        (folder / _REFRESHED).write_text(refreshed.model_dump_json(indent=1), encoding="utf-8")
    _log.info("the model of version %s is in service, by version %s", served.trained, served.active)
    return run


def load_refreshed(run: str) -> Refreshed:
    """Read which version a run refreshes."""
    with reading(join(run, "model")) as folder:
        return Refreshed.model_validate_json((folder / _REFRESHED).read_bytes())


def load_served_ranking(run: str) -> Ranking:
    """Read the ranker of the version that a run refreshes, with its settings of recall and diversity."""
    with reading(join(run, "model")) as folder:
        diversity = folder / _DIVERSITY
        return Ranking(
            # Not in text mode, which changes line ends.
            (folder / _RANKER).read_bytes().decode(),
            RecallSettings.model_validate_json((folder / _RECALL).read_bytes()),
            DiversitySettings.model_validate_json(diversity.read_bytes()) if diversity.is_file() else NO_DIVERSITY,
        )


def load_served_columns(run: str) -> OwnColumns:
    """Read the declared columns of the version that a run refreshes."""
    with reading(join(run, "model")) as folder:
        path = folder / OWN_COLUMNS
        return OwnColumns.model_validate_json(path.read_bytes()) if path.is_file() else NO_COLUMNS


def _find(settings: Settings, run: str) -> ServedModel | None:
    """Ask the registry; a run that deploys nothing may also take the model that was deployed last by a run here."""
    try:
        return served_model(settings.registry_url, settings.registry_ci_token, settings.model_name)
    except UnreachableError as error:
        if load_run_info(run).publish:
            raise
        _log.warning("%s; taking the model that was deployed last by a run below ARTIFACT_URL", error)
    return _last_deployed(settings)


def _last_deployed(settings: Settings) -> ServedModel | None:
    found = []
    for run in _runs(settings):
        info = find_run_info(run)
        if info is not None and info.kind == "training" and is_done(run, "deploy"):
            found.append((info.started_at, run))
    if not found:
        return None
    _, run = max(found)
    version, listed = published_version(run), read_file_list(join(run, "bundle"))
    manifest = read_file(join(run, "bundle", "contents", _MANIFEST))
    if listed is None or manifest is None:
        raise PipelineError(f"{run}/bundle: incomplete; start the registry, or run a training")
    return ServedModel(version, listed.files[ARCHIVE].sha256, version, _parse_manifest(manifest).version)


def _stored_files(settings: Settings, sha256: str) -> Mapping[str, bytes] | None:
    """Return the files from the run that made the bundle, None if it is gone."""
    for run in _runs(settings):
        listed = read_file_list(join(run, "bundle"))
        if listed is None or ARCHIVE not in listed.files or listed.files[ARCHIVE].sha256 != sha256:
            continue
        files = {}
        for name in (*_NEEDED, *_OPTIONAL):
            content = read_file(join(run, "bundle", "contents", name))
            known = listed.files.get(f"contents/{name}")
            if content is not None and known is not None and hashlib.sha256(content).hexdigest() == known.sha256:
                files[name] = content
        if all(name in files for name in _NEEDED):
            return files
    return None


def _registered_files(settings: Settings, served: ServedModel) -> Mapping[str, bytes]:
    with tempfile.TemporaryDirectory(prefix="pipeline-") as temporary:
        archive, contents = Path(temporary, ARCHIVE), Path(temporary, "contents")
        contents.mkdir()
        fetch_bundle(
            settings.registry_url,
            settings.registry_ci_token,
            settings.model_name,
            served.trained,
            sha256=served.sha256,
            archive=archive,
        )
        try:
            unpack(archive, contents)
        except (MalformedBundleError, MalformedManifestError, ChecksumError) as error:
            raise PipelineError(f"the bundle of version {served.trained}: {error}; train a new model") from error
        paths = (contents / name for name in (*_NEEDED, *_OPTIONAL))
        return {path.name: path.read_bytes() for path in paths if path.is_file()}


def _runs(settings: Settings) -> list[str]:
    """Return the addresses of all runs, the last by name first."""
    root = join(settings.artifact_url, "runs")
    return [join(root, name) for name in reversed(folders_below(root))]


def _parse_manifest(content: bytes) -> BundleManifest:
    try:
        return BundleManifest.model_validate_json(content)
    except ValidationError as error:
        raise PipelineError(f"{_MANIFEST}: {error.errors()[0]['msg']}; train a new model") from error
