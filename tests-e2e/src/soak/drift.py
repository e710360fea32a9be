"""What drifts over hours: memory, open files, threads and connections of each program, and CPU time per request."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from soak.progress import Record

WARM_UP_SECONDS = 1_200.0
RECOMMENDER = "recommender"
REDIS_BOUND = "Redis (MB)"
# They keep data, so they grow with what users do.
STORES = ("redis", "postgres")
_MIN_POINTS = 10
_HOUR = 3_600.0


@dataclass(frozen=True)
class ProgramDrift:
    """One program: its memory (MB) at the end, its growth (% an hour; None: too few samples), and its most of others.

    `judged_seconds` is the time that the growth is computed from. `memory` holds (s since the start, MB).
    """

    program: str
    memory_mb: float
    memory_percent: float | None
    judged_seconds: float
    files: int
    threads: int
    connections: int
    memory: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class CpuGrowth:
    """CPU time per request (s) in the first and in the last quarter of a run, outside of faults.

    `last_work` is the CPU time of the same piece of work in the last quarter, as a multiple of that in the first.
    """

    first: float
    last: float
    last_work: float

    @property
    def times(self) -> float:
        """The growth, without what a slower or faster machine adds to it."""
        return self.last / self.first / self.last_work


def drift_of(samples: Sequence[Record], began: float) -> list[ProgramDrift]:
    """Return the drift of every program that was sampled."""
    if not samples:
        return []
    warm_up = min(WARM_UP_SECONDS, (samples[-1]["at"] - began) / 3)
    programs: defaultdict[str, list[tuple[float, dict[str, float]]]] = defaultdict(list)
    for sample in samples:
        for name, values in sample["programs"].items():
            programs[name].append((sample["at"] - began, values))
    return [_drift(name, points, warm_up) for name, points in programs.items()]


def _drift(name: str, points: Sequence[tuple[float, dict[str, float]]], warm_up: float) -> ProgramDrift:
    lives: defaultdict[float, list[tuple[float, float]]] = defaultdict(list)
    for at, values in points:
        lives[values["pid"]].append((at, values["memory_mb"]))
    # A process that was started again warms up again.
    warm = [[(at, mb) for at, mb in life if at - life[0][0] >= warm_up] for life in lives.values()]
    last = points[-1][1]
    return ProgramDrift(
        name,
        last["memory_mb"],
        _percent_an_hour([life for life in warm if life]),
        sum(life[-1][0] - life[0][0] for life in warm if life),
        _most(points, "files"),
        _most(points, "threads"),
        _most(points, "connections"),
        tuple((at, values["memory_mb"]) for at, values in points),
    )


def _most(points: Sequence[tuple[float, dict[str, float]]], name: str) -> int:
    return int(max(values[name] for _, values in points))


def _percent_an_hour(lives: Sequence[Sequence[tuple[float, float]]]) -> float | None:
    """Return the slope that all lives of a program share, each with a level of its own, in % of the mean."""
    if sum(map(len, lives)) < _MIN_POINTS:
        return None
    arrays = [np.array(life) for life in lives]
    centred = np.concatenate([each - each.mean(axis=0) for each in arrays])
    squares = float(centred[:, 0] @ centred[:, 0])
    mean = float(np.concatenate(arrays)[:, 1].mean())
    if not squares or not mean:
        return None
    return float(centred[:, 0] @ centred[:, 1]) / squares * _HOUR / mean * 100


@dataclass(frozen=True)
class _Spent:
    """What was done in an interval without a fault and without a restart; times in s."""

    at: float
    cpu: float
    requests: float
    work_cpu: float
    work: float


def growth_per_event(samples: Sequence[Record], began: float) -> float | None:
    """Return how many bytes Redis grows for each accepted behaviour event after the warm-up; None without any.

    It keeps what users do for a day or longer, so its memory grows all through a run.
    """
    points = [
        (sample["requests"]["events"], bound["value"] * 2**20)
        for sample in samples
        if sample["at"] - began >= WARM_UP_SECONDS
        for bound in sample.get("bounds", ())
        if bound["name"] == REDIS_BOUND
    ]
    if len(points) < _MIN_POINTS or len({events for events, _ in points}) < 2:
        return None
    events, size = np.array(points).T
    return float(np.polyfit(events - events.mean(), size, 1)[0])


def cpu_growth(samples: Sequence[Record]) -> CpuGrowth | None:
    """Return the CPU time per request at the start and at the end; None without requests in either."""
    if not samples:
        return None
    begin, end = samples[0]["at"], samples[-1]["at"]
    quarter = (end - begin) / 4
    spent = list(_spent(samples))
    first = [each for each in spent if each.at <= begin + quarter]
    last = [each for each in spent if each.at >= end - quarter]
    if not all(sum(each.requests for each in part) and sum(each.work for each in part) for part in (first, last)):
        return None
    return CpuGrowth(_per_request(first), _per_request(last), _per_work(last) / _per_work(first))


def _spent(samples: Sequence[Record]) -> Iterator[_Spent]:
    for before, after in pairwise(samples):
        programs = [each["programs"].get(RECOMMENDER) for each in (before, after)]
        is_quiet = not any(each[name] for each in (before, after) for name in ("fault", "fault_after"))
        if is_quiet and programs[0] and programs[1] and programs[0]["pid"] == programs[1]["pid"]:
            yield _Spent(
                at=after["at"],
                cpu=programs[1]["cpu"] - programs[0]["cpu"],
                requests=after["requests"]["answered"] - before["requests"]["answered"],
                work_cpu=after["yardstick"]["cpu"] - before["yardstick"]["cpu"],
                work=after["yardstick"]["done"] - before["yardstick"]["done"],
            )


def _per_request(spent: Sequence[_Spent]) -> float:
    return sum(each.cpu for each in spent) / sum(each.requests for each in spent)


def _per_work(spent: Sequence[_Spent]) -> float:
    return sum(each.work_cpu for each in spent) / sum(each.work for each in spent)
