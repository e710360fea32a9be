from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated

import httpx
import pytest
from fastapi import FastAPI, Query
from pydantic import BaseModel, SecretStr
from starlette.responses import StreamingResponse

from servicekit.app import base_app
from servicekit.bearer import Access
from servicekit.errors import ServiceError
from servicekit.http_protocol import HttpProtocol
from servicekit.problems import ProblemError
from testkit.serving import Served


class Body(BaseModel):
    amount: int


class TakenError(ServiceError):
    status = 409


@asynccontextmanager
async def _nothing_to_open(_: FastAPI) -> AsyncIterator[None]:
    yield


@pytest.fixture(scope="module")
def app() -> FastAPI:
    """A small application made of servicekit alone."""
    app = base_app("recsys-servicekit", "sample", lifespan=_nothing_to_open, description="For tests.")

    @app.get("/fine")
    def fine(limit: Annotated[int, Query(ge=1, le=5)] = 1) -> dict[str, int]:
        return {"limit": limit}

    @app.post("/body", dependencies=Access.by_token(SecretStr("the-token")).allow("admin"))
    def body(given: Body) -> Body:
        return given

    @app.get("/known-error")
    def known_error() -> None:
        raise ProblemError(409, "it is taken", headers={"Retry-After": "7"})

    @app.get("/service-error")
    def service_error() -> None:
        raise TakenError("the name is taken")

    @app.get("/crash/{thing}")
    def crash(thing: str) -> None:
        raise RuntimeError(f"no {thing}")

    @app.get("/crash-later")
    def crash_later() -> StreamingResponse:
        def blocks() -> Iterator[bytes]:
            yield b"begun"
            raise RuntimeError("too late for another answer")

        return StreamingResponse(blocks())

    return app


@pytest.fixture(scope="module")
def client(app: FastAPI) -> Iterator[httpx.Client]:
    """Ask it, as a service serves it."""
    with Served(app, HttpProtocol) as served, httpx.Client(base_url=served.url) as http:
        yield http
