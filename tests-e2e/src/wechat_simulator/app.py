"""Composition root of the simulator."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException
from starlette.responses import HTMLResponse

from wechat_simulator import api, control, page, smtp_server
from wechat_simulator.corporation import Clock, Corporation
from wechat_simulator.faults import Faults
from wechat_simulator.mailbox import Mailbox
from wechat_simulator.settings import Settings

SERVICE = "wechat-simulator"


def create_app(
    settings: Settings, reset: api.Reset, clock: Clock | None = None, mail_listener: socket.socket | None = None
) -> FastAPI:
    """Return the application; `reset` resets the connection of a client address, mails come from `mail_listener`."""
    corporation = Corporation(settings) if clock is None else Corporation(settings, clock)
    mailbox = Mailbox() if clock is None else Mailbox(clock)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        if mail_listener is None:
            yield
            return
        server = await smtp_server.serve(mailbox, mail_listener)
        try:
            yield
        finally:
            server.close()

    app = FastAPI(
        title="WeChat Work and mail simulator",
        description="Answers as WeChat Work does, with faults on demand; catches mails. Nothing that it accepts "
        "reaches anybody.",
        lifespan=lifespan,
    )
    faults, journal = Faults(), control.Journal()
    app.include_router(
        api.router(corporation, api.ApiCalls(faults, journal, reset, lambda: corporation.trusted_addresses))
    )
    app.include_router(control.router(corporation, faults, journal, mailbox))

    @app.get("/", include_in_schema=False)
    def arrived() -> HTMLResponse:
        return HTMLResponse(page.render(corporation.messages, mailbox.mails), headers=dict(page.HEADERS))

    @app.get("/mails/{mail_id}.html", include_in_schema=False)
    def mail_html(mail_id: int) -> HTMLResponse:
        mail = mailbox.find(mail_id)
        if mail is None:
            raise HTTPException(404, "There is no such mail, or it was deleted.")
        return HTMLResponse(mail.html, headers=dict(page.MAIL_HEADERS))

    @app.get("/health")
    def health() -> dict[str, str]:
        """Answer the health check, and identify the simulator: notification-gateway rejects it in production."""
        return {"status": "healthy", "service": SERVICE}

    return app
