"""The weekly report: which week it is about, what it counts, and that a source that is away costs only its own part."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import pytest
from pydantic import SecretStr

from contracts.bundle import pack, read_manifest, write_manifest
from model_registry import settings as registry_settings
from monitoring import testing
from notification_gateway.app import create_app
from pipeline.errors import InputError
from pipeline.publish import put_report
from pipeline.settings import Settings
from pipeline.steps import RunInfo, write_run_info
from pipeline.weekly_report import last_week, make_weekly_report, parse_week
from ranking.testing import tiny_bundle
from running_gateway import TOKEN, Watch, settings
from running_registry import RunningRegistry
from testkit.running_app import RunningApp

NOW = datetime.now(UTC)
THIS_WEEK = last_week(NOW + timedelta(days=7), UTC)


@pytest.mark.parametrize(
    ("now", "zone", "name", "start"),
    [
        ("2026-11-30T07:00:00+00:00", "UTC", "2026-W48", "2026-11-23T00:00:00+00:00"),
        # Sunday evening in London is Monday in Shanghai.
        ("2026-11-29T23:00:00+00:00", "UTC", "2026-W47", "2026-11-16T00:00:00+00:00"),
        ("2026-11-29T23:00:00+00:00", "Asia/Shanghai", "2026-W48", "2026-11-23T00:00:00+08:00"),
        ("2027-01-04T07:00:00+00:00", "UTC", "2026-W53", "2026-12-28T00:00:00+00:00"),
    ],
)
def test_the_last_week_ends_on_monday_at_midnight_in_the_time_zone(now: str, zone: str, name: str, start: str) -> None:
    week = last_week(datetime.fromisoformat(now), ZoneInfo(zone))
    assert (week.name, week.start) == (name, datetime.fromisoformat(start))
    assert week.end - week.start == timedelta(days=7)
    assert parse_week(name, ZoneInfo(zone)) == week
    assert (week.contains(week.start), week.contains(week.end)) == (True, False)


@pytest.mark.parametrize("text", ["2026-W60", "2026-W00", "2026-48", "W48", "", "2026-W48 "])
def test_another_week_is_rejected_with_the_accepted_form(text: str) -> None:
    with pytest.raises(InputError, match="write it as 2026-W48"):
        parse_week(text, UTC)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[RunningRegistry]:
    made = registry_settings.Settings(
        database_url=SecretStr(f"sqlite:///{tmp_path}/recsys.db"),
        artifact_url=str(tmp_path / "registry"),
        registry_token=SecretStr("registry-token"),
    )
    with RunningRegistry(made) as running:
        yield running


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningApp]:
    with RunningApp(
        create_app(settings(f"sqlite:///{tmp_path}/gateway.db", gateway_public_url=""), clock=Watch(NOW))
    ) as running:
        yield running


def store_run(store: Path, name: str, **more: object) -> None:
    """Store a run of this week with one finding."""
    info = RunInfo.model_validate({"run_id": name, "as_of": NOW, "started_at": NOW, **more})
    write_run_info(f"{store}/runs/{name}", info)
    clean = store / "runs" / name / "clean"
    clean.mkdir()
    finding = {"check": "drift.rows", "severity": "warning", "value": 3, "threshold": 2, "details": "<b>more</b>"}
    (clean / "report.json").write_text(json.dumps([finding, finding | {"check": "fine", "severity": "ok"}]))


def test_it_counts_trainings_refreshes_and_findings_and_is_posted(
    registry: RunningRegistry, gateway: RunningApp, tmp_path: Path
) -> None:
    token = SecretStr(TOKEN)
    for name, outcome in (("n-1", "succeeded"), ("n-2", "failed"), ("n-3", "succeeded"), ("refresh-2026", "failed")):
        put_report(gateway.url, token, name, b"<p>", run_id=name, outcome=outcome)
    registry.deploy(registry.push_new(tmp_path, seed=1))
    # A refresh has the ranker of its training.
    contents = tiny_bundle(tmp_path / "refresh", seed=1)
    write_manifest(contents, read_manifest(contents).model_copy(update={"refreshes": "1"}))
    pack(contents, tmp_path / "refresh.tar.gz")
    registry.push(tmp_path / "refresh.tar.gz")
    assert registry.deploy("2").status_code == 201
    store = tmp_path / "store"
    store_run(store, "n-3")
    store_run(store, "refresh-1", kind="refresh")
    store_run(store, "n-old", started_at=NOW - timedelta(days=14))
    made = Settings(artifact_url=str(store), registry_url=registry.url, gateway_url=gateway.url, gateway_token=token)
    with testing.captured() as captured:
        address = make_weekly_report(made, THIS_WEEK, NOW)
    assert address == f"{gateway.url}/reports/weekly-{THIS_WEEK.name}"
    page = httpx.get(address, timeout=10).text
    assert page == (store / "weekly" / THIS_WEEK.name / "report.html").read_text(encoding="utf-8")
    assert "67 %</span> (2 / 3)" in page
    assert '<dt>已部署的刷新 <span lang="en">Refreshes deployed</span></dt><dd>1</dd>' in page
    assert '<dt>其他部署 <span lang="en">Other deployments</span></dt><dd>1</dd>' in page
    assert '<code>drift.rows</code></td><td class="num">1</td><td class="num">1</td>' in page
    assert "&lt;b&gt;more&lt;/b&gt;" in page
    assert "n-old" not in page
    assert (len(page.encode()) < 100_000, captured) == (True, [])


def test_what_is_away_is_named_and_costs_only_its_own_part(tmp_path: Path) -> None:
    store_run(tmp_path, "n-3")
    store_run(tmp_path, "n-4")
    (tmp_path / "runs" / "n-4" / "run.json").write_text("{}")
    away = "http://127.0.0.1:1"
    made = Settings(artifact_url=str(tmp_path), registry_url=away)
    page = Path(make_weekly_report(made, THIS_WEEK, NOW)).read_text(encoding="utf-8")
    assert "GATEWAY_URL is not set" in page
    assert f"model-registry: model-registry at {away}" in page
    assert "runs/n-4" in page
    assert "drift.rows" in page
