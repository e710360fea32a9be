"""What a replica reports of the answers of a version: those of the last minutes, with errors, fallbacks and p99."""

from dataclasses import dataclass

import pytest

from contracts.deployments import ReplicaTraffic
from recommender_api.metrics import SECONDS, Metrics
from recommender_api.models.recent_traffic import WINDOW_SECONDS, RecentTraffic


@dataclass(frozen=True)
class Arm:
    version: str
    variant: str = "primary"
    experiment: str | None = None


class Case:
    def __init__(self) -> None:
        self.now = 0.0
        self.metrics = Metrics()
        self.traffic = RecentTraffic(self.metrics.counts_of, SECONDS, lambda: self.now)

    def answer(self, version: str, count: int, *, level: int = 0, reason: str | None = None, ms: float = 4.0) -> None:
        for _ in range(count):
            self.metrics.answered("/recommend/user", Arm(version), level, reason, ms / 1000)


def test_answers_are_counted_by_version_with_the_errors_of_the_model_and_the_fallbacks_of_any_kind() -> None:
    case = Case()
    case.answer("1", 5)
    case.answer("2", 7)
    case.answer("2", 2, level=2, reason="rank_failed")
    case.answer("2", 1, level=3, reason="redis_unavailable")
    found = case.traffic.of("2")
    assert (found.answers, found.errors, found.fallback_answers) == (10, 2, 3)
    assert case.traffic.of("3") == ReplicaTraffic(answers=0, errors=0, fallback_answers=0, p99_ms=None)


def test_only_the_last_minutes_count() -> None:
    case = Case()
    for minute in range(12):
        case.now = minute * 60.0
        case.answer("1", 10 if minute < 6 else 1)
        found = case.traffic.of("1")
    assert found.answers == WINDOW_SECONDS / 60


@pytest.mark.parametrize(("slow", "p99"), [(0, 4.98), (2, 75.0), (100, 100.0)])
def test_p99_is_found_in_the_buckets_of_the_histogram(slow: int, p99: float) -> None:
    case = Case()
    case.answer("1", 100 - slow)
    case.answer("1", slow, ms=70)
    assert case.traffic.of("1").p99_ms == pytest.approx(p99, rel=0.01)


def test_a_version_that_comes_back_begins_anew() -> None:
    case = Case()
    case.answer("1", 10)
    assert case.traffic.of("1").answers == 10
    case.metrics.follow_arms([Arm("2")])
    case.metrics.follow_arms([Arm("1")])
    case.answer("1", 3)
    assert (case.traffic.of("1").answers, case.traffic.of("1").p99_ms) == (3, pytest.approx(4.98, rel=0.01))
    case.traffic.keep({"2"})
    assert case.traffic.of("1").answers == 3
