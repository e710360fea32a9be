"""Follows the active feature snapshot, and checks that it was made for the features that are served."""

import logging
from dataclasses import dataclass

from contracts import redis_keys
from contracts.features import FEATURE_SCHEMA, READABLE_SCHEMAS
from recommender_api.redis_store import GuardedStore, StoreError

_log = logging.getLogger(__name__)

MAX_VERSION_BYTES = 256


@dataclass(frozen=True)
class Snapshot:
    """A snapshot's version. Of an unusable one (another feature schema) only the histories are read."""

    version: str
    usable: bool


class SnapshotWatch:
    """Follows the pointer by `poll`; while Redis is unavailable it keeps the last known snapshot."""

    def __init__(self, store: GuardedStore) -> None:
        self.active: Snapshot | None = None
        self._store = store

    async def poll(self) -> None:
        """Read the pointer; a fault of Redis is reported by the requests, not here."""
        try:
            (pointer,) = await self._store.read([redis_keys.SNAPSHOT_POINTER])
            version = None if pointer is None else _version(pointer)
            if version is None:
                self.active = None
            elif self.active is None or self.active.version != version:
                (schema,) = await self._store.read([redis_keys.snapshot_schema(version)])
                self.active = _snapshot(version, schema)
        except StoreError:
            return


def _version(pointer: bytes) -> str | None:
    """Return the version that a pointer names, None if it is not a valid version: cached answers store it as text."""
    if len(pointer) <= MAX_VERSION_BYTES and pointer.isascii():
        return pointer.decode()
    return None


def _snapshot(version: str, schema: bytes | None) -> Snapshot:
    # If a snapshot has no schema, each blob is checked by its number of features.
    usable = schema is None or schema.decode("ascii", "replace") in READABLE_SCHEMAS
    if usable:
        _log.info("reading user features of snapshot %s", version)
    else:
        _log.warning(
            "snapshot %s has feature schema %r, this service %r: users get the bundle's default features "
            "until a snapshot of the right schema is synced",
            version,
            schema,
            FEATURE_SCHEMA,
        )
    return Snapshot(version, usable)
