"""Reads the sums of hours, and makes rates of them."""

from collections import Counter, defaultdict
from datetime import datetime

from sqlalchemy import Engine, func, or_, select

from contracts.outcomes import (
    ModelOutcomes,
    OutcomeRate,
    OutcomeReport,
    PositionOutcomes,
    UnattributedOutcomes,
    rate_of,
)
from feature_sync.outcomes.tables import NOWHERE, SUM_OF, SUMS, outcome_hours


class OutcomeSums:
    """Reads reports; raises an error of SQLAlchemy."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def report(self, since: datetime, until: datetime, version: str | None) -> OutcomeReport:
        """Return the report on the hours that begin from `since` and before `until`; of one version, or of all."""
        hours = outcome_hours.c
        groups = (hours.model_version, hours.variant, hours.endpoint, hours.position)
        query = (
            select(*groups, *(func.sum(hours[name]).label(name) for name in SUMS))
            .where(hours.ts >= since, hours.ts < until)
            .group_by(*groups)
            .order_by(*groups)
        )
        if version is not None:
            query = query.where(or_(hours.model_version == version, hours.position == NOWHERE))
        models: dict[tuple[str, str, str], dict[int, Counter[str]]] = defaultdict(dict)
        unattributed: Counter[str] = Counter()
        with self._engine.begin() as connection:
            for row in connection.execute(query):
                counts = Counter({name: int(getattr(row, name)) for name in SUMS})
                if row.position == NOWHERE:
                    unattributed += counts
                else:
                    models[row.model_version, row.variant, row.endpoint][row.position] = counts
        return OutcomeReport(
            since=since,
            until=until,
            models=[_model(*group, positions) for group, positions in models.items()],
            unattributed=UnattributedOutcomes(**{name: unattributed[name] for name in SUM_OF.values()}),
        )


def _model(version: str, variant: str, endpoint: str, positions: dict[int, Counter[str]]) -> ModelOutcomes:
    total: Counter[str] = sum(positions.values(), Counter())
    return ModelOutcomes(
        model_version=version,
        variant=variant,
        endpoint=endpoint,
        exposures=total["exposures"],
        **_rates(total),
        positions=[
            PositionOutcomes(position=position, exposures=counts["exposures"], **_rates(counts))
            for position, counts in positions.items()
        ],
    )


def _rates(counts: Counter[str]) -> dict[str, OutcomeRate]:
    return {name: rate_of(counts[name], counts["exposures"]) for name in SUM_OF.values()}
