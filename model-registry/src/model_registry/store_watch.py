"""Whether the artifact store can be used, asked in the background: a dead one answers late."""

from starlette.concurrency import run_in_threadpool

from model_registry.artifacts import ArtifactStore
from servicekit.health import Check

INTERVAL_SECONDS = 5.0


class StoreWatch:
    """Asks the store again and again, and knows what it said last."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._check = Check(status="healthy")

    async def step(self) -> None:
        """Ask the store once."""
        try:
            await run_in_threadpool(self._store.check)
        except OSError as error:
            self._check = Check(status="unhealthy", detail=f"the artifact store can't be used: {error}")
        else:
            self._check = Check(status="healthy")

    def check(self) -> Check:
        """Return the check `artifact_store` of `/health`."""
        return self._check
