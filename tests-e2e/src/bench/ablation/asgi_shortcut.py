"""Fast routes as the outermost ASGI callable, behind a HTTP protocol that knows nothing of them."""

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from servicekit.fast_routes import is_plain
from servicekit.request_ids import answered


class AsgiShortcut:
    """Answers what the service's fast path recognizes; the application answers the rest."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self.state = app.state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        fast_route = None
        if scope["type"] == "http" and scope["method"] == "GET" and is_plain(scope["headers"]):
            fast_route = self.state.match_fast_route(scope["raw_path"].decode("latin-1"), scope["query_string"])
        if fast_route is None:
            await self._app(scope, receive, send)
            return
        (status, headers, body), own = await answered(fast_route, scope)
        lines = (headers + own).split(b"\r\n")[:-1]
        pairs = [(name, value) for name, _, value in (line.partition(b": ") for line in lines)]
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        await send({"type": "http.response.body", "body": body})
