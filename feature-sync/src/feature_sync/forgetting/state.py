"""What Redis holds about a user's features, decoded, with ages."""

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
from pydantic import ValidationError

from contracts import redis_keys
from contracts.events import InteractionType
from contracts.feature_spec import FEATURE_SPECS
from contracts.features import USER_FEATURES
from contracts.user_blob import LIVE_SECONDS, History, LiveHistory, MalformedBlobError, UserBlob
from feature_sync.connections import REDIS_ERRORS, AnyRedis, get_many
from feature_sync.errors import UserStateUnavailableError
from feature_sync.forgetting.bodies import HeldInteraction, LiveState, SnapshotState, UserState
from feature_sync.forgetting.finding import snapshot_keys
from feature_sync.snapshots.chain import read_chain


class UserStates:
    """Reads the state of users; `now` is Unix time."""

    def __init__(self, redis: AnyRedis, now: Callable[[], float]) -> None:
        self._redis = redis
        self._now = now

    async def read(self, user_id: int, external_id: str | None) -> UserState:
        """Return the state of a user, known or not; raises `UserStateUnavailableError`."""
        try:
            return await self._read(user_id, external_id)
        except REDIS_ERRORS as error:
            raise UserStateUnavailableError(
                f"Redis doesn't answer ({type(error).__name__}). Retry when it does."
            ) from error

    async def _read(self, user_id: int, external_id: str | None) -> UserState:
        now = self._now()
        state = UserState(
            user_id=user_id,
            external_id=external_id,
            at=datetime.fromtimestamp(now, UTC),
            live=None,
            snapshots=[],
            malformed_keys=[],
        )
        chain = await read_chain(self._redis)
        keys = [redis_keys.live_history(user_id), *await snapshot_keys(self._redis, user_id)]
        # Values of another type are not found.
        values = dict(zip(keys, await get_many(self._redis, keys), strict=True))
        read = [version for version in chain if values.get(redis_keys.user_features(version, user_id)) is not None]
        for key, value in values.items():
            # In a version that adds to another one, an empty value says that the user was removed.
            if not value:
                continue
            try:
                if key == keys[0]:
                    state.live = await self._live(key, value, now)
                else:
                    version = key.split(":", 2)[1]
                    names = await self._feature_names(version)
                    is_active = read[:1] == [version]
                    state.snapshots.append(_snapshot(version, names, UserBlob.unpack(value), now, is_active=is_active))
            except MalformedBlobError:
                state.malformed_keys.append(key)
        return state

    async def _live(self, key: str, value: bytes, now: float) -> LiveState:
        live = LiveHistory.unpack(value)
        left = await self._redis.pttl(key) / 1000
        return LiveState(
            sequence=live.sequence,
            age_seconds=LIVE_SECONDS - left if left > 0 else None,
            expires_in_seconds=left if left > 0 else None,
            interactions=_interactions(live.history, now),
        )

    async def _feature_names(self, version: str) -> list[str]:
        """Return the names of a snapshot's user features; those of earlier releases are the first of ours."""
        (stored,) = await get_many(self._redis, [redis_keys.snapshot_features(version)])
        try:
            named = FEATURE_SPECS.validate_json(stored or b"")
        except ValidationError:
            return [feature.name for feature in USER_FEATURES]
        return [feature.name for feature in named]


def _snapshot(version: str, names: list[str], blob: UserBlob, now: float, *, is_active: bool) -> SnapshotState:
    # JSON has no number for the others.
    values = [float(each) if np.isfinite(each) else None for each in blob.features]
    named = names + [f"feature_{number}" for number in range(len(names), len(values))]
    return SnapshotState(
        version=version,
        is_active=is_active,
        features=dict(zip(named, values, strict=False)),
        interactions=_interactions(blob.history, now),
    )


def _interactions(history: History, now: float) -> list[HeldInteraction]:
    columns = zip(history.ids.tolist(), history.ts.tolist(), history.types.tolist(), strict=True)
    return [
        HeldInteraction(
            dataset_id=dataset,
            type=_type_name(kind),
            at=datetime.fromtimestamp(ts, UTC),
            age_seconds=round(now - ts, 3),
        )
        for dataset, ts, kind in columns
    ]


def _type_name(kind: int) -> str:
    try:
        return InteractionType(kind).name.lower()
    except ValueError:
        return f"type_{kind}"
