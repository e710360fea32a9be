"""Mirrors queries to the shadow, after their answers."""

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import monitoring
from recommender_api.answers.budget import Budget
from recommender_api.answers.errors import MainPathError, NoCandidatesError
from recommender_api.answers.main_path import MainPath
from recommender_api.answers.query import Endpoint, Query
from recommender_api.answers.stored import StoredAnswer
from recommender_api.models.serving import Arm, Models
from recommender_api.redis_store import StoreError
from recommender_api.shadow.comparison import AnswerHead, Comparison, Pair
from recommender_api.shadow.metrics import Outcome, ShadowMetrics
from servicekit.background import report_failure

# Enough for a burst. The user's state changes while a query waits, so a longer queue would not be comparable.
MAX_WAITING = 100


class _Mirrored(NamedTuple):
    query: Query
    arm: Arm
    request_id: str
    answer: StoredAnswer
    seconds: float


class Mirror:
    """Takes a sample of the queries that the primary answered, and sends them to the shadow by the same path.

    The shadow's answers are only compared: they go neither to a user nor into the cache or the exposure log. The mirror
    runs on the event loop, one query at a time, at most `cpu_share` of the time. In a thread it would hold the
    interpreter, and delay a request for longer than one ranking takes.
    """

    def __init__(
        self,
        models: Models,
        path: MainPath,
        metrics: ShadowMetrics,
        *,
        sample_rate: float,
        cpu_share: float,
        chance: Callable[[], float] = random.random,  # noqa: S311 - which answers are mirrored is no secret
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.comparison: Comparison | None = None
        self._models = models
        self._path = path
        self._metrics = metrics
        self._sample_rate = sample_rate
        self._rest = 1.0 / cpu_share - 1.0
        self._chance = chance
        self._clock = clock
        self._sleep = sleep
        self._waiting: deque[_Mirrored] = deque()
        self._wake = asyncio.Event()
        self._reported: str | int | None = None

    def offer(self, query: Query, arm: Arm, request_id: str, answer: StoredAnswer, seconds: float) -> None:
        """Take a query whose answer `arm` has just ranked, in `seconds`."""
        if self._models.shadow is None or arm.variant != "primary" or query.endpoint is Endpoint.TRENDING:
            return
        if self._chance() >= self._sample_rate:
            return
        if len(self._waiting) >= MAX_WAITING:
            self._count("dropped")
            return
        self._waiting.append(_Mirrored(query, arm, request_id, answer, seconds))
        self._wake.set()

    async def step(self) -> None:
        """Wait for mirrored queries and compare their answers."""
        await self._wake.wait()
        self._wake.clear()
        while self._waiting:
            began = self._clock()
            await self._compare(self._waiting.popleft())
            await self._sleep((self._clock() - began) * self._rest)

    def follow(self) -> None:
        """Start a new comparison if the primary or the shadow has changed; called after each change of deployments."""
        serving, shadow = self._models.serving, self._models.shadow
        if serving is None or shadow is None:
            if self.comparison is not None:
                self.comparison = None
                self._waiting.clear()
                self._metrics.clear()
            return
        versions = (serving.primary.deployment.version, shadow.deployment.version)
        if self.comparison is None or (self.comparison.primary, self.comparison.shadow) != versions:
            self.comparison = Comparison(*versions)
            self._metrics.begin(self.comparison)

    async def _compare(self, mirrored: _Mirrored) -> None:
        shadow = self._models.shadow
        if self.comparison is None or shadow is None or self.comparison.primary != mirrored.arm.version:
            return
        query = mirrored.query._replace(explain=False)
        if query.dataset_id is not None and shadow.engine.contents.catalogue.position(query.dataset_id) is None:
            self._count("failed")
            return
        arm = Arm(mirrored.arm.name, shadow, "shadow")
        # Without a time budget: the duration is measured.
        budget = Budget(self._clock, math.inf)
        with monitoring.bound_context(
            request_id=mirrored.request_id,
            endpoint=query.endpoint.value,
            dataset_id=query.dataset_id,
            user_id=query.user_id,
            model_version=arm.version,
            model_variant=arm.variant,
        ):
            try:
                answered = await self._path.answer(query, arm, budget)
            except StoreError:
                self._count("dropped")
            except MainPathError as error:
                self._count("failed")
                if not isinstance(error, NoCandidatesError):
                    self._report(shadow.deployment.deployment_id, error)
            else:
                self._add(mirrored, AnswerHead.of(answered.answer, budget.worked))

    def _add(self, mirrored: _Mirrored, shadow: AnswerHead) -> None:
        if self.comparison is not None:
            pair = Pair(AnswerHead.of(mirrored.answer, mirrored.seconds), shadow)
            self.comparison.add(pair)
            self._metrics.compared(self.comparison.shadow, pair)
            self._count("compared")

    def _count(self, outcome: Outcome) -> None:
        if self.comparison is not None:
            self.comparison.outcomes[outcome] += 1
            self._metrics.count(self.comparison.shadow, outcome)

    def _report(self, deployment_id: str | int, error: MainPathError) -> None:
        """Report the first fault of a deployment; the comparison counts all of them."""
        if self._reported != deployment_id:
            self._reported = deployment_id
            report_failure("shadow", error.__cause__ or error)
