"""Two clients for one model of one registry.

`send` is the `request` method of an httpx client, which brings address, token and timeouts, or something like it. All
methods raise `RegistryError`.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx

from contracts.audit import AuditLogPage
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
from contracts.registry.token_client import TokenClient
from contracts.retention import RetentionReport, RetentionRequest
from contracts.rollouts import RolloutAnswer, RolloutRecord, RolloutRequest


class RegistryClient:
    """Blocks: for commands, pipeline steps and threads."""

    def __init__(self, send: Callable[..., httpx.Response], model: str) -> None:
        self._send = send
        self._model = model

    @property
    def tokens(self) -> TokenClient:
        """The named tokens, which are those of all models."""
        return TokenClient(self._request)

    def push(self, archive: Path, evaluation: Path | None = None) -> VersionReceipt:
        """Upload a bundle as the next version; the same bytes again have the same version. `OSError` of a file.

        The `evaluation` part follows if the registry takes it: one of an earlier release doesn't.
        """
        checksum = sha256_of(archive)
        with archive.open("rb") as bundle:
            receipt = self._call(calls.push(self._model, bundle, checksum))
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
        """Return the deployments, newest first, and the replicas."""
        return self._call(calls.get_history(self._model))

    def versions(self) -> ModelSummary:
        """Return the versions, newest first; an unknown model raises `RegistryRejectedError` with status 404."""
        return self._call(calls.get_model(self._model))

    def version(self, version: str) -> VersionDetail:
        """Return a version with its manifest."""
        return self._call(calls.get_version(self._model, version))

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
