"""`python -m bench.naive`: a naive recommender, in which every feature is a field of a hash in Redis."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import lightgbm as lgb
import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic_settings import BaseSettings
from redis.asyncio import Redis

from bench.population import CANDIDATES
from contracts.features import TRAINED_FEATURES

LIMIT = 20


class Settings(BaseSettings):
    """The address to listen on, Redis and the model."""

    port: int = 8000
    redis_url: str
    ranker: Path


def create_app(settings: Settings) -> FastAPI:
    """Return the service."""
    redis = Redis.from_url(settings.redis_url, decode_responses=True, socket_timeout=10)
    booster = lgb.Booster(model_file=str(settings.ranker))
    names = [feature.name for feature in TRAINED_FEATURES]

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await redis.aclose()

    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    async def recommend() -> dict[str, object]:
        ids = [str(member) for member in await redis.zrange("naive:candidates", 0, CANDIDATES - 1, desc=True)]
        pipeline = redis.pipeline(transaction=False)
        for dataset in ids:
            pipeline.hgetall(f"naive:item:{dataset}")
        rows = await pipeline.execute()
        matrix = np.array([[float(row[name]) for name in names] for row in rows])
        scores = np.asarray(booster.predict(matrix, num_threads=1))
        best = np.argsort(-scores)[:LIMIT]
        return {"items": [{"dataset_id": int(ids[row]), "score": float(scores[row])} for row in best]}

    return app


if __name__ == "__main__":
    read = Settings()  # type: ignore[call-arg]  # pydantic-settings fills it from the environment
    uvicorn.run(create_app(read), port=read.port, access_log=False, log_level="warning")
