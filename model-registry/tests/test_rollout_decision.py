"""What figures of a rollout decide, and that the interval of the difference keeps its promise at every look."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from model_registry.rollouts.decision import Decision, Progress, Signals, Verdict, decide, describe_curves
from model_registry.rollouts.evidence import Evidence
from model_registry.rollouts.guardrails import Traffic, broken_guardrails
from model_registry.rollouts.rules import RolloutRules
from model_registry.rollouts.sequential_test import (
    Arm,
    Stratum,
    difference,
    half_width,
    information_for,
    is_measurable,
)

BEGIN = datetime(2026, 11, 24, 3, tzinfo=UTC)
EVERY = timedelta(minutes=30)
RULES = RolloutRules()
SOUND = Traffic(answers=1000, errors=1, fallback_answers=2, p99_ms=20.0)
SIGNALS = Signals(SOUND, SOUND)
RHO = 1 / 0.004**2


def measured(canary: tuple[int, int], primary: tuple[int, int], *, minutes: float = 40) -> Evidence:
    """Return evidence of one step, after its burn-in."""
    begin = Evidence().observe(Stratum(Arm(), Arm()), BEGIN, BEGIN + RULES.burn_in, RULES)
    return begin.observe(Stratum(Arm(*canary), Arm(*primary)), BEGIN, BEGIN + timedelta(minutes=minutes), RULES)


def verdict(
    evidence: Evidence, *, step: int = 1, signals: Signals = SIGNALS, minutes: float = 40, asked: float | None = None
) -> Verdict:
    """Return what is decided so long after the step began."""
    asked_at = None if asked is None else BEGIN + timedelta(minutes=asked)
    progress = Progress((5, 25, 50, 100), step, EVERY, BEGIN, asked_at)
    return decide(progress, evidence, signals, RULES, BEGIN + timedelta(minutes=minutes))


EQUAL = measured((30_000, 1200), (90_000, 3600))


def test_equal_clicks_go_on_once_the_time_of_the_step_is_over() -> None:
    assert verdict(EQUAL, minutes=29).decision is Decision.WAIT
    assert verdict(EQUAL, minutes=29).reason == "the step lasts for another 1 min"
    assert verdict(EQUAL).decision is Decision.GO_ON


def test_clearly_fewer_clicks_roll_back_at_once() -> None:
    half = measured((4000, 80), (76_000, 3040), minutes=15)
    found = verdict(half, step=0, minutes=15)
    assert (found.decision, "clicks per exposure are lower" in found.reason) == (Decision.ROLL_BACK, True)


def test_the_larger_the_next_share_the_less_may_be_lost() -> None:
    """The same interval that allows a quarter of the users doesn't allow all of them."""
    evidence = measured((8000, 320), (150_000, 6000))
    assert [verdict(evidence, step=step).decision for step in (0, 1, 2)] == [
        Decision.GO_ON,
        Decision.WAIT,
        Decision.WAIT,
    ]
    assert "inconclusive" in verdict(evidence, step=2).reason


def test_too_few_exposures_give_no_verdict_and_say_how_long_it_takes() -> None:
    """Not even without a single click: 999 exposures are below the least number."""
    few = measured((999, 0), (19_000, 760), minutes=35)
    found = verdict(few, step=0, minutes=35)
    assert found.decision is Decision.WAIT
    assert found.reason == "999 exposures of each side, 1000 are needed; at the present rate that takes about 1 min"
    slow = verdict(measured((100, 4), (1900, 76), minutes=35), step=0, minutes=35)
    assert slow.reason.endswith("100 exposures of each side, 1000 are needed; at the present rate that takes about 4 h")


def test_what_is_not_decided_within_the_bound_is_a_question_and_waiting_renews_the_bound() -> None:
    few = measured((100, 4), (1900, 76), minutes=30 + 24 * 60)
    late = 30 + 24 * 60
    assert verdict(few, step=0, minutes=late - 1).decision is Decision.WAIT
    held = verdict(few, step=0, minutes=late)
    assert (held.decision, held.reason.startswith("not decided within 24 h: 100 exposures")) == (Decision.HOLD, True)
    assert verdict(few, step=0, minutes=late, asked=600).decision is Decision.WAIT


def test_figures_that_no_longer_grow_or_can_not_be_read_decide_nothing() -> None:
    stale = verdict(EQUAL, minutes=51)
    assert (stale.decision, stale.reason) == (Decision.WAIT, "no exposure has been counted for 10 min")
    unread = verdict(EQUAL, signals=Signals(SOUND, SOUND, fault="503: busy"))
    assert (unread.decision, unread.reason) == (Decision.WAIT, "feature-sync can't be asked for clicks: 503: busy")


@pytest.mark.parametrize(("canary", "primary", "named"), [(None, SOUND, "canary"), (SOUND, None, "primary")])
def test_without_reports_of_the_replicas_it_waits(canary: Traffic, primary: Traffic, named: str) -> None:
    found = verdict(EQUAL, signals=Signals(canary, primary))
    assert found == Verdict(Decision.WAIT, f"no replica has lately reported the answers of the {named}")


@pytest.mark.parametrize(
    ("canary", "broken"),
    [
        (Traffic(1000, 40, 2, 20.0), ["errors"]),
        (Traffic(1000, 1, 100, 20.0), ["fallback answers"]),
        (Traffic(1000, 1, 2, 31.0), ["p99"]),
        (Traffic(1000, 15, 60, 29.0), []),
        (Traffic(1000, 1, 2, None), []),
        (Traffic(400, 400, 400, 900.0), []),
    ],
    ids=["errors", "fallback", "slow", "within the bounds", "no times", "too few answers"],
)
def test_a_broken_guardrail_rolls_back_at_any_time(canary: Traffic, broken: list[str]) -> None:
    assert [each.partition(":")[0] for each in broken_guardrails(canary, SOUND, RULES)] == broken
    found = verdict(Evidence(), signals=Signals(canary, SOUND), minutes=1)
    assert found.decision is (Decision.ROLL_BACK if broken else Decision.WAIT)


def test_a_step_counts_from_the_end_of_its_burn_in_and_the_next_one_anew() -> None:
    def at(minutes: float, exposures: int, evidence: Evidence, since: datetime = BEGIN) -> Evidence:
        counts = Stratum(Arm(exposures, exposures // 20), Arm(exposures * 9, exposures // 2))
        return evidence.observe(counts, since, BEGIN + timedelta(minutes=minutes), RULES)

    first = at(20, 500, at(5, 100, at(4, 90, Evidence())))
    assert first.present.canary.exposures == 400
    begun = first.end_step(5, BEGIN)
    second = BEGIN + timedelta(minutes=30)
    later = at(50, 2500, at(36, 1500, at(31, 1000, begun, second), second), second)
    assert [each.canary.exposures for each in later.strata] == [400, 1000]
    assert Evidence.model_validate(later.model_dump(mode="json")) == later
    assert describe_curves(later, 25).startswith("5 %: canary 5.00% (3.26% to 7.60%), primary ")


def test_sums_that_shrink_are_not_measured_across() -> None:
    shrunk = EQUAL.observe(Stratum(Arm(10, 1), Arm(90, 4)), BEGIN, BEGIN + timedelta(minutes=41), RULES)
    assert (shrunk.present, shrunk.interval(RULES)) == (Stratum(Arm(), Arm()), None)


def test_sums_that_shrink_are_not_fresh_until_they_grow_again() -> None:
    late = BEGIN + timedelta(minutes=51)
    shrunk = EQUAL.observe(Stratum(Arm(10, 1), Arm(90, 4)), BEGIN, late, RULES)
    found = verdict(shrunk, minutes=51)
    assert (found.decision, "no exposure has been counted for 10 min" in found.reason) == (Decision.WAIT, True)
    grown = shrunk.observe(Stratum(Arm(11, 1), Arm(91, 4)), BEGIN, late + timedelta(seconds=15), RULES)
    assert "no exposure has been counted" not in verdict(grown, minutes=52).reason


def test_strata_keep_a_change_of_the_rate_from_looking_like_a_difference() -> None:
    """Pooled, a canary that grew in the evening has 5.7 % against 4.1 %; in each step both are equal."""
    strata = [Stratum(Arm(1000, 40), Arm(99_000, 3960)), Stratum(Arm(9000, 540), Arm(9000, 540))]
    found = difference(strata, alpha=0.05, rho=RHO)
    assert found is not None
    assert found.estimate == pytest.approx(0)


def test_the_interval_is_the_stated_formula() -> None:
    found = difference([Stratum(Arm(1000, 50), Arm(1000, 30))], alpha=0.05, rho=RHO, design_effect=1.5)
    assert found is not None
    information = 1 / (0.04 * 0.96 * 0.002 * 1.5)
    half = np.sqrt((information + RHO) * np.log((information + RHO) / (RHO * 0.05**2))) / information
    assert found == pytest.approx((0.02, 0.02 - half, 0.02 + half, information))
    assert difference([Stratum(Arm(), Arm(10, 1))], alpha=0.05, rho=RHO) is None
    assert not is_measurable([Stratum(Arm(400, 16), Arm(4000, 160))])


@pytest.mark.parametrize("width", [0.02, 0.004, 0.0005])
def test_the_information_for_a_width_gives_that_width(width: float) -> None:
    information = information_for(width, alpha=0.05, rho=RHO)
    assert half_width(information, alpha=0.05, rho=RHO) == pytest.approx(width, rel=2e-3)


def test_an_equal_canary_leaves_the_interval_at_any_of_300_looks_in_less_than_alpha_of_all_runs() -> None:
    """A plain 95 % interval would miss the truth at some look in about half of the runs."""
    random, runs, looks = np.random.default_rng(7), 400, 300
    missed = plain = 0
    for _ in range(runs):
        canary = np.cumsum(random.binomial(200, 0.04, looks))
        primary = np.cumsum(random.binomial(200, 0.04, looks))
        found = [
            difference([Stratum(Arm(200 * n, int(c)), Arm(200 * n, int(p)))], alpha=0.05, rho=RHO)
            for n, c, p in zip(range(5, looks), canary[4:], primary[4:], strict=False)
        ]
        missed += any(each is not None and not each.low <= 0 <= each.high for each in found)
        plain += any(each is not None and abs(each.estimate) > 1.96 / each.information**0.5 for each in found)
    assert missed <= 0.05 * runs
    assert plain > 0.25 * runs
