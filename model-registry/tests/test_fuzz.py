"""No request of a client makes the service fail."""

from pathlib import Path

from ranking.testing import tiny_archive
from running_registry import RunningRegistry
from testkit.fuzz import fuzz
from testkit.fuzz_targets import registry as fuzzed_registry


def test_no_request_makes_the_service_fail(registry: RunningRegistry, tmp_path: Path) -> None:
    archive = tiny_archive(tmp_path / "bundle.tar.gz")
    registry.push(archive)
    report = fuzz(fuzzed_registry(registry.url, "the-registry-token", archive), 500, run_seed=1)
    assert not report.faults
    assert report.requests >= 500
    assert set(report.statuses) >= {200, 404, 422}
