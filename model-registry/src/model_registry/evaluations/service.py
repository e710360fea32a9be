"""Evaluation parts: checked in the sandbox before anything is stored, compared, and handed out unchanged."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Row

from contracts.checksums import sha256_of
from contracts.moments import CLOCK_AHEAD, EARLIEST_ROW, UnusableMomentError, check_between
from model_registry.artifacts import ArtifactStore, MissingArtifactError
from model_registry.database import Database, lock_model
from model_registry.errors import EvaluatedOtherwiseError, NotFoundError, TooLargeError, UnusableUploadError
from model_registry.evaluations import queries
from model_registry.evaluations.sandbox_jobs import PairComparison, PartScoring, UnusablePartError
from model_registry.scratch import Scratch
from model_registry.versions import queries as version_queries
from ranking.evaluation.part import MAX_BYTES


def _now() -> datetime:
    return datetime.now(UTC)


class Evaluations:
    """The evaluation parts of all models."""

    def __init__(
        self,
        database: Database,
        store: ArtifactStore,
        scoring: PartScoring,
        scratch: Scratch,
        *,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._database = database
        self._store = store
        self._scoring = scoring
        self._scratch = scratch
        self._clock = clock

    def upload(self, model: str, version: str, content: IO[bytes], sha256: str) -> Row[Any]:
        """Store the part of a version and return the version; the same part again is stored anew if it is damaged.

        Raises `NotFoundError`, `RemovedVersionError`, `UnusableUploadError`, `TooLargeError`,
        `EvaluatedOtherwiseError`, `BusyError` and `UnavailableError`.
        """
        with self._database.transaction("get_version") as connection:
            row = version_queries.get_present(connection, model, version)
        # An alias may move meanwhile.
        version = str(row.version)
        if row.refreshes is not None:
            raise UnusableUploadError(
                f"version {version} is a refresh of version {row.refreshes}: it has no evaluation"
            )
        with self._scratch.folder("evaluation") as folder:
            path = folder / "evaluation.zip"
            actual = _receive(content, path)
            if actual != sha256.lower():
                raise UnusableUploadError(f"sha256: the upload's is {actual}, the form says {sha256}")
            _check_same(row, actual)
            summary = row.evaluation if row.evaluation_sha256 == actual else self._summarize(row, path)
            with self._database.transaction("put_evaluation") as connection:
                # Retention, which deletes parts of removed versions, takes the same lock.
                lock_model(connection, model)
                row = version_queries.get_present(connection, model, version)
                _check_same(row, actual)
                if not self._store.is_intact(model, actual):
                    self._store.put(path, model)
                queries.put(connection, model, row.version, actual, summary)
                return version_queries.get(connection, model, version)

    def read(self, model: str, version: str) -> bytes:
        """Return the part of a version, as it was pushed; raises `NotFoundError` and `RemovedVersionError`."""
        with self._database.transaction("get_version") as connection:
            row = version_queries.get_present(connection, model, version)
        if row.evaluation_sha256 is None:
            raise NotFoundError(f"version {row.version} has no evaluation part")
        with self._scratch.folder("evaluation") as folder:
            try:
                return self._fetch(model, row.evaluation_sha256, folder).read_bytes()
            except MissingArtifactError as error:
                raise NotFoundError(
                    f"the evaluation part of version {row.version} is not in the artifact store; push it again"
                ) from error

    def compare(
        self, model: str, candidate: Row[Any], references: Mapping[str, str], tolerance: float
    ) -> dict[str, PairComparison]:
        """Compare a version with others, whose checksums of parts are given by name.

        A reference without a usable part is left out. Raises `UnusablePartError` for the candidate's, `OSError`,
        `BusyError` and `UnavailableError`.
        """
        with self._scratch.folder("comparison") as folder:
            try:
                own = self._fetch(model, candidate.evaluation_sha256, folder)
            except MissingArtifactError as error:
                raise UnusablePartError(
                    "it is not in the artifact store; push the bundle and its part again"
                ) from error
            paths = dict(self._fetch_usable(model, references, folder))
            found = self._scoring.compare(f"version {candidate.version}", own, paths, tolerance)
        return {name: each for name, each in found.items() if each.unusable is None}

    def remove_unused(self, model: str) -> None:
        """Delete the parts of versions whose bundle retention has removed; raises `OSError` and `UnavailableError`."""
        for sha256 in sorted(self._store.checksums(model)):
            with self._database.transaction("remove_evaluation") as connection:
                lock_model(connection, model)
                if sha256 not in queries.kept_checksums(connection, model):
                    self._store.remove(model, sha256)

    def _summarize(self, version: Row[Any], path: Path) -> Mapping[str, Any]:
        """Return what a part says of itself; raises `UnusableUploadError` unless it is of the version's run."""
        with _unusable():
            summary = self._scoring.summarize(path)
        if summary["name"] != version.model:
            raise UnusableUploadError(f"evaluation: name: is {summary['name']!r}, pushed as {version.model!r}")
        try:
            check_between(datetime.fromisoformat(summary["cut"]), EARLIEST_ROW, self._clock() + CLOCK_AHEAD)
        except UnusableMomentError as error:
            raise UnusableUploadError(f"evaluation: manifest.json: cut: {error}") from error
        bundle: str = version.manifest["version"]
        if bundle != summary["run_id"] and not bundle.startswith(f"{summary['run_id']}-"):
            raise UnusableUploadError(f"evaluation: run_id: is {summary['run_id']}, the bundle is of the run {bundle}")
        return summary

    def _fetch_usable(self, model: str, references: Mapping[str, str], folder: Path) -> Iterator[tuple[str, Path]]:
        for name, sha256 in references.items():
            try:
                yield name, self._fetch(model, sha256, folder)
            except MissingArtifactError:
                continue

    def _fetch(self, model: str, sha256: str, folder: Path) -> Path:
        path = folder / f"{sha256}.zip"
        self._store.fetch(model, sha256, path)
        if sha256_of(path) != sha256:
            raise MissingArtifactError(self._store.address(model, sha256))
        return path


def _receive(content: IO[bytes], target: Path) -> str:
    data = content.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise TooLargeError(f"evaluation: larger than {MAX_BYTES / 1e6:g} MB")
    target.write_bytes(data)
    return sha256_of(target)


def _check_same(version: Row[Any], sha256: str) -> None:
    if version.evaluation_sha256 not in (None, sha256):
        raise EvaluatedOtherwiseError(
            f"version {version.version} has another evaluation part, with the SHA-256 {version.evaluation_sha256}"
        )


@contextmanager
def _unusable() -> Iterator[None]:
    try:
        yield
    except UnusablePartError as error:
        raise UnusableUploadError(f"evaluation: {error}") from error
