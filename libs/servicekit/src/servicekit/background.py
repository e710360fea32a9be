"""Work that goes on beside the requests for as long as the process lives."""

import asyncio
from collections.abc import Awaitable, Callable

import monitoring

AFTER_FAILURE_SECONDS = 1.0


async def forever(
    name: str,
    step: Callable[[], Awaitable[None]],
    *,
    interval: float = 0.0,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Run `step` again and again; what it raises is reported, and it goes on."""
    while True:
        try:
            await step()
        except Exception as error:  # noqa: BLE001 - the loop must outlive whatever one step runs into
            monitoring.report("api.unhandled", error=error, endpoint=f"background {name}", method="-")
            await sleep(AFTER_FAILURE_SECONDS)
        if interval:
            await sleep(interval)
