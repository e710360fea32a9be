"""The three operations of WeChat Work, each with the configured faults."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from wechat_simulator import errcodes
from wechat_simulator.control import Call, Journal
from wechat_simulator.corporation import Corporation
from wechat_simulator.errcodes import ApiError
from wechat_simulator.faults import Fault, Faults, Operation

_PAGE = "<html><head><title>Sign in</title></head><body>Please sign in to this network.</body></html>"

# Resets the connection of this client address; None if the server can't.
Reset = Callable[[tuple[str, int]], None]

# The addresses that may call; None: any.
Trusted = Callable[[], set[str] | None]


class ApiCalls:
    """Runs an operation, or applies a fault instead."""

    def __init__(self, faults: Faults, journal: Journal, reset: Reset, trusted: Trusted) -> None:
        self._trusted = trusted
        self._faults = faults
        self._journal = journal
        self._reset = reset

    async def run(self, request: Request, operation: Operation, run: Callable[[], dict[str, Any]]) -> Response:
        """Return the answer of one call, and add the call to the journal."""
        fault = self._faults.take(operation)
        if fault is not None and not fault.taken:
            response = await self._misbehave(request, fault)
            self._note(operation, errcodes.OK if fault.unreached else fault.errcode)
            return response
        try:
            self._check_address(request)
            body = run()
        except ApiError as error:
            body = errcodes.answer(error.errcode, error.detail, _address(request))
        self._note(operation, body["errcode"])
        return JSONResponse(body) if fault is None else await self._misbehave(request, fault)

    def _check_address(self, request: Request) -> None:
        trusted = self._trusted()
        if trusted is not None and _address(request) not in trusted:
            raise ApiError(errcodes.UNTRUSTED_ADDRESS)

    def _note(self, operation: Operation, errcode: int | None) -> None:
        self._journal.calls.append(Call(operation, datetime.now(UTC), errcode))

    async def _misbehave(self, request: Request, fault: Fault) -> Response:
        if fault.errcode is not None:
            return JSONResponse(errcodes.answer(fault.errcode, address=_address(request)))
        if fault.unreached:
            named: dict[str, Any] = dict.fromkeys(("invaliduser", "invalidparty", "invalidtag"), "") | fault.unreached
            return JSONResponse(errcodes.answer(**named, msgid="m0"))
        if fault.http_status is not None:
            return Response("the simulator fails by a configured fault", fault.http_status, media_type="text/plain")
        if fault.html:
            return HTMLResponse(_PAGE)
        if fault.reset:
            client = request.scope["client"]
            self._reset((client[0], client[1]))
            return Response(status_code=204)
        await asyncio.sleep(fault.hang_seconds or 0)
        return Response("too late", 504, media_type="text/plain")


def _address(request: Request) -> str:
    return request.client.host if request.client is not None else ""


def router(corporation: Corporation, calls: ApiCalls) -> APIRouter:
    """Return the routes below `/cgi-bin`."""
    routes = APIRouter(prefix="/cgi-bin", tags=["WeChat Work"])

    @routes.get("/gettoken")
    async def gettoken(request: Request, corpid: str = "", corpsecret: str = "") -> Response:
        """Return an access token."""
        return await calls.run(request, "gettoken", lambda: corporation.get_token(corpid, corpsecret))

    @routes.post("/message/send")
    async def message_send(request: Request, access_token: str = "") -> Response:
        """Send an application message to members."""
        body = await request.body()
        return await calls.run(request, "message/send", lambda: corporation.send_app_message(access_token, body))

    @routes.post("/webhook/send")
    async def webhook_send(request: Request, key: str = "") -> Response:
        """Send a message to the group of a robot."""
        body = await request.body()
        return await calls.run(request, "webhook/send", lambda: corporation.send_robot_message(key, body))

    return routes
