"""The quality gate: whether a trained version may take the place of the active one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row

from contracts.bundle import BundleManifest, overlap
from contracts.deployments import DeploymentStage
from contracts.moments import CLOCK_AHEAD
from model_registry.database import Database
from model_registry.errors import DeploymentRefusedError
from model_registry.evaluations import queries as evaluation_queries
from model_registry.evaluations.sandbox_jobs import ComparisonDiedError, PairComparison, UnusablePartError
from model_registry.evaluations.service import Evaluations

_CONFLICT = 409
# Below this share of common titles, two versions come from different marketplaces.
SAME_MARKETPLACE = 0.5
# The manifest's metric of a model that is significantly below a simpler one on the same queries.
BELOW_BASELINE = "below_baseline"


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class GateRules:
    """How much worse than others a version may be.

    `paired_tolerance` is a share of the other version's nDCG@10 on the same queries, of which there are at least
    `min_queries`. Beside the active version, the best of the newest `best_of` trained ones is compared. Without
    evaluation parts, the manifest's `metric` may be lower by the share `tolerance`.
    """

    metric: str
    tolerance: float
    paired_tolerance: float
    min_queries: int
    best_of: int


class Gate:
    """Compares a trained version with the one in service, and with the best of the newest ones."""

    def __init__(
        self, rules: GateRules, database: Database, evaluations: Evaluations, *, clock: Callable[[], datetime] = _now
    ) -> None:
        self._rules = rules
        self._database = database
        self._evaluations = evaluations
        self._clock = clock

    def check(self, model: str, candidate: Row[Any], active: Row[Any]) -> str | None:
        """Return what was found, for the history; raises `DeploymentRefusedError`, `BusyError`, `UnavailableError`.

        Both are rows of trained versions. With an evaluation part, the models that were trained before its cut are
        compared on its queries: the versions themselves have seen the answers. If one of the two has none, their
        manifests' metrics are compared.
        """
        manifest, active_manifest = (BundleManifest.model_validate(each.manifest) for each in (candidate, active))
        if manifest.metrics.get(BELOW_BASELINE):
            raise _refused(f"version {candidate.version} is below baseline: a simpler model answers better")
        if candidate.evaluation_sha256 is not None and _cut(candidate) > self._clock() + CLOCK_AHEAD:
            raise _refused(f"version {candidate.version} is not evaluated: the cut of its part lies in the future")
        found = {} if candidate.evaluation_sha256 is None else self._compare(model, candidate, active)
        in_service = _name(active.version)
        notes: list[str | None] = [
            # Since the business data was replaced by force, no earlier version has a say.
            f"not compared with {name}: {each.not_comparable}"
            if each.not_comparable is not None and name != in_service
            else self._judge(candidate.version, name, each)
            for name, each in found.items()
        ]
        if in_service not in found:
            notes.append(self._compare_metrics(manifest, active_manifest))
        return "; ".join(note for note in notes if note is not None) or None

    def _compare(self, model: str, candidate: Row[Any], active: Row[Any]) -> dict[str, PairComparison]:
        with self._database.transaction("find_references") as connection:
            references = self._references(connection, model, candidate, active)
        try:
            return self._evaluations.compare(model, candidate, references, self._rules.paired_tolerance)
        except UnusablePartError as error:
            raise _refused(f"version {candidate.version} is not evaluated: its evaluation part: {error}") from error
        except ComparisonDiedError as error:
            raise _refused(f"version {candidate.version} can't be compared: {error}") from error
        except OSError as error:
            raise DeploymentRefusedError(DeploymentStage.SOURCE, str(error), status=_CONFLICT) from error

    def _references(
        self, connection: Connection, model: str, candidate: Row[Any], active: Row[Any]
    ) -> Mapping[str, str]:
        """Return the checksums of the parts to compare with, by name.

        Which of the newest ones is best, each has measured on its own queries. An earlier release took in parts whose
        cut lies in the future, and their queries would replace those of every later version.
        """
        latest = self._clock() + CLOCK_AHEAD
        newest = evaluation_queries.newest_trained(connection, model, self._rules.best_of, without=candidate.version)
        evaluated = [row for row in newest if _is_evaluated(row, latest)]
        best = max(evaluated, key=lambda row: row.evaluation["ndcg@10"], default=None)
        chosen = [row for row in (active, best) if row is not None and _is_evaluated(row, latest)]
        return {_name(row.version): row.evaluation_sha256 for row in chosen}

    def _judge(self, version: int, other: str, found: PairComparison) -> str:
        if found.not_comparable is not None:
            raise _refused(f"version {version} can't be compared with {other}: {found.not_comparable}")
        if found.queries < self._rules.min_queries:
            raise _refused(
                f"{found.queries} queries are too few to compare version {version} with {other}, "
                f"{self._rules.min_queries} are needed (MODEL_GATE_MIN_QUERIES)"
            )
        if not (found.first or found.second):
            raise _refused(
                f"version {version} can't be compared with {other}: neither model finds an answer of the queries, "
                "so they measure nothing"
            )
        # Against a model that finds nothing there is no share: nDCG@10 itself is shown.
        share = found.first or 1.0
        numbers = f"{(found.second - found.first) / share:+.1%} ({found.low / share:+.1%} to {found.high / share:+.1%})"
        said = f"nDCG@10 {numbers} against {other} on {found.queries:,} queries"
        if found.high < -self._rules.paired_tolerance * found.first:
            raise _refused(f"version {version} is worse: {said}, tolerance {self._rules.paired_tolerance:.1%}")
        return said

    def _compare_metrics(self, candidate: BundleManifest, active: BundleManifest) -> str | None:
        """Compare what both have measured on queries of their own.

        Metrics can only be compared on the same marketplace. If the business data was replaced, the answer is the
        reason why nothing was compared. A manifest without a sketch of its catalogue is compared.
        """
        metric = self._rules.metric
        if candidate.catalogue_sketch and active.catalogue_sketch:
            shared = overlap(candidate.catalogue_sketch, active.catalogue_sketch)
            if shared < SAME_MARKETPLACE:
                return f"{metric} not compared: the catalogues have {shared:.0%} of their titles in common"
        new, old = candidate.metrics.get(metric), active.metrics.get(metric)
        if old is None:
            return None
        if new is None:
            raise _refused(f"not evaluated: the manifest has no metric {metric}")
        if new < old * (1 - self._rules.tolerance):
            raise _refused(f"{metric} is {new:.4f}, the active version's {old:.4f}")
        return None


def _is_evaluated(version: Row[Any], latest: datetime) -> bool:
    return version.evaluation_sha256 is not None and _cut(version) <= latest


def _cut(version: Row[Any]) -> datetime:
    return datetime.fromisoformat(version.evaluation["cut"])


def _name(version: int) -> str:
    return f"version {version}"


def _refused(reason: str) -> DeploymentRefusedError:
    detail = f"{reason}; `force` with a reason deploys it anyway"
    return DeploymentRefusedError(DeploymentStage.GATE, detail, status=_CONFLICT)
