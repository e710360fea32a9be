"""An HTTP server on loopback that answers every request as a test says: a proxy's page, half a document."""

from testkit.threaded_server import SilentHandler, ThreadedServer


class OddServer(ThreadedServer):
    """Answers with `status`, `content_type`, `body` and `more` headers; remembers the headers of each request."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.status = 200
        self.content_type = "application/json"
        self.body = b"{}"
        self.more: dict[str, str] = {}
        # Announced in Content-Length and never sent.
        self.missing = 0
        # Keep the connection open after the body, until the client closes it.
        self.held = False
        self.requests: list[dict[str, str]] = []

    def will_answer(
        self, body: bytes, content_type: str = "application/json", *, status: int = 200, **more: str
    ) -> None:
        """Set the next answers; `more` are headers, with _ for -."""
        self.status, self.content_type, self.body = status, content_type, body
        self.more = {name.replace("_", "-"): value for name, value in more.items()}


class _Handler(SilentHandler):
    server: OddServer

    def do_GET(self) -> None:
        """Answer."""
        self.read_body()
        self.server.requests.append(dict(self.headers))
        self.send_response(self.server.status)
        for name, value in self.server.more.items():
            self.send_header(name, value)
        self.send_header("Content-Type", self.server.content_type)
        self.send_header("Content-Length", str(len(self.server.body) + self.server.missing))
        self.end_headers()
        self.wfile.write(self.server.body)
        if self.server.held:
            self.rfile.read(1)

    def do_POST(self) -> None:
        """Answer."""
        self.do_GET()
