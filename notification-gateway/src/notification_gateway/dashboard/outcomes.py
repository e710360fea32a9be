"""What came of the exposures of each version, by the counters of all workers of feature-sync."""

from dataclasses import dataclass
from datetime import datetime

from contracts.outcomes import OutcomeRate, rate_of
from notification_gateway.dashboard.shadow import version_order
from notification_gateway.dashboard.sources import Prometheus

WINDOW = "7d"
_EXPOSURES = f"sum by (model_version, variant, endpoint) (increase(sync_exposures_total[{WINDOW}]))"
_OUTCOMES = f"sum by (model_version, variant, endpoint, type) (increase(sync_outcomes_total[{WINDOW}]))"
_LABELS = ("model_version", "variant", "endpoint")


@dataclass(frozen=True)
class Outcomes:
    """What a version has shown at an endpoint, and the shares of it that had an outcome."""

    version: str
    variant: str
    endpoint: str
    exposures: int
    clicks: OutcomeRate
    favorites: OutcomeRate
    purchases: OutcomeRate


def read_outcomes(prometheus: Prometheus, now: datetime) -> list[Outcomes]:
    """Return the outcomes of the window, newest versions first; raises `SourceError`."""

    def by(query: str, *labels: str) -> dict[tuple[str, ...], int]:
        found = prometheus.query(query, now)
        return {tuple(each.labels.get(label, "") for label in labels): round(each.points[-1][1]) for each in found}

    shown = {place: count for place, count in by(_EXPOSURES, *_LABELS).items() if count}
    counts = by(_OUTCOMES, *_LABELS, "type") if shown else {}

    def outcomes_of(place: tuple[str, ...]) -> Outcomes:
        version, variant, endpoint = place
        # Both are estimates, so a few exposures may seem to have more outcomes.
        clicks, favorites, purchases = (
            rate_of(min(counts.get((*place, type_), 0), shown[place]), shown[place])
            for type_ in ("click", "favorite", "purchase")
        )
        return Outcomes(version, variant, endpoint, shown[place], clicks, favorites, purchases)

    places = sorted(shown, key=lambda place: (version_order(place[0]), place[1:]), reverse=True)
    return [outcomes_of(place) for place in places]
