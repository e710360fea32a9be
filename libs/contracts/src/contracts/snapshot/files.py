"""Writing and reading a snapshot folder: `users-00000.parquet` … and `manifest.json`.

Each Parquet row is `user_id` int64 and `blob` binary, the bytes of `contracts.user_blob.UserBlob`, so that what
training wrote is, byte for byte, what serving reads.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from contracts.checksums import files_below, sha256_of, verify_files
from contracts.feature_spec import FEATURE_SPECS, FeatureSpec
from contracts.features import FEATURE_SCHEMA, USER_FEATURES, Feature
from contracts.snapshot.manifest import SnapshotManifest

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
    rows = 0
    remaining = iter(users)
    for number, part in enumerate(iter(lambda: list(islice(remaining, ROWS_PER_FILE)), [])):
        ids, blobs = zip(*part, strict=True)
        pq.write_table(pa.table([ids, blobs], schema=_SCHEMA), folder / f"users-{number:05d}.parquet")
        rows += len(ids)
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
    # An absent field stays absent, so that an earlier release can read the snapshot.
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2, exclude_none=True) + "\n", encoding="utf-8")
    return manifest


def read_manifest(folder: Path) -> SnapshotManifest:
    """Read and check the manifest and the checksum of every file.

    Raises `MalformedSnapshotError` or `contracts.checksums.ChecksumError`.
    """
    try:
        manifest = SnapshotManifest.model_validate_json((folder / MANIFEST).read_bytes())
    except FileNotFoundError as error:
        raise MalformedSnapshotError(f"{MANIFEST}: missing") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise MalformedSnapshotError(f"{MANIFEST}: {field or 'document'}: {first['msg']}") from error
    verify_files(folder, manifest.files, besides=frozenset({MANIFEST}))
    return manifest


def content_name(manifest: SnapshotManifest) -> str:
    """Return the version with the hash of what is written of the snapshot: one name never means two contents."""
    content = json.dumps([manifest.feature_schema, sorted(manifest.files.items())])
    if manifest.user_features is not None:
        content += FEATURE_SPECS.dump_json(manifest.user_features).decode()
    return f"{manifest.version}.{hashlib.sha256(content.encode()).hexdigest()[:16]}"


def iter_users(folder: Path, manifest: SnapshotManifest, batch_size: int = 1000) -> Iterator[list[tuple[int, bytes]]]:
    """Yield the users of a snapshot in batches of (id, packed `UserBlob`); raises `MalformedSnapshotError`."""
    for name in sorted(manifest.files):
        try:
            for batch in pq.ParquetFile(folder / name).iter_batches(batch_size, columns=_SCHEMA.names):
                if not batch.schema.equals(_SCHEMA) or batch["user_id"].null_count or batch["blob"].null_count:
                    raise MalformedSnapshotError(f"{name}: not a user_id and a blob in every row")
                yield list(zip(batch["user_id"].to_pylist(), batch["blob"].to_pylist(), strict=True))
        # pyarrow has OSError for pages that are damaged.
        except (pa.ArrowException, KeyError, OSError) as error:
            raise MalformedSnapshotError(f"{name}: {error}") from error
