"""Which questions may come in, and what is said to whoever may not.

Refused is with 503 and not with 429: it is the service that has no room, and not this caller that asks too much.
"""

from http import HTTPStatus

from recommender_api.answers.query import Endpoint
from recommender_api.availability import AvailabilityWatch
from recommender_api.metrics import EVENTS, OVERLOADED, Metrics
from recommender_api.outcomes import Outcomes
from recommender_api.overload.admission import Admission
from servicekit.problem_document import problem, problem_headers

REFUSED = HTTPStatus.SERVICE_UNAVAILABLE.value
# An overload passes in seconds, or more replicas have to be started: sooner would only add to it.
RETRY_AFTER = b"1"


class Gate:
    """The bound of all questions, whichever way they come, and the answer to what is past it or another one.

    `outcomes` counts what becomes of those that it lets in.
    """

    def __init__(self, questions: Admission, metrics: Metrics, availability: AvailabilityWatch | None = None) -> None:
        self.questions = questions
        self.outcomes = Outcomes(metrics, availability)
        self._metrics = metrics
        # From the start: the rate of a series that begins with its first refusal would miss it.
        self._refused = {endpoint: metrics.shed(endpoint) for endpoint in (*[each.value for each in Endpoint], EVENTS)}

    def release(self, work_before: float) -> None:
        """Let a question go that came when so much work was done."""
        self.questions.release()
        if self.questions.is_overloaded:
            self._metrics.queued.observe("question", self.questions.work_since(work_before))

    def refuse(self, endpoint: str, path: str, request_id: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
        """Count a refusal, and return the headers and the body of its answer."""
        self._refused[endpoint].inc()
        self._metrics.count_response(endpoint, REFUSED, OVERLOADED)
        what = "batches of events" if endpoint == EVENTS else "questions"
        detail = f"More {what} are under way than this replica answers in time; ask again after Retry-After seconds."
        body = problem(path, request_id, REFUSED, detail)
        return [*problem_headers(body), (b"retry-after", RETRY_AFTER)], body
