"""Writing and reading a snapshot folder: `users-00000.parquet` … and `manifest.json`.

Each Parquet row is `user_id` int64 and `blob` binary, the bytes of `contracts.user_blob.UserBlob`, so that what
training wrote is, byte for byte, what serving reads. An increment lies in the folder `increment` below, in files of
the same form.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from contracts.checksums import files_below, sha256_of, verify_files
from contracts.feature_spec import FeatureSpec
from contracts.features import FEATURE_SCHEMA, USER_FEATURES, Feature
from contracts.snapshot.manifest import SnapshotIncrement, SnapshotManifest

MANIFEST = "manifest.json"
ROWS_PER_FILE = 200_000
_SCHEMA = pa.schema([("user_id", pa.int64()), ("blob", pa.binary())])


class MalformedSnapshotError(ValueError):
    """The folder is not a snapshot of this format; the message names the file or the field."""


def write_snapshot(
    folder: Path,
    version: str,
    created_at: datetime,
    users: Iterable[tuple[int, bytes]],
    *,
    events_until: datetime | None = None,
    user_features: Sequence[Feature] = USER_FEATURES,
) -> SnapshotManifest:
    """Write `users` (id, packed `UserBlob`) below the empty `folder`; the manifest comes last and makes it whole.

    `user_features` are those of the blobs, in their order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = write_users(folder, users)
    sums = {name: sha256_of(path) for name, path in files_below(folder).items()}
    manifest = SnapshotManifest(
        version=version,
        created_at=created_at,
        events_until=events_until,
        feature_schema=FEATURE_SCHEMA,
        user_features=[FeatureSpec.of(feature) for feature in user_features],
        rows=rows,
        files=sums,
    )
    write_manifest(folder, manifest)
    return manifest


def write_users(folder: Path, users: Iterable[tuple[int, bytes]]) -> int:
    """Write users to `users-00000.parquet` … in a folder; return their number."""
    rows = 0
    remaining = iter(users)
    for number, part in enumerate(iter(lambda: list(islice(remaining, ROWS_PER_FILE)), [])):
        ids, blobs = zip(*part, strict=True)
        pq.write_table(pa.table([ids, blobs], schema=_SCHEMA), folder / f"users-{number:05d}.parquet")
        rows += len(ids)
    return rows


def write_manifest(folder: Path, manifest: SnapshotManifest) -> None:
    """Write `manifest.json`."""
    # An absent field stays absent, so that an earlier release can read the snapshot.
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2, exclude_none=True) + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> SnapshotManifest:
    """Read and check the manifest and the checksum of every file, also of its increment.

    Raises `MalformedSnapshotError` or `contracts.checksums.ChecksumError`.
    """
    manifest = parse_manifest(folder)
    of_increment = {} if manifest.increment is None else manifest.increment.files
    verify_files(folder, {**manifest.files, **of_increment}, besides=frozenset({MANIFEST}))
    return manifest


def parse_manifest(folder: Path) -> SnapshotManifest:
    """Read the manifest, and check no file; raises `MalformedSnapshotError`."""
    try:
        return SnapshotManifest.model_validate_json((folder / MANIFEST).read_bytes())
    except FileNotFoundError as error:
        raise MalformedSnapshotError(f"{MANIFEST}: missing") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise MalformedSnapshotError(f"{MANIFEST}: {field or 'document'}: {first['msg']}") from error


def iter_users(folder: Path, manifest: SnapshotManifest, batch_size: int = 1000) -> Iterator[list[tuple[int, bytes]]]:
    """Yield the users of a snapshot in batches of (id, packed `UserBlob`); raises `MalformedSnapshotError`."""
    yield from _iter_files(folder, sorted(manifest.files), batch_size)


def iter_changes(
    folder: Path, increment: SnapshotIncrement, batch_size: int = 1000
) -> Iterator[list[tuple[int, bytes]]]:
    """Yield the users of an increment as `iter_users` does, removed ones with an empty blob."""
    yield from _iter_files(folder, sorted(increment.files), batch_size)


def _iter_files(folder: Path, names: Iterable[str], batch_size: int) -> Iterator[list[tuple[int, bytes]]]:
    for name in names:
        try:
            for batch in pq.ParquetFile(folder / name).iter_batches(batch_size, columns=_SCHEMA.names):
                if not batch.schema.equals(_SCHEMA) or batch["user_id"].null_count or batch["blob"].null_count:
                    raise MalformedSnapshotError(f"{name}: not a user_id and a blob in every row")
                yield list(zip(batch["user_id"].to_pylist(), batch["blob"].to_pylist(), strict=True))
        # pyarrow has OSError for pages that are damaged.
        except (pa.ArrowException, KeyError, OSError) as error:
            raise MalformedSnapshotError(f"{name}: {error}") from error
