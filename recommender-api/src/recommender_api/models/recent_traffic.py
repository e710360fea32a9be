"""What a version has answered in the last minutes, for the registry: it judges a rollout by that."""

import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from contracts.deployments import ReplicaTraffic

WINDOW_SECONDS = 300.0
_P99 = 0.99


@dataclass(frozen=True)
class AnswerCounts:
    """Sums since the version is in service; `times` counts the answers up to each bound, and above the last."""

    answers: int
    errors: int
    fallback_answers: int
    times: Sequence[int]

    def since(self, earlier: "AnswerCounts") -> "AnswerCounts":
        """Return what has come after `earlier`."""
        return AnswerCounts(
            self.answers - earlier.answers,
            self.errors - earlier.errors,
            self.fallback_answers - earlier.fallback_answers,
            [new - old for new, old in zip(self.times, earlier.times, strict=True)],
        )


class RecentTraffic:
    """Compares the sums of a version with those of `WINDOW_SECONDS` ago; it is asked every half a minute."""

    def __init__(
        self,
        count: Callable[[str], AnswerCounts],
        bounds: Sequence[float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._count = count
        self._bounds = bounds
        self._clock = clock
        self._seen: dict[str, deque[tuple[float, AnswerCounts]]] = {}

    def of(self, version: str) -> ReplicaTraffic:
        """Return the traffic of a version, the whole of it at first."""
        now, counts = self._clock(), self._count(version)
        nothing = AnswerCounts(0, 0, 0, [0] * len(counts.times))
        seen = self._seen.setdefault(version, deque([(now, nothing)]))
        if counts.answers < seen[-1][1].answers:
            # It was out of service meanwhile, and its counters began anew.
            seen.clear()
            seen.append((now, nothing))
        while len(seen) > 1 and seen[1][0] <= now - WINDOW_SECONDS:
            seen.popleft()
        recent = counts.since(seen[0][1])
        seen.append((now, counts))
        return ReplicaTraffic(
            answers=recent.answers,
            errors=recent.errors,
            fallback_answers=recent.fallback_answers,
            p99_ms=self._p99_ms(recent.times),
        )

    def keep(self, versions: set[str]) -> None:
        """Forget all other versions."""
        self._seen = {version: seen for version, seen in self._seen.items() if version in versions}

    def _p99_ms(self, times: Sequence[int]) -> float | None:
        """Return p99 (ms) by interpolation within its bucket; the last bound for what is above it."""
        total = sum(times)
        if not total:
            return None
        reached, sums = 0, []
        for count in times:
            reached += count
            sums.append(reached)
        bucket = bisect_left(sums, _P99 * total)
        if bucket >= len(self._bounds):
            return self._bounds[-1] * 1000
        low = self._bounds[bucket - 1] if bucket else 0.0
        inside = (_P99 * total - (sums[bucket] - times[bucket])) / times[bucket]
        return (low + (self._bounds[bucket] - low) * inside) * 1000
