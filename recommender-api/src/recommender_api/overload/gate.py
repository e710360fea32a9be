"""Admits requests, and builds the answer to rejected ones.

A rejection is 503 and not 429: the service has no capacity, and this caller has not sent too much.
"""

from http import HTTPStatus

import monitoring
from recommender_api.answers.query import Endpoint
from recommender_api.availability import AvailabilityWatch
from recommender_api.metrics import EVENTS, OVERLOADED, Metrics
from recommender_api.outcomes import Outcomes
from recommender_api.overload.admission import Admission
from servicekit.problem_document import problem, problem_headers

REFUSED = HTTPStatus.SERVICE_UNAVAILABLE.value
# An overload ends within seconds, or more replicas have to be started. Earlier retries would only add to it.
RETRY_AFTER = b"1"


class Gate:
    """The limit of all recommendation requests, on any path, and the answer to requests above it or another limit.

    `outcomes` counts the outcomes of the admitted requests.
    """

    def __init__(self, questions: Admission, metrics: Metrics, availability: AvailabilityWatch | None = None) -> None:
        self.questions = questions
        self.outcomes = Outcomes(metrics, availability)
        self._metrics = metrics
        # Exported from the start: otherwise `rate()` misses a series' first rejection.
        self._refused = {endpoint: metrics.shed(endpoint) for endpoint in (*[each.value for each in Endpoint], EVENTS)}

    def release(self, work_before: float) -> None:
        """Release a request that arrived when the work done was `work_before`."""
        self.questions.release()
        if self.questions.is_overloaded:
            self._metrics.queued.observe("question", self.questions.work_since(work_before))

    def refuse(self, endpoint: str, path: str, request_id: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
        """Count a rejection, and return the headers and the body of its answer."""
        self._refused[endpoint].inc()
        monitoring.note_outcome(reason=OVERLOADED)
        self._metrics.count_response(endpoint, REFUSED, OVERLOADED)
        what = "batches of events" if endpoint == EVENTS else "requests"
        detail = f"More {what} are in flight than this replica can answer in time; retry after Retry-After seconds."
        body = problem(path, request_id, REFUSED, detail)
        return [*problem_headers(body), (b"retry-after", RETRY_AFTER)], body
