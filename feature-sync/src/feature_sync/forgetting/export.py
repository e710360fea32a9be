"""Writes all that is held about a user as one JSON document, part by part: no part of it has to fit into memory."""

from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from contracts import redis_keys
from feature_sync.connections import AnyRedis, get_many
from feature_sync.forgetting.bodies import UserState
from feature_sync.forgetting.calls import call_database
from feature_sync.forgetting.finding import EVENT_STREAMS, entries_about, keys_matching
from feature_sync.forgetting.logged import LoggedRows, Place
from feature_sync.forgetting.remains import remains
from servicekit.database_calls import DatabaseCalls

_FOREVER = float("inf")


class UserDataExport:
    """Reads page by page, also the `logs` by their names; raises an error of Redis or `ForgettingUnavailableError`."""

    def __init__(self, redis: AnyRedis, logs: Mapping[str, LoggedRows], calls: DatabaseCalls) -> None:
        self._redis = redis
        self._logs = logs
        self._calls = calls

    async def check(self, user_id: int) -> None:
        """Raise `ForgettingUnavailableError` if the log can't be read: once a document has begun, it is too late."""
        await self._page(next(iter(self._logs.values())), user_id, None)

    async def document(self, state: UserState) -> AsyncIterator[bytes]:
        """Yield the parts of a `UserExport`."""
        user_id = state.user_id
        yield b'{"state":' + state.model_dump_json().encode()
        for name, rows in (
            ("cached_answers", self._cached_answers(user_id)),
            ("stream_entries", self._stream_entries(user_id)),
            *((name, self._logged(rows, user_id)) for name, rows in self._logs.items()),
        ):
            yield b',"%b":[' % name.encode()
            separator = b""
            async for page in rows:
                if page:
                    yield separator + b",".join(orjson.dumps(row) for row in page)
                    separator = b","
            yield b"]"
        places = [each.model_dump(mode="json") for each in remains(datetime.now(UTC))]
        yield b',"remains":' + orjson.dumps(places) + b"}"

    async def _cached_answers(self, user_id: int) -> AsyncIterator[list[dict[str, Any]]]:
        async for keys in keys_matching(self._redis, redis_keys.answers_of(user_id)):
            names = [key.decode("utf-8", "replace") for key in keys]
            values = await get_many(self._redis, names) if names else []
            yield [
                {"key": name, "value_base64": b64encode(value).decode()}
                for name, value in zip(names, values, strict=True)
                if value is not None
            ]

    async def _stream_entries(self, user_id: int) -> AsyncIterator[list[dict[str, Any]]]:
        for stream in (*EVENT_STREAMS, redis_keys.DEAD_LETTERS):
            async for entries in entries_about(self._redis, stream, user_id, _FOREVER):
                yield [
                    {"stream": stream, "id": entry_id.decode(), "fields": _texts(fields)}
                    for entry_id, fields in entries.items()
                ]

    async def _logged(self, rows: LoggedRows, user_id: int) -> AsyncIterator[list[dict[str, Any]]]:
        after = None
        while True:
            page = await self._page(rows, user_id, after)
            if not page:
                return
            yield page
            after = rows.place_of(page[-1])

    async def _page(self, rows: LoggedRows, user_id: int, after: Place | None) -> list[dict[str, Any]]:
        return await call_database(self._calls, rows.page, user_id, after)


def _texts(fields: Mapping[bytes, bytes]) -> dict[str, str]:
    return {name.decode("utf-8", "replace"): value.decode("utf-8", "replace") for name, value in fields.items()}
