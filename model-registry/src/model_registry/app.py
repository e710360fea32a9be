"""The composition root of model-registry."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from model_registry.artifacts import ArtifactStore
from model_registry.database import Database
from model_registry.deployments import endpoints as deployment_endpoints
from model_registry.deployments.checks import Gate
from model_registry.deployments.replicas import Replicas
from model_registry.deployments.service import Deployments
from model_registry.metrics import Metrics
from model_registry.settings import Settings
from model_registry.tables import SCHEMA
from model_registry.versions import endpoints as version_endpoints
from model_registry.versions.service import Versions
from servicekit import operations
from servicekit.app import base_app
from servicekit.bodies import MIB
from servicekit.database import migrate, open_database
from servicekit.health import Check

SERVICE = "model-registry"
_MIGRATIONS = Path(__file__).parent / "migrations"


def create_app(settings: Settings) -> FastAPI:
    """Build the service; nothing is opened before its lifespan starts."""
    engine = open_database(settings.database_url.get_secret_value(), SCHEMA)
    database = Database(engine)
    store = ArtifactStore(settings.artifact_url)
    metrics = Metrics()
    max_bundle_bytes = settings.max_bundle_mb * MIB

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(migrate, engine, SCHEMA, _MIGRATIONS)
        yield
        database.close()

    app = base_app(
        "recsys-model-registry",
        "model-registry",
        lifespan=lifespan,
        description="Model versions, bundles, deployments and rollback. Calls that change something need the token.",
    )
    app.include_router(
        version_endpoints.router(
            Versions(database, store, max_bundle_bytes), store, metrics, settings.registry_token, max_bundle_bytes
        )
    )
    gate = Gate(settings.model_gate_metric, settings.model_gate_tolerance)
    app.include_router(
        deployment_endpoints.router(
            Deployments(database, store, gate, metrics), Replicas(database), settings.registry_token
        )
    )

    async def checks() -> dict[str, Check]:
        well = await run_in_threadpool(database.answers)
        return {
            "database": Check(
                status="healthy" if well else "unhealthy", detail="" if well else "the database doesn't answer"
            )
        }

    app.include_router(operations.router(SERVICE, checks, metrics))
    return app
