"""No request of a client makes the service fail."""

import httpx

from testkit.fuzz import fuzz
from testkit.fuzz_targets import feature_sync


def test_no_request_makes_the_service_fail(worker: httpx.Client) -> None:
    report = fuzz(feature_sync(str(worker.base_url), "the-token"), 500, run_seed=1)
    assert not report.faults
    assert report.requests >= 500
    assert set(report.statuses) >= {200, 202, 404, 422}
