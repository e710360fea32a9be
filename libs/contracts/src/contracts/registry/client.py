"""Two clients for one model of one registry.

`send` is the `request` method of an httpx client, which brings address, token and timeouts, or something like it. All
methods raise `RegistryError`.
"""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path

import httpx

from contracts.audit import AuditLogPage
from contracts.bundle_signatures import Signer
from contracts.checksums import sha256_of
from contracts.deployments import (
    ActiveDeployments,
    DeploymentHistory,
    DeploymentReceipt,
    DeploymentRequest,
    ReplicaReport,
    RollbackRequest,
)
from contracts.json_answers import AnswerT
from contracts.model_versions import ModelSummary, VersionDetail, VersionReceipt
from contracts.registry import calls
from contracts.registry.calls import ActiveAnswer, Call, Request
from contracts.registry.label_client import LabelClient
from contracts.registry.token_client import TokenClient
from contracts.retention import RetentionReport, RetentionRequest
from contracts.rollouts import RolloutAnswer, RolloutRecord, RolloutRequest
from contracts.version_comparisons import VersionComparison
from contracts.webhooks import CreatedWebhook, NewWebhook, WebhookList


class RegistryClient:
    """Blocks: for commands, pipeline steps and threads."""

    def __init__(self, send: Callable[..., httpx.Response], model: str) -> None:
        self._send = send
        self._model = model

    @property
    def tokens(self) -> TokenClient:
        """The named tokens, which are those of all models."""
        return TokenClient(self._request)

    @property
    def labels(self) -> LabelClient:
        """The aliases, tags and descriptions of its versions."""
        return LabelClient(self._request, self._model)

    def push(self, archive: Path, evaluation: Path | None = None, *, signer: Signer | None = None) -> VersionReceipt:
        """Upload a bundle as the next version; the same bytes again have the same version. `OSError` of a file.

        A `signer` signs it. The `evaluation` part follows if the registry takes it: one of an earlier release doesn't.
        """
        checksum = sha256_of(archive)
        signature = None if signer is None else signer(self._model, checksum)
        with archive.open("rb") as bundle:
            receipt = self._call(calls.push(self._model, bundle, checksum, signature))
        if evaluation is not None and receipt.takes_evaluation:
            checksum = sha256_of(evaluation)
            with evaluation.open("rb") as part:
                self._call(calls.put_evaluation(self._model, receipt.version, part, checksum))
        return receipt

    def deploy(self, wanted: DeploymentRequest) -> DeploymentReceipt:
        """Put a version into service."""
        return self._call(calls.deploy(self._model, wanted))

    def roll_back(self, wanted: RollbackRequest) -> DeploymentReceipt:
        """Put the version before back into service, or end a canary or shadow."""
        return self._call(calls.roll_back(self._model, wanted))

    def start_rollout(self, wanted: RolloutRequest) -> RolloutRecord:
        """Roll a version out step by step."""
        return self._call(calls.start_rollout(self._model, wanted))

    def rollouts(self) -> list[RolloutRecord]:
        """Return the latest rollouts, newest first."""
        return self._call(calls.get_rollouts(self._model)).rollouts

    def answer_rollout(self, rollout_id: str, wanted: RolloutAnswer) -> RolloutRecord:
        """Continue or stop a rollout, or let it wait."""
        return self._call(calls.answer_rollout(self._model, rollout_id, wanted))

    def active(self) -> ActiveDeployments | None:
        """Return what is in service, None while nothing is deployed."""
        answer = calls.read_active(self._request(calls.get_active(self._model, None)))
        return None if answer is None else answer.deployments

    def history(self) -> DeploymentHistory:
        """Return the newest deployments and the replicas."""
        return self._call(calls.get_history(self._model))

    def versions(self) -> ModelSummary:
        """Return all versions, newest first, page by page; an unknown model raises `RegistryRejectedError` (404)."""
        found = self.newest_versions()
        while found.next_before is not None:
            following = self._call(calls.get_model(self._model, found.next_before))
            found = following.model_copy(update={"versions": found.versions + following.versions})
        return found

    def newest_versions(self) -> ModelSummary:
        """Return the first page of the versions: the newest 50, or all if the registry is of an earlier release."""
        return self._call(calls.get_model(self._model))

    def version(self, version: str) -> VersionDetail:
        """Return a version with its manifest."""
        return self._call(calls.get_version(self._model, version))

    def compare(self, first: str, second: str) -> VersionComparison:
        """Compare two versions on the same queries; a registry of an earlier release answers 404."""
        return self._call(calls.compare(self._model, first, second))

    def download(self, version: str, target: Path, *, part_bytes: int = 8 * 2**20) -> None:
        """Download a version's bundle to a file, part by part; the caller checks its SHA-256. `OSError` of the file.

        A registry without ranges answers with the whole bundle, which is then in memory.
        """
        size = None
        with target.open("wb") as file:
            while size is None or file.tell() < size:
                response = self._request(calls.get_bundle_part(self._model, version, file.tell(), part_bytes))
                calls.check_success(response)
                file.write(response.content)
                if response.status_code != HTTPStatus.PARTIAL_CONTENT:
                    return
                size = calls.total_size(response)

    def download_evaluation(self, version: str, target: Path) -> None:
        """Download a version's evaluation part to a file; the caller checks its SHA-256. `OSError` of the file.

        A registry of an earlier release hands out none, and answers 405.
        """
        response = self._request(calls.get_evaluation(self._model, version))
        calls.check_success(response)
        target.write_bytes(response.content)

    def add_webhook(self, wanted: NewWebhook) -> CreatedWebhook:
        """Register a webhook, and return it with its secret."""
        content = {"json": wanted.model_dump(mode="json", exclude_unset=True)}
        return self._call(Call("POST", "/webhooks", content, answer=CreatedWebhook))

    def webhooks(self) -> WebhookList:
        """Return all webhooks, without their secrets."""
        return self._call(Call("GET", "/webhooks", answer=WebhookList))

    def remove_webhook(self, webhook: int, reason: str | None = None) -> None:
        """Remove a webhook, and what waits for it."""
        content = {"params": {"reason": reason}} if reason else {}
        calls.check_success(self._request(Request("DELETE", f"/webhooks/{webhook}", content)))

    def audit_log(self, limit: int) -> AuditLogPage:
        """Return who changed what and why, newest first; the other services answer this call, too."""
        return self._call(Call("GET", "/audit", {"params": {"limit": limit}}, answer=AuditLogPage))

    def apply_retention(self, wanted: RetentionRequest) -> RetentionReport:
        """Remove the bundles that are not kept; a dry run only returns which ones."""
        return self._call(calls.apply_retention(self._model, wanted))

    def _call(self, call: Call[AnswerT]) -> AnswerT:
        return calls.read(call, self._request(call))

    def _request(self, request: Request) -> httpx.Response:
        try:
            return self._send(request.method, request.path, **request.content)
        except httpx.HTTPError as error:
            raise calls.unreachable(request, error) from error


class AsyncRegistryClient:
    """Waits in the event loop: for replicas."""

    def __init__(self, send: Callable[..., Awaitable[httpx.Response]], model: str) -> None:
        self.model = model
        self._send = send

    async def active(self, etag: str | None, *, wait: int | None = None) -> ActiveAnswer | None:
        """Return what is in service, None if that hasn't changed since `etag`.

        With `wait` (s) a registry that can do so answers when it changes, at the latest after that time.
        """
        return calls.read_active(await self._request(calls.get_active(self.model, etag, wait)))

    async def report_replica(self, replica_id: str, report: ReplicaReport) -> None:
        """Report what a replica serves."""
        calls.check_success(await self._request(calls.put_replica(self.model, replica_id, report)))

    async def _request(self, request: Request) -> httpx.Response:
        try:
            return await self._send(request.method, request.path, **request.content)
        except httpx.HTTPError as error:
            raise calls.unreachable(request, error) from error
