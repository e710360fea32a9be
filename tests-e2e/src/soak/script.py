"""The script of a soak run: which faults come when, drawn from a seed, and which incidents they explain."""

import random
from dataclasses import dataclass
from typing import Literal

# Every incident that a fault of Redis may cause: reports of the API and of feature-sync.
_REDIS = ("redis.*", "fallback.*", "api.background_failed", "pipeline.feature_store_*", "api.*_timeout")
_DATABASE = ("api.background_failed", "pipeline.database", "pipeline.feature_store_*", "api.unhandled")
# A worker that is down longer than STREAM_MAX_LAG_SECONDS, by default 120, is behind.
_LAG = ("pipeline.feature_store_lag", "api.background_failed")
_GATEWAY = ("api.background_failed", "weixin.*", "gateway.email_failed")
# Incidents that are reported when the window of their repeats ends (60 s), and late deliveries.
SLACK_SECONDS = 150.0
# How much time a fault gets with the quiet after it: in a short run, and in a long one.
_SLOT_SECONDS, _LONG_SLOT_SECONDS = 11.0, 600.0


@dataclass(frozen=True)
class FaultKind:
    """What is done to which program; `holds` are the shortest and the longest time (s) until it is undone.

    `meanwhile` is a command to the stand-in for the nightly run, given while the fault lasts. An incident of each point
    of `must_raise` has to follow; `may_raise` names points of further incidents (with `*` as a wildcard).
    """

    name: str
    program: str | None
    action: Literal["kill", "freeze", None]
    holds: tuple[float, float]
    must_raise: tuple[str, ...] = ()
    may_raise: tuple[str, ...] = ()
    meanwhile: Literal["fail", "damage", None] = None


def _with_a_failed_run(
    name: str,
    program: str | None,
    action: Literal["kill", "freeze", None],
    most: float,
    may_raise: tuple[str, ...] = (),
) -> FaultKind:
    """Return a fault during which a run fails: the alert has to arrive in spite of it."""
    return FaultKind(name, program, action, (2, most), (FAILED_RUN,), may_raise, "fail")


FAILED_RUN, FAILED_DEPLOY, NO_REDIS = "airflow.task_failed", "model.deployment_failed", "redis.connection_failed"
KINDS = (
    FaultKind("run-failed", None, None, (0, 0), (FAILED_RUN,), (), "fail"),
    FaultKind("bad-deploy", None, None, (0, 5), (FAILED_DEPLOY,), (), "damage"),
    FaultKind("redis-killed", "redis", "kill", (5, 40), (NO_REDIS,), _REDIS),
    _with_a_failed_run("gateway-killed", "gateway", "kill", 25, _GATEWAY),
    _with_a_failed_run("collector-frozen", "collector", "freeze", 120),
    FaultKind("redis-frozen", "redis", "freeze", (5, 40), (NO_REDIS,), _REDIS),
    _with_a_failed_run("collector-killed", "collector", "kill", 120),
    _with_a_failed_run("gateway-frozen", "gateway", "freeze", 25, _GATEWAY),
    FaultKind("sync-killed", "feature-sync", "kill", (2, 60), (), _LAG),
    FaultKind("sync-frozen", "feature-sync", "freeze", (3, 60), (), _LAG),
    _with_a_failed_run("postgres-killed", "postgres", "kill", 25, _DATABASE),
    _with_a_failed_run("postgres-frozen", "postgres", "freeze", 25, _DATABASE),
)
# In every run, however short: an alert of each sort, and a fault of each of three programs.
_ALWAYS = 5


@dataclass(frozen=True)
class PlannedFault:
    """A fault at `at` seconds after the start, undone `hold` seconds later."""

    name: str
    kind: FaultKind
    at: float
    hold: float


def draw_faults(seconds: float, seed: int) -> list[PlannedFault]:
    """Return the faults of a run of this length, one after another, each undone before the next begins."""
    dice = random.Random(seed)
    # Each kind twice, unless the run is short, and at least every ten minutes in a long one.
    wanted = min(_LONG_SLOT_SECONDS, max(_SLOT_SECONDS, seconds / (2 * len(KINDS))))
    count = max(_ALWAYS, int(seconds / wanted) - 1)
    # The last slot has no fault, so that everything can arrive.
    slot = seconds / (count + 1)
    faults: list[PlannedFault] = []
    order: list[FaultKind] = []
    for number in range(count):
        order = order or _next_round(dice, is_first=number == 0)
        kind = order.pop(0)
        begins = (number + dice.uniform(0.25, 0.5)) * slot
        hold = min(dice.uniform(*kind.holds), slot * 0.4)
        faults.append(PlannedFault(f"{number + 1}-{kind.name}", kind, round(begins, 1), round(hold, 1)))
    return faults


def draw_nights(seconds: float) -> list[float]:
    """Return when the stand-in for the nightly run works (s): at ten times the speed, at least three times."""
    every = min(86_400 / 10, seconds / 3)
    return [round((number + 0.25) * every, 1) for number in range(int(seconds / every))]


def draw_deploys(seconds: float, seed: int) -> list[float]:
    """Return when a refresh is deployed (s)."""
    dice = random.Random(seed + 1)
    every = min(1_200.0, seconds / 2)
    return [round((number + dice.uniform(0.5, 0.9)) * every, 1) for number in range(int(seconds / every))]


def _next_round(dice: random.Random, *, is_first: bool) -> list[FaultKind]:
    if not is_first:
        return dice.sample(KINDS, len(KINDS))
    always, others = KINDS[:_ALWAYS], KINDS[_ALWAYS:]
    return [*dice.sample(always, len(always)), *dice.sample(others, len(others))]
