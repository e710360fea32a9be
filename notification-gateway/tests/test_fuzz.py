"""No request makes the service fail, and everything that was stored can be read."""

from notification_gateway.app import create_app
from running_gateway import ADMIN, HOOK_SECRET, TOKEN, settings
from testkit.fuzz import fuzz
from testkit.fuzz_targets import gateway as fuzzed_gateway
from testkit.running_app import RunningApp


def test_no_request_makes_the_service_fail(database_url: str) -> None:
    with RunningApp(create_app(settings(database_url))) as running:
        report = fuzz(fuzzed_gateway(running.url, TOKEN, ADMIN, HOOK_SECRET), 500, run_seed=1)
    assert not report.faults
    assert report.requests >= 500
    assert set(report.statuses) >= {200, 202, 401, 404, 422}
