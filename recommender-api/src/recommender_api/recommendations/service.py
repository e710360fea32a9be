"""Answers queries: from the main path, else from the fallback chain, as the bytes of the response body."""

import time
from collections.abc import Callable, Mapping
from functools import cache

import orjson

import monitoring
from contracts import redis_keys
from recommender_api.answers.budget import Budget
from recommender_api.answers.errors import (
    BudgetExceededError,
    DegradeReason,
    MainPathError,
    NoCandidatesError,
    NoModelError,
    UnknownDatasetError,
    WithdrawnDatasetError,
)
from recommender_api.answers.main_path import MainPath
from recommender_api.answers.query import Endpoint, Query
from recommender_api.answers.stored import StoredAnswer
from recommender_api.fallback import FallbackChain
from recommender_api.metrics import Metrics
from recommender_api.models.serving import Arm, Models
from recommender_api.recommendations.write_behind import WriteBehind
from recommender_api.redis_store import StoreError, StoreUnavailableError
from recommender_api.served_features import ServedFeatureLog
from recommender_api.shadow import Mirror
from recommender_api.withdrawal import WithdrawnWatch

RESULT_SECONDS = 60
LAST_GOOD_SECONDS = 24 * 3600

# (past the time budget, recall or ranking raised); the other endpoints have no points of their own.
_POINTS = {
    Endpoint.SIMILAR: ("api.similar_timeout", "api.similar_failed"),
    Endpoint.DETAIL: ("api.detail_timeout", "api.detail_failed"),
}


class Recommender:
    """Answers every query, once a model is loaded."""

    def __init__(
        self,
        models: Models,
        paths: Mapping[Endpoint, MainPath],
        fallback: FallbackChain,
        write_behind: WriteBehind,
        mirror: Mirror,
        *,
        served_features: ServedFeatureLog,
        withdrawn: WithdrawnWatch,
        metrics: Metrics,
        budget_seconds: float,
        clock: Callable[[], float] = time.perf_counter,
        why_no_model: Callable[[], str] = lambda: "No model is loaded yet.",
    ) -> None:
        self._models = models
        self._paths = paths
        self._fallback = fallback
        self._write_behind = write_behind
        self._mirror = mirror
        self._served_features = served_features
        self._withdrawn = withdrawn
        self._metrics = metrics
        self._budget_seconds = budget_seconds
        self._clock = clock
        self._why_no_model = why_no_model

    def arm(self, query: Query) -> Arm:
        """Return the model that answers a query; raises `NoModelError` or `UnknownDatasetError`."""
        serving = self._models.serving
        if serving is None:
            raise NoModelError(self._why_no_model())
        arm = serving.arm(query.user_id)
        if query.dataset_id in self._withdrawn.current.ids:
            raise WithdrawnDatasetError(f"Dataset {query.external_dataset_id or query.dataset_id} has been withdrawn.")
        if query.dataset_id is not None and arm.model.engine.contents.catalogue.position(query.dataset_id) is None:
            raise UnknownDatasetError(
                f"Dataset {query.external_dataset_id or query.dataset_id} is not in the catalogue of model version "
                f"{arm.version}."
            )
        return arm

    async def answer(self, query: Query, arm: Arm, request_id: str) -> tuple[bytes, int]:
        """Return the body of an answer by the arm that `arm` gave, and its fallback level."""
        budget = Budget(self._clock, self._budget_seconds)
        monitoring.bind_context(
            endpoint=query.endpoint,
            dataset_id=query.dataset_id,
            user_id=query.user_id,
            model_version=arm.version,
            model_variant=arm.variant,
            experiment_variant=arm.experiment,
        )
        level, reason = 0, None
        keys: dict[str, int] = {}
        propensity: float | None = None
        try:
            found = await self._paths[query.endpoint].answer(query, arm, budget)
            answer, propensity = found.answer, found.propensity
            if propensity is not None:
                self._metrics.explored.add()
            elif found.fresh:
                keys = _keys(query, answer, found.result_key)
                self._mirror.offer(query, arm, request_id, answer, budget.worked)
                if found.ranking is not None:
                    self._served_features.offer(request_id, found.ranking)
            else:
                self._metrics.cached.add()
        except (StoreError, MainPathError) as error:
            reason = _reason(error)
            monitoring.bind_context(degrade_reason=reason)
            _report(query.endpoint, error)
            fallback = await self._fallback.answer(query, arm, reason, error)
            answer, level = fallback.answer, fallback.level
            monitoring.note_outcome(level=level, reason=reason, items=len(answer.ids))
        if reason == "redis_unavailable":
            if query.user_id is not None:
                # A write would only fail, and report the same outage again.
                self._metrics.dropped("exposure", 1)
        else:
            self._write_behind.add(request_id, answer, keys, query, level, propensity=propensity)
        self._metrics.answered(query.endpoint, arm, level, reason, budget.elapsed())
        return _body(request_id, query, arm, answer, _how(level, reason)), level


def _keys(query: Query, answer: StoredAnswer, result_key: str | None) -> dict[str, int]:
    """Return the keys under which an answer of the main path is cached (last good, result), with their TTL (s)."""
    if not answer.ids:
        return {}
    keys = {redis_keys.last_good(query.digest(), query.user_id): LAST_GOOD_SECONDS}
    if result_key is not None:
        keys[result_key] = RESULT_SECONDS
    return keys


def _reason(error: StoreError | MainPathError) -> DegradeReason:
    if isinstance(error, MainPathError):
        return error.reason
    return "redis_unavailable" if isinstance(error, StoreUnavailableError) else "redis_error"


def _report(endpoint: Endpoint, error: StoreError | MainPathError) -> None:
    """Report the failure of the main path. The store reports Redis faults; no candidates is not a fault."""
    if isinstance(error, StoreError | NoCandidatesError):
        return
    points = _POINTS.get(endpoint)
    if points is None:
        monitoring.report("api.unhandled", error=error.__cause__ or error, endpoint=endpoint.value, method="GET")
    elif isinstance(error, BudgetExceededError):
        monitoring.report(points[0], error=error)
    else:
        monitoring.report(points[1], error=error.__cause__)


def _body(request_id: str, query: Query, arm: Arm, answer: StoredAnswer, how: bytes) -> bytes:
    # A request's id and numbers need no escaping; everything else is JSON already.
    head = b'{"request_id":"%b",' % request_id.encode()
    if query.dataset_id is not None:
        head += b'"dataset_id":%d,' % query.dataset_id
        # A caller that sends the number also gets the text, if the catalogue has it.
        text = query.external_dataset_id or arm.model.engine.contents.catalogue.external_id(query.dataset_id)
        if text is not None:
            head += b'"external_id":%b,' % orjson.dumps(text)
    if query.user_id is not None:
        head += b'"user_id":%d,' % query.user_id
        if query.external_user_id is not None:
            name = b"external_id" if query.endpoint is Endpoint.USER else b"user_external_id"
            head += b'"%b":%b,' % (name, orjson.dumps(query.external_user_id))
    if query.timeframe is not None:
        head += b'"timeframe":"%b",' % query.timeframe.encode()
    return b"".join((head, answer.served.members(), how, answer.items, b"}"))


@cache
def _how(level: int, reason: str | None) -> bytes:
    """Return the members that say how an answer was made, up to its items."""
    how = {"degraded": level > 0, "fallback_level": level, "degrade_reason": reason}
    return b',%b,"items":' % orjson.dumps(how)[1:-1]
