"""No request of a client makes the service fail."""

from collections.abc import Callable

from testkit.fuzz import fuzz
from testkit.fuzz_targets import recommender
from testkit.running_app import RunningApp

TOKEN = "the-token-of-all"


def test_no_request_makes_the_service_fail(start: Callable[..., RunningApp]) -> None:
    api = start(events_token=TOKEN, admin_token=TOKEN)
    report = fuzz(recommender(api.url, TOKEN), 500, run_seed=1)
    assert not report.faults
    assert report.requests >= 500
    assert set(report.statuses) >= {200, 202, 404, 422}
