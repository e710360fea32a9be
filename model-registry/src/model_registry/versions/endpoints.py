"""HTTP API of the versions."""

from typing import IO, Annotated, Any, cast

from fastapi import File, Form, Header, Path, Response, UploadFile

from contracts.bundle_signatures import HEADER, HEADER_PATTERN, BundleSignature
from contracts.model_versions import (
    MODEL_NAME,
    VERSION_OR_ALIAS,
    ModelSummary,
    VersionDetail,
    VersionReceipt,
)
from model_registry.access import RegistryAccess
from model_registry.author import DeployedBy
from model_registry.metrics import Metrics
from model_registry.paging import WantedPage
from model_registry.versions.answers import detail, receipt
from model_registry.versions.downloads import Download
from model_registry.versions.label_service import Labels
from model_registry.versions.service import VersionPage, Versions
from servicekit.bearer import CallerName
from servicekit.bodies import MIB
from servicekit.problems import problem_responses
from servicekit.routing import ApiRouter

ModelName = Annotated[str, Path(pattern=MODEL_NAME, description="Model", examples=["ranker"])]
Version = Annotated[
    str, Path(pattern=VERSION_OR_ALIAS, description="Version number, or an alias that points to one", examples=["12"])
]
_Range = Annotated[str | None, Header(alias="Range", max_length=200, description="One range of bytes, to go on")]
_IfRange = Annotated[str | None, Header(max_length=200, description="The tag that a part must fit to")]
_IfNoneMatch = Annotated[str | None, Header(max_length=1000, description="Tags that the caller has")]
_Signature = Annotated[
    str | None,
    Header(alias=HEADER, pattern=HEADER_PATTERN, description="Id of the key, a colon, and the signature in base64"),
]
_GONE = "There is no such version, or its bundle is gone from the artifact store or damaged there: push it again"
# The size of a form's other parts.
_FORM_BYTES = MIB
_KNOWN: dict[str, Any] = {"model": VersionReceipt, "description": "This content was uploaded before, with this version"}


def router(
    versions: Versions, labels: Labels, metrics: Metrics, access: RegistryAccess, max_bundle_bytes: int
) -> ApiRouter:
    """Return the routes."""
    made = ApiRouter(tags=["versions"])
    bundle_access = access.allow("reader", "replica", "ci", "admin")

    @made.post(
        "/models/{name}/versions",
        status_code=201,
        responses={200: _KNOWN, **problem_responses(503)},
        dependencies=access.allow("ci", "admin"),
        max_body_size=max_bundle_bytes + _FORM_BYTES,
    )
    def push(
        name: ModelName,
        bundle: Annotated[UploadFile, File(description="The bundle, a `.tar.gz`")],
        sha256: Annotated[str, Form(pattern="^[0-9a-fA-F]{64}$", description="Its SHA-256")],
        *,
        response: Response,
        caller: CallerName,
        deployed_by: DeployedBy = None,
        signature: _Signature = None,
    ) -> VersionReceipt:
        """Upload a bundle as the next version; the same content again answers 200 with its version."""
        content = cast("IO[bytes]", bundle.file)
        signed = None if signature is None else BundleSignature.from_header(signature)
        row, new = versions.upload(name, content, sha256, deployed_by or caller, signature=signed)
        metrics.begin(name)
        if new:
            metrics.uploads.labels(name).inc()
        else:
            response.status_code = 200
        return receipt(row)

    @made.get("/models", responses=problem_responses(503), dependencies=access.read())
    def list_models() -> list[ModelSummary]:
        """List all models with their newest versions; `GET /models/{name}` has the others."""
        return [_summary(page) for page in versions.models()]

    @made.get(
        "/models/{name}",
        responses=problem_responses(503, not_found="There is no such model"),
        dependencies=access.read(),
    )
    def get_model(name: ModelName, page: WantedPage) -> ModelSummary:
        """Return a page of a model's versions, newest first, without their manifests."""
        return _summary(versions.page_of(name, page))

    @made.get(
        "/models/{name}/versions/{version}",
        responses=problem_responses(503, not_found="There is no such version"),
        dependencies=access.read(),
    )
    def get_version(name: ModelName, version: Version) -> VersionDetail:
        """Return a version with its bundle's manifest, its labels and its lineage."""
        return detail(labels.describe(name, version))

    @made.get(
        "/models/{name}/versions/{version}/bundle",
        response_class=Response,
        responses={
            200: {
                "description": "The bundle, a `.tar.gz`",
                "content": {"application/gzip": {"schema": {"type": "string", "format": "binary"}}},
            },
            206: {"description": "The part that `Range` asks for"},
            304: {"description": "`If-None-Match` names the bundle's tag"},
            **problem_responses(
                503, not_found=_GONE, requested_range_not_satisfiable="`Range` begins after the end of the bundle"
            ),
        },
        dependencies=bundle_access,
    )
    def get_bundle(
        name: ModelName,
        version: Version,
        wanted: _Range = None,
        if_range: _IfRange = None,
        if_none_match: _IfNoneMatch = None,
    ) -> Response:
        """Download a version's bundle, or a part of it."""
        row = versions.get(name, version)
        download = Download(versions.open_bundle(row), row.sha256)
        return download.answer(head=False, wanted=wanted, if_range=if_range, if_none_match=if_none_match)

    @made.head(
        "/models/{name}/versions/{version}/bundle",
        response_class=Response,
        responses={200: {"description": "The headers of the download"}, **problem_responses(503, not_found=_GONE)},
        dependencies=bundle_access,
    )
    def head_bundle(name: ModelName, version: Version, if_none_match: _IfNoneMatch = None) -> Response:
        """Return size and checksum of a version's bundle."""
        row = versions.get(name, version)
        return Download(versions.open_bundle(row), row.sha256).answer(
            head=True, wanted=None, if_none_match=if_none_match
        )

    return made


def _summary(page: VersionPage) -> ModelSummary:
    return ModelSummary(name=page.model, versions=[receipt(row) for row in page.rows], next_before=page.next_before)
