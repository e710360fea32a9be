"""HTTP API of the versions."""

from typing import IO, Annotated, Any, cast

from fastapi import File, Form, Path, Response, UploadFile
from pydantic import SecretStr
from sqlalchemy import Row
from starlette.responses import StreamingResponse

from contracts.model_versions import MODEL_NAME, MODEL_VERSION, ModelSummary, VersionDetail, VersionReceipt
from model_registry.artifacts import ArtifactStore, MissingArtifactError
from model_registry.errors import NotFoundError
from model_registry.metrics import Metrics
from model_registry.versions.service import Versions
from servicekit.bearer import bearer_guard
from servicekit.bodies import MIB
from servicekit.problems import problem_responses
from servicekit.routing import ApiRouter

ModelName = Annotated[str, Path(pattern=MODEL_NAME, description="Model", examples=["ranker"])]
Version = Annotated[str, Path(pattern=MODEL_VERSION, description="Version number", examples=["12"])]
_BLOCK = 2**20
# The size of a form's other parts.
_FORM_BYTES = MIB
_KNOWN: dict[str, Any] = {"model": VersionReceipt, "description": "This content was uploaded before, with this version"}


def router(
    versions: Versions, store: ArtifactStore, metrics: Metrics, token: SecretStr, max_bundle_bytes: int
) -> ApiRouter:
    """Return the routes."""
    made = ApiRouter(tags=["versions"])

    @made.post(
        "/models/{name}/versions",
        status_code=201,
        responses={200: _KNOWN, **problem_responses(503)},
        dependencies=bearer_guard(token),
        max_body_size=max_bundle_bytes + _FORM_BYTES,
    )
    def push(
        name: ModelName,
        bundle: Annotated[UploadFile, File(description="The bundle, a `.tar.gz`")],
        sha256: Annotated[str, Form(pattern="^[0-9a-fA-F]{64}$", description="Its SHA-256")],
        response: Response,
    ) -> VersionReceipt:
        """Upload a bundle as the next version; the same content again answers 200 with its version."""
        row, new = versions.upload(name, cast("IO[bytes]", bundle.file), sha256)
        metrics.begin(name)
        if new:
            metrics.uploads.labels(name).inc()
        else:
            response.status_code = 200
        return receipt(row)

    @made.get("/models", responses=problem_responses(503))
    def list_models() -> list[ModelSummary]:
        """List all models with their versions."""
        return [_summary(name, rows) for name, rows in versions.models().items()]

    @made.get("/models/{name}", responses=problem_responses(503, not_found="There is no such model"))
    def get_model(name: ModelName) -> ModelSummary:
        """Return a model with its versions, newest first."""
        return _summary(name, versions.all_of(name))

    @made.get(
        "/models/{name}/versions/{version}", responses=problem_responses(503, not_found="There is no such version")
    )
    def get_version(name: ModelName, version: Version) -> VersionDetail:
        """Return a version with its bundle's manifest."""
        row = versions.get(name, version)
        return VersionDetail(**receipt(row).model_dump(), size=row.size, manifest=row.manifest)

    @made.get(
        "/models/{name}/versions/{version}/bundle",
        response_class=Response,
        responses={
            200: {
                "description": "The bundle, a `.tar.gz`",
                "content": {"application/gzip": {"schema": {"type": "string", "format": "binary"}}},
            },
            **problem_responses(
                503, not_found="There is no such version, or its bundle is gone from the artifact store"
            ),
        },
    )
    def get_bundle(name: ModelName, version: Version) -> StreamingResponse:
        """Download a version's bundle."""
        row = versions.get(name, version)
        try:
            content = store.open(name, row.sha256)
        except MissingArtifactError as error:
            raise NotFoundError(f"the bundle of {name} {version} is not in the artifact store") from error

        def blocks() -> Any:
            with content:
                while block := content.read(_BLOCK):
                    yield block

        return StreamingResponse(blocks(), media_type="application/gzip", headers={"X-Bundle-SHA256": row.sha256})

    return made


def receipt(row: Row[Any]) -> VersionReceipt:
    """Return the receipt of a version."""
    return VersionReceipt(
        name=row.model,
        version=str(row.version),
        sha256=row.sha256,
        created_at=row.created_at,
        refreshes=None if row.refreshes is None else str(row.refreshes),
    )


def _summary(name: str, rows: list[Row[Any]]) -> ModelSummary:
    return ModelSummary(name=name, versions=[receipt(row) for row in rows])
