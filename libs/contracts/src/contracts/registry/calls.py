"""Requests to the registry and its answers, without the sending: both clients are made of these."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import IO, Any, Generic

import httpx

from contracts.bundle_signatures import HEADER, BundleSignature
from contracts.deployments import (
    ActiveDeployments,
    DeploymentHistory,
    DeploymentReceipt,
    DeploymentRequest,
    ReplicaReport,
    RollbackRequest,
)
from contracts.json_answers import AnswerT, UnusableAnswerError, problem_detail, read_answer
from contracts.model_versions import MAX_PAGE, EvaluationSummary, ModelSummary, VersionDetail, VersionReceipt
from contracts.registry.errors import RegistryAnswerError, RegistryRejectedError, RegistryUnreachableError
from contracts.retention import RetentionReport, RetentionRequest
from contracts.rollouts import RolloutAnswer, RolloutList, RolloutRecord, RolloutRequest
from contracts.version_comparisons import VersionComparison

CONNECT_SECONDS = 2.0
# A registry that ends a wait late is still there.
SPARE_SECONDS = 5.0


@dataclass(frozen=True)
class Request:
    """What is sent: method, path, and what else httpx is to be given."""

    method: str
    path: str
    content: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Call(Request, Generic[AnswerT]):
    """A request whose answer is read as `answer`."""

    answer: type[AnswerT] = field(kw_only=True)


@dataclass(frozen=True)
class ActiveAnswer:
    """The deployments in service, None while nothing is deployed, and the tag to ask for changes with."""

    deployments: ActiveDeployments | None
    etag: str | None


def push(model: str, bundle: IO[bytes], sha256: str, signature: BundleSignature | None = None) -> Call[VersionReceipt]:
    """Upload a bundle; a registry of an earlier release ignores the signature."""
    # Not the file's own name: it may hold what a header can't.
    files = {"bundle": ("bundle.tar.gz", bundle, "application/gzip")}
    headers = {} if signature is None else {HEADER: signature.to_header()}
    content = {"files": files, "data": {"sha256": sha256}, "headers": headers}
    return Call("POST", f"/models/{model}/versions", content, answer=VersionReceipt)


def put_evaluation(model: str, version: str, part: IO[bytes], sha256: str) -> Call[EvaluationSummary]:
    """Upload the evaluation part of a version."""
    files = {"evaluation": ("evaluation.zip", part, "application/zip")}
    content = {"files": files, "data": {"sha256": sha256}}
    return Call("PUT", f"/models/{model}/versions/{version}/evaluation", content, answer=EvaluationSummary)


def get_evaluation(model: str, version: str) -> Request:
    """Ask for the evaluation part of a version."""
    return Request("GET", f"/models/{model}/versions/{version}/evaluation")


def deploy(model: str, wanted: DeploymentRequest) -> Call[DeploymentReceipt]:
    """Put a version into service; only the fields that were set are sent."""
    content = {"json": wanted.model_dump(mode="json", exclude_unset=True, exclude_none=True)}
    return Call("POST", f"/models/{model}/deployments", content, answer=DeploymentReceipt)


def roll_back(model: str, wanted: RollbackRequest) -> Call[DeploymentReceipt]:
    """Take a deployment back; only the fields that were set are sent."""
    content = {"json": wanted.model_dump(mode="json", exclude_unset=True, exclude_none=True)}
    return Call("POST", f"/models/{model}/rollback", content, answer=DeploymentReceipt)


def start_rollout(model: str, wanted: RolloutRequest) -> Call[RolloutRecord]:
    """Roll a version out step by step; only the fields that were set are sent."""
    content = {"json": wanted.model_dump(mode="json", exclude_unset=True, exclude_none=True)}
    return Call("POST", f"/models/{model}/rollouts", content, answer=RolloutRecord)


def get_rollouts(model: str) -> Call[RolloutList]:
    """Ask for the latest rollouts."""
    return Call("GET", f"/models/{model}/rollouts", answer=RolloutList)


def answer_rollout(model: str, rollout_id: str, wanted: RolloutAnswer) -> Call[RolloutRecord]:
    """Say how a rollout goes on."""
    content = {"json": wanted.model_dump(mode="json", exclude_none=True)}
    return Call("POST", f"/models/{model}/rollouts/{rollout_id}/answer", content, answer=RolloutRecord)


def get_history(model: str) -> Call[DeploymentHistory]:
    """Ask for the newest deployments and the replicas."""
    return Call("GET", f"/models/{model}/deployments", answer=DeploymentHistory)


def get_model(model: str, before: str | None = None) -> Call[ModelSummary]:
    """Ask for a page of the versions.

    Without `before` there is no query: a registry of an earlier release rejects it, and answers with all versions.
    """
    content = {} if before is None else {"params": {"before": before, "limit": MAX_PAGE}}
    return Call("GET", f"/models/{model}", content, answer=ModelSummary)


def get_version(model: str, version: str) -> Call[VersionDetail]:
    """Ask for a version with its manifest."""
    return Call("GET", f"/models/{model}/versions/{version}", answer=VersionDetail)


def compare(model: str, first: str, second: str) -> Call[VersionComparison]:
    """Ask for a comparison of two versions."""
    content = {"params": {"first": first, "second": second}}
    return Call("GET", f"/models/{model}/comparisons", content, answer=VersionComparison)


def get_bundle_part(model: str, version: str, start: int, size: int) -> Request:
    """Ask for a part of a bundle; one without `Range` answers with the whole."""
    headers = {"Range": f"bytes={start}-{start + size - 1}"}
    return Request("GET", bundle_path(model, version), {"headers": headers})


def total_size(response: httpx.Response) -> int:
    """Return the size of what a part belongs to; raises `RegistryAnswerError`."""
    found = re.fullmatch(r"bytes [0-9]+-[0-9]+/([0-9]{1,18})", response.headers.get("Content-Range", ""))
    if found is None:
        raise RegistryAnswerError(f"{response.request.url}: the header Content-Range is not that of a part")
    return int(found[1])


def apply_retention(model: str, wanted: RetentionRequest) -> Call[RetentionReport]:
    """Remove old bundles, or ask which ones would be removed."""
    content = {"json": wanted.model_dump(mode="json")}
    return Call("POST", f"/models/{model}/retention", content, answer=RetentionReport)


def get_active(model: str, etag: str | None, wait: int | None = None) -> Request:
    """Ask for what is in service, if that isn't what `etag` stands for; the answer may `wait` (s) for a change."""
    headers = {"If-None-Match": etag} if etag else {}
    if wait is None:
        return Request("GET", active_path(model), {"headers": headers})
    timeout = httpx.Timeout(CONNECT_SECONDS, read=wait + SPARE_SECONDS)
    return Request("GET", active_path(model), {"headers": headers | {"Prefer": f"wait={wait}"}, "timeout": timeout})


def active_path(model: str) -> str:
    """Return the path that replicas poll."""
    return f"/models/{model}/active"


def bundle_path(model: str, version: str) -> str:
    """Return the path of a version's bundle."""
    return f"/models/{model}/versions/{version}/bundle"


def put_replica(model: str, replica_id: str, report: ReplicaReport) -> Request:
    """Report what a replica serves."""
    body = report.model_dump(mode="json", exclude={"traffic"} if report.traffic is None else None)
    return Request("PUT", f"/models/{model}/replicas/{replica_id}", {"json": body})


def read(call: Call[AnswerT], response: httpx.Response) -> AnswerT:
    """Return the answer of a call; raises `RegistryRejectedError` or `RegistryAnswerError`."""
    check_success(response)
    return _read_as(response, call.answer)


def read_active(response: httpx.Response) -> ActiveAnswer | None:
    """Return the answer to `get_active`, None if nothing has changed; raises as `read`."""
    if response.status_code == HTTPStatus.NOT_MODIFIED:
        return None
    if response.status_code == HTTPStatus.NOT_FOUND:
        return ActiveAnswer(None, None)
    check_success(response)
    return ActiveAnswer(_read_as(response, ActiveDeployments), response.headers.get("ETag"))


def check_success(response: httpx.Response) -> None:
    """Raise `RegistryRejectedError` for every other status."""
    if not response.is_success:
        raise RegistryRejectedError(str(response.request.url), response.status_code, problem_detail(response))


def unreachable(request: Request, error: httpx.HTTPError) -> RegistryUnreachableError:
    """Return what an error of httpx means."""
    try:
        url = str(error.request.url)
    except RuntimeError:
        url = request.path
    return RegistryUnreachableError(url, str(error) or type(error).__name__)


def _read_as(response: httpx.Response, answer: type[AnswerT]) -> AnswerT:
    try:
        return read_answer(response, answer)
    except UnusableAnswerError as error:
        raise RegistryAnswerError(str(error), response.text) from error
