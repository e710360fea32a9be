"""Checks bundles, a few at a time, and knows what was found before."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from contracts.bundle import BundleManifest
from contracts.deployments import DeploymentStage
from contracts.text import repair_text
from model_registry.bundle_checks import queries
from model_registry.bundle_checks.code_version import code_version
from model_registry.bundle_checks.report import CheckReport, Refusal
from model_registry.database import Database
from model_registry.errors import UnavailableError
from model_registry.sandbox.client import Sandbox, SandboxUnavailableError, WorkDiedError
from model_registry.sandbox.slots import Slots

_log = logging.getLogger(__name__)
MAX_DETAIL = 1000
WORK = "model_registry.sandboxed"


def default_slots() -> Slots:
    """Return one slot, or two on a machine that has CPUs to spare for them."""
    return Slots(1 if (os.cpu_count() or 1) < 4 else 2)


class BundleChecks:
    """The checks of all bundles."""

    def __init__(self, database: Database, sandbox: Sandbox, slots: Slots) -> None:
        self._database = database
        self._sandbox = sandbox
        self._slots = slots

    def check(self, archive: Path, folder: Path) -> CheckReport:
        """Check an archive in the sandbox, unpacked to the absent `folder`; raises `BusyError`, `UnavailableError`."""
        found = _Findings()
        with self._slots.slot():
            try:
                arguments = {"job": "bundle", "archive": str(archive), "folder": str(folder)}
                self._sandbox.run(arguments, folder.with_name("printed"), found.receive)
            except SandboxUnavailableError as error:
                raise UnavailableError(str(error)) from error
            except WorkDiedError as error:
                return found.died(str(error))
        if found.unavailable is not None:
            _log.error("a bundle can't be checked: %s", found.unavailable)
            raise UnavailableError(f"the bundle can't be checked: {found.unavailable}")
        return CheckReport(found.manifest, found.refusal)

    def recall(self, sha256: str) -> CheckReport | None:
        """Return what this release has found in a bundle before; None if that isn't known or not final."""
        with self._database.transaction("get_check") as connection:
            return queries.find(connection, sha256, code_version())

    def remember(self, sha256: str, report: CheckReport, connection: Connection | None = None) -> None:
        """Keep a final report, in the caller's transaction if there is one."""
        if connection is not None:
            queries.add(connection, sha256, code_version(), report)
            return
        with self._database.transaction("add_check") as own:
            queries.add(own, sha256, code_version(), report)


class _Findings:
    """What the process has said so far."""

    def __init__(self) -> None:
        self._stage = DeploymentStage.MANIFEST
        self.manifest: BundleManifest | None = None
        self.refusal: Refusal | None = None
        self.unavailable: str | None = None

    def receive(self, message: Mapping[str, Any]) -> None:
        """Take one message of `bundle_checks.content`."""
        if "stage" in message:
            self._stage = DeploymentStage(message["stage"])
        if "manifest" in message:
            self.manifest = BundleManifest.model_validate_json(message["manifest"])
        if message.get("refusal") is not None:
            refusal = message["refusal"]
            # The detail quotes the bundle: names, values, errors of libraries.
            detail = repair_text(refusal["detail"], MAX_DETAIL)
            self.refusal = Refusal(DeploymentStage(refusal["stage"]), detail, refusal["error"], refusal["is_final"])
        self.unavailable = message.get("unavailable", self.unavailable)

    def died(self, reason: str) -> CheckReport:
        """Return the report of a process that has died."""
        detail = f"the process that checked the bundle was {reason}"
        return CheckReport(self.manifest, Refusal(self._stage, detail, is_final=False))
