"""Client of feature-sync."""

import time
from collections.abc import Callable

from pydantic import SecretStr

from pipeline.publish.http import RefusedError, UnreachableError, answer_of, client

_SERVICE = "feature-sync"
# Writing a million users takes about ten seconds; a minute without an end is a fault.
_PATIENCE = 600.0
_INTERVAL = 0.5


def sync_snapshot(
    url: str,
    token: SecretStr | None,
    snapshot: str,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, object]:
    """Start the sync of a snapshot into Redis, wait for its end, and return the job's result."""
    with client(_SERVICE, url, token) as sync:
        job = answer_of(_SERVICE, sync.post("/sync", json={"snapshot": snapshot}), "job")["job"]
        deadline = clock() + _PATIENCE
        while clock() < deadline:
            state = answer_of(_SERVICE, sync.get(f"/sync/{job}"), "state")
            if state.get("state") == "done":
                return state
            if state.get("state") == "failed":
                raise RefusedError(f"{_SERVICE}: job {job} failed: {state.get('detail') or state.get('error')}")
            sleep(_INTERVAL)
    raise UnreachableError(f"{_SERVICE}: job {job} did not end within {_PATIENCE:.0f} s")
