"""Composition root of the simulator."""

from fastapi import FastAPI
from starlette.responses import HTMLResponse

from wechat_simulator import api, control, page
from wechat_simulator.corporation import Clock, Corporation
from wechat_simulator.faults import Faults
from wechat_simulator.settings import Settings


def create_app(settings: Settings, reset: api.Reset, clock: Clock | None = None) -> FastAPI:
    """Return the application; `reset` breaks the connection from a client address."""
    app = FastAPI(
        title="WeChat Work simulator",
        description="Answers as WeChat Work does, and misbehaves on demand. Nothing that it takes reaches anybody.",
    )
    corporation = Corporation(settings) if clock is None else Corporation(settings, clock)
    faults, journal = Faults(), control.Journal()
    app.include_router(
        api.router(corporation, api.ApiCalls(faults, journal, reset, lambda: corporation.trusted_addresses))
    )
    app.include_router(control.router(corporation, faults, journal))

    @app.get("/", include_in_schema=False)
    def arrived() -> HTMLResponse:
        return HTMLResponse(page.render(corporation.messages))

    @app.get("/health")
    def health() -> dict[str, str]:
        """Say that it runs."""
        return {"status": "healthy"}

    return app
