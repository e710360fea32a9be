"""Whether all live replicas serve what is deployed: reports those that don't after a deadline, and their recovery."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool

import monitoring
from contracts.convergence import Deployed, lagging_replicas
from contracts.deployments import ReplicaStatus
from model_registry.database import Database
from model_registry.deployments import queries
from model_registry.deployments.replicas import Replicas
from model_registry.errors import UnavailableError
from servicekit.background import report_failure
from servicekit.health import Check

INTERVAL_SECONDS = 5.0
POINT = "model.not_converged"
_MAX_NAMED = 10


@dataclass(frozen=True)
class _Target:
    """An active deployment."""

    model: str
    deployed: Deployed
    is_rollback: bool


class ConvergenceWatch:
    """Compares the reports of the replicas with the active deployments of all models.

    A replica is late when it has not served an active deployment for `deadline` seconds of `clock`, since this process
    saw that first. One report is made for each deployment.
    """

    def __init__(
        self,
        database: Database,
        replicas: Replicas,
        deadline: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._replicas = replicas
        self._deadline = deadline
        self._clock = clock
        self._recoveries = monitoring.Recoveries(POINT)
        # By deployment and replica.
        self._lagging_since: dict[tuple[str, str], float] = {}
        self._reported: set[str] = set()
        # What is late now, for `/health`.
        self._late: list[str] = []

    async def step(self) -> None:
        """Look once."""
        await run_in_threadpool(self.review)

    def review(self) -> None:
        """Look once, in this thread; raises `UnavailableError`."""
        late: list[str] = []
        targets = self._targets()
        seen = [self._try_model(model, of_model, late) for model, of_model in targets.items()]
        current = {key for keys in seen for key in keys}
        self._lagging_since = {key: since for key, since in self._lagging_since.items() if key in current}
        self._reported &= {target.deployed.deployment_id for of_model in targets.values() for target in of_model}
        self._late = late

    def check(self) -> Check:
        """Return the check `convergence` of `/health`: it names the replicas that are late."""
        return Check(status="degraded" if self._late else "healthy", detail="; ".join(self._late))

    def _targets(self) -> dict[str, list[_Target]]:
        with self._database.transaction("list_active") as connection:
            return {
                model: [
                    _Target(
                        model,
                        Deployed(str(row.id), str(row.version), row.mode),
                        queries.is_rollback(connection, row),
                    )
                    for row in queries.all_active(connection, model).values()
                ]
                for model in queries.models_in_service(connection)
            }

    def _try_model(self, model: str, targets: Sequence[_Target], late: list[str]) -> set[tuple[str, str]]:
        """Review a model; if that fails, report it and return what lagged before."""
        try:
            return self._review_model(model, targets, late)
        except UnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - one model must not stop the others
            report_failure("convergence", error)
            ids = {target.deployed.deployment_id for target in targets}
            return {key for key in self._lagging_since if key[0] in ids}

    def _review_model(self, model: str, targets: Sequence[_Target], late: list[str]) -> set[tuple[str, str]]:
        """Add what is `late` and report it; return the deployments with the replicas that lag."""
        replicas = [ReplicaStatus.model_validate(row, from_attributes=True) for row in self._replicas.of(model)]
        lagging = {target: lagging_replicas(target.deployed, replicas) for target in targets}
        for target, reasons in lagging.items():
            if names := self._late_of(target, reasons):
                details = _describe(names, reasons)
                late.append(f"{model} {target.deployed.version} as {target.deployed.mode}: {details}")
                self._report(target, len(names), details)
        if replicas and not any(lagging.values()):
            self._reported -= {target.deployed.deployment_id for target in targets}
            self._recoveries.note_success(model_name=model)
        return {(target.deployed.deployment_id, name) for target, reasons in lagging.items() for name in reasons}

    def _late_of(self, target: _Target, reasons: Mapping[str, str]) -> list[str]:
        """Return the lagging replicas whose deadline has passed."""
        now, deployment_id = self._clock(), target.deployed.deployment_id
        for name in reasons:
            self._lagging_since.setdefault((deployment_id, name), now)
        return [name for name in reasons if now - self._lagging_since[deployment_id, name] > self._deadline]

    def _report(self, target: _Target, replicas: int, details: str) -> None:
        deployed = target.deployed
        if deployed.deployment_id in self._reported:
            return
        self._reported.add(deployed.deployment_id)
        self._recoveries.note_failure(model_name=target.model)
        monitoring.report(
            POINT,
            details=details,
            change="rollback" if target.is_rollback else "deployment",
            model_name=target.model,
            model_version=deployed.version,
            deployment_id=deployed.deployment_id,
            mode=deployed.mode,
            replicas=replicas,
        )


def _describe(names: Sequence[str], reasons: Mapping[str, str]) -> str:
    named = "; ".join(f"{name}: {reasons[name]}" for name in names[:_MAX_NAMED])
    return named if len(names) <= _MAX_NAMED else f"{named}; and {len(names) - _MAX_NAMED} more"
