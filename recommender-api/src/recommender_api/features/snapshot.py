"""Follows the active feature snapshot, and gives each model the features of its users that it was trained on."""

import logging
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from contracts import redis_keys
from contracts.feature_spec import FEATURE_SPECS
from contracts.features import READABLE_SCHEMAS, USER_FEATURES, Feature, schema_of
from ranking.engine import Engine
from ranking.own_columns import arrange_features
from recommender_api.redis_store import GuardedStore, StoreError

_log = logging.getLogger(__name__)

MAX_VERSION_BYTES = 256


@dataclass(frozen=True)
class Snapshot:
    """A snapshot's version, and the features in its blobs.

    Without any (a feature schema that this release can't read) only the histories are read. `schema` is a hash of the
    features. `lacking` collects the names of those that a model has asked for in vain. `bases` are the versions that it
    adds to, the newest first.
    """

    version: str
    features: tuple[Feature, ...]
    schema: str
    lacking: set[str] = field(default_factory=set)
    bases: tuple[str, ...] = ()

    def keys_of(self, user_id: int) -> list[str]:
        """Return the keys of a user; the first of them that is there holds the user's state."""
        return [redis_keys.user_features(version, user_id) for version in (self.version, *self.bases)]

    def features_for(self, engine: Engine, stored: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """Return a blob's features as an engine reads them; None: only the defaults apply."""
        if self.schema == engine.user_schema and len(stored) == len(self.features):
            return stored
        if len(stored) > len(self.features):
            return None
        # An earlier release has written the first of them.
        known = self.features[: len(stored)]
        self._say_what_is_lacking(engine)
        return arrange_features(stored, known, engine.user_features) if known else None

    def _say_what_is_lacking(self, engine: Engine) -> None:
        lacking = {feature.name for feature in engine.user_features if feature not in self.features}
        if self.features and lacking - self.lacking:
            self.lacking.update(lacking)
            _log.warning(
                "snapshot %s has no %s as the model was trained on: users get the model's defaults until a snapshot "
                "of the same declared columns is synced",
                self.version,
                ", ".join(sorted(lacking)),
            )


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
                schema, features, bases = await self._store.read(redis_keys.snapshot_heads(version))
                self.active = _snapshot(version, schema, features, bases)
        except StoreError:
            return


def _version(pointer: bytes) -> str | None:
    """Return the version that a pointer names, None if it is not a valid version: cached answers store it as text."""
    if len(pointer) <= MAX_VERSION_BYTES and pointer.isascii():
        return pointer.decode()
    return None


def _snapshot(version: str, schema: bytes | None, features: bytes | None, bases: bytes | None) -> Snapshot:
    known = _earlier_features(schema) if features is None else _parse_features(features)
    if known:
        _log.info("reading user features of snapshot %s", version)
    else:
        _log.warning(
            "snapshot %s has feature schema %r, which this release can't read: users get the bundle's default features "
            "until a snapshot of the right schema is synced",
            version,
            schema,
        )
    return Snapshot(version, known, schema_of(known), bases=_parse_bases(bases or b""))


def _parse_bases(names: bytes) -> tuple[str, ...]:
    return tuple(filter(None, map(_version, names.split()[: redis_keys.MAX_BASES])))


def _earlier_features(schema: bytes | None) -> tuple[Feature, ...]:
    """Return the features of a snapshot that doesn't name them: those of its schema, or of the number in each blob."""
    usable = schema is None or schema.decode("ascii", "replace") in READABLE_SCHEMAS
    return USER_FEATURES if usable else ()


def _parse_features(data: bytes) -> tuple[Feature, ...]:
    try:
        return tuple(spec.feature() for spec in FEATURE_SPECS.validate_json(data))
    except ValidationError:
        return ()
