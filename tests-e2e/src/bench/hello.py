"""`python -m bench.hello`: the reference, a FastAPI service that does nothing."""

import uvicorn
from fastapi import FastAPI
from pydantic_settings import BaseSettings


class Settings(BaseSettings):
    """The address to listen on."""

    port: int = 8000


def create_app() -> FastAPI:
    """Return the service."""
    app = FastAPI()

    @app.get("/")
    async def hello() -> dict[str, str]:
        return {"hello": "world"}

    return app


if __name__ == "__main__":
    uvicorn.run(create_app(), port=Settings().port, access_log=False, log_level="warning")
