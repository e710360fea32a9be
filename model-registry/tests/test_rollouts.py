"""Rollouts over HTTP, on a registry with a clock of the test: steps, rollbacks, questions, two registries at once."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
from pydantic import SecretStr

import monitoring.testing
import refresh_bundles
from contracts.command_line import OK, REFUSED, USAGE
from model_registry.rollouts import driver
from model_registry.sandbox.client import Sandbox
from model_registry.settings import Settings
from monitoring.testing import Captured
from registryctl import cli
from running_registry import RunningRegistry
from stand_in_outcomes import TOKEN as OUTCOMES_TOKEN
from stand_in_outcomes import StandInOutcomes, report_answers

TOKEN = "the-registry-token"
ROLLOUTS = "/models/ranker/rollouts"
STEPS = [10, 50, 100]
PROCESS = Path(__file__).with_name("rollout_process.py")


@dataclass
class Clock:
    """Goes only when a test says so."""

    now: datetime = field(default_factory=lambda: datetime(2026, 11, 24, 3, tzinfo=UTC))

    def __call__(self) -> datetime:
        """Return the time."""
        return self.now

    def advance(self, minutes: float) -> None:
        """Let time pass."""
        self.now += timedelta(minutes=minutes)


@pytest.fixture
def outcomes() -> Iterator[StandInOutcomes]:
    with StandInOutcomes("2") as served:
        yield served


@dataclass
class Marketplace:
    """A registry with version 1 in service and version 2 pushed, its clock, and the clicks on both."""

    registry: RunningRegistry
    clock: Clock
    outcomes: StandInOutcomes
    until: Callable[..., float]

    def start(self, **more: Any) -> dict[str, Any]:
        """Start the rollout of version 2, with sound replicas."""
        self.report_sound_answers()
        body = {"version": "2", "steps": STEPS, "every_seconds": 1800} | more
        answer = self.registry.http.post(ROLLOUTS, json=body)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def report_sound_answers(self) -> None:
        """Let a replica report on both sides: after two minutes, a report is too old."""
        for version, mode in (("1", "primary"), ("2", "canary")):
            report_answers(self.registry.http, version, mode)

    @property
    def rollout(self) -> dict[str, Any]:
        """The newest rollout."""
        return dict(self.registry.http.get(ROLLOUTS).json()["rollouts"][0])

    def look(self) -> dict[str, Any]:
        """Wait until the figures were looked at after the present time of the clock, and return the rollout."""
        self.report_sound_answers()
        self.clock.advance(1 / 60)
        now = f"{self.clock.now:%Y-%m-%dT%H:%M:%S}"
        self.until(lambda: (self.rollout["reviewed_at"] or "") >= now or self.has_ended, within=60)
        return self.rollout

    @property
    def has_ended(self) -> bool:
        """Whether the newest rollout has."""
        return self.rollout["ended_at"] is not None

    def is_at(self, step: int) -> bool:
        """Whether the newest rollout has taken so many steps, or has ended."""
        return self.has_ended or int(self.rollout["step"]) >= step

    def pass_step(self, exposures: int = 2_000_000, **rates: float) -> dict[str, Any]:
        """Let the burn-in pass, then the time of the step, in which so much was shown."""
        self.clock.advance(6)
        rollout = self.look()
        self.outcomes.show(exposures, share=rollout["steps"][rollout["step"]] / 100, **rates)
        self.clock.advance(30)
        return self.look()

    def answer(self, action: str, **more: Any) -> Any:
        """Answer the newest rollout."""
        return self.registry.http.post(
            f"{ROLLOUTS}/{self.rollout['rollout_id']}/answer", json={"action": action, **more}
        )

    def deployed(self) -> list[tuple[str, str, float, str]]:
        """Return the history, oldest first: version, mode, share and state."""
        lines = self.registry.http.get("/models/ranker/deployments").json()["deployments"]
        return [(each["version"], each["mode"], each["rollout"], each["state"]) for each in reversed(lines)]


@pytest.fixture
def settings(database_url: str, tmp_path: Path, outcomes: StandInOutcomes) -> Settings:
    return Settings(
        database_url=SecretStr(database_url),
        artifact_url=str(tmp_path / "artifacts"),
        registry_token=SecretStr(TOKEN),
        feature_sync_url=outcomes.url,
        admin_token=SecretStr(OUTCOMES_TOKEN),
        public_reads=True,
    )


@pytest.fixture
def looks_every() -> float:
    """The seconds between two looks of the registry."""
    return 0.02


@pytest.fixture
def marketplace(
    settings: Settings,
    outcomes: StandInOutcomes,
    tmp_path: Path,
    sandbox: Sandbox,
    until: Callable[..., float],
    monkeypatch: pytest.MonkeyPatch,
    looks_every: float,
) -> Iterator[Marketplace]:
    monkeypatch.setattr(driver, "INTERVAL_SECONDS", looks_every)
    clock = Clock()
    with RunningRegistry(settings, sandbox, now=clock) as registry:
        registry.push_new(tmp_path, seed=1)
        registry.push_new(tmp_path, seed=2)
        registry.deploy("1")
        yield Marketplace(registry, clock, outcomes, until)


@pytest.fixture
def reports() -> Iterator[Captured]:
    with monitoring.testing.captured() as captured:
        yield captured


def run(registry: RunningRegistry, *arguments: str) -> int:
    """Run registryctl."""
    return cli.main(["--url", registry.url, "--token", TOKEN, *arguments])


def test_an_equal_canary_grows_step_by_step_and_becomes_the_primary(
    marketplace: Marketplace, capsys: pytest.CaptureFixture[str], reports: Captured
) -> None:
    marketplace.report_sound_answers()
    command = ("--by", "张伟", "rollout", "2", "--steps", "10,50,100", "--every", "30m", "--reason", "better recall")
    assert run(marketplace.registry, *command) == OK
    assert "running, step 1 of 3, 10 % of the users" in capsys.readouterr().out
    assert marketplace.deployed()[-1] == ("2", "canary", 0.1, "active")
    assert marketplace.look()["reason"] == "the step lasts for another 30 min"

    second = marketplace.pass_step()
    assert (second["step"], second["state"], second["curves"][0]["canary"]["exposures"]) == (1, "running", 200_000)
    assert marketplace.registry.active() == "1"
    ended = marketplace.pass_step()
    assert (ended["step"], ended["state"], marketplace.registry.active()) == (2, "completed", "2")
    assert marketplace.deployed()[1:] == [
        ("2", "canary", 0.1, "replaced"),
        ("2", "canary", 0.5, "replaced"),
        ("2", "primary", 1.0, "active"),
    ]
    lines = marketplace.registry.http.get("/models/ranker/deployments").json()["deployments"]
    assert [each["deployed_by"] for each in lines[:3]] == ["张伟"] * 3
    assert lines[2]["reason"] == "rollout, step 1 of 3: better recall"
    assert lines[0]["reason"].startswith("rollout 1, step 3 of 3: clicks per exposure: canary minus primary +0.000%")
    assert run(marketplace.registry, "rollout", "status") == OK
    assert "10 %  2026-11-24T03:00:00Z  canary 4.00%" in capsys.readouterr().out
    assert reports.of("model.rollout_needs_decision") == []


def test_a_canary_with_half_the_clicks_is_withdrawn_with_its_reason_and_a_signal(
    marketplace: Marketplace, reports: Captured
) -> None:
    marketplace.start()
    rollout = marketplace.pass_step(canary_rate=0.02)
    assert (rollout["state"], rollout["step"], rollout["difference"]["high"] < 0) == ("rolled_back", 0, True)
    line = marketplace.registry.http.get("/models/ranker/deployments").json()["deployments"][0]
    assert (line["state"], "clicks per exposure are lower" in line["detail"]) == ("rolled_back", True)
    assert marketplace.registry.http.get("/models/ranker/active").json()["canary"] is None
    marketplace.until(lambda: reports.of("model.deployment_failed"))
    (report,) = reports.of("model.deployment_failed")
    wanted = {"stage": "rollout", "model_name": "ranker", "model_version": "2", "target": "ranker/canary"}
    assert (report.level, wanted.items() <= report.tags.items()) == ("error", True)
    assert "clicks per exposure are lower" in report.message
    assert marketplace.answer("continue").status_code == 409
    reports.recovered.clear()
    assert marketplace.registry.deploy("2").status_code == 201
    assert "model.deployment_failed" in {each.point_id for each in reports.recovered}


def test_errors_of_the_canary_roll_it_back_before_anything_is_known_of_clicks(marketplace: Marketplace) -> None:
    marketplace.start()
    report_answers(marketplace.registry.http, "2", "canary", errors=100)
    marketplace.until(lambda: marketplace.has_ended)
    assert marketplace.rollout["reason"] == "errors: 10.00% of the canary's answers, 0.10% of the primary's"


def test_too_little_traffic_ends_in_a_question_that_a_person_answers(
    marketplace: Marketplace, reports: Captured, capsys: pytest.CaptureFixture[str]
) -> None:
    marketplace.start()
    waiting = marketplace.pass_step(exposures=500)
    assert (waiting["state"], "50 exposures of each side, 1000 are needed" in waiting["reason"]) == ("running", True)
    marketplace.clock.advance(24 * 60)
    held = marketplace.look()
    assert (held["state"], held["reason"].startswith("not decided within 24 h")) == ("holding", True)
    marketplace.until(lambda: reports.of("model.rollout_needs_decision"))
    (report,) = reports.of("model.rollout_needs_decision")
    assert (report.level, report.tags["rollout_id"], report.tags["percent"]) == ("warning", "1", "10")
    assert "10 %: canary 4.00% (1.10% to 13.46%), primary 4.00%" in report.message

    reports.recovered.clear()
    assert run(marketplace.registry, "rollout", "wait", "--reason", "a weekend") == OK
    assert "model.rollout_needs_decision" in {each.point_id for each in reports.recovered}
    marketplace.clock.advance(60)
    assert marketplace.look()["state"] == "running"
    assert run(marketplace.registry, "--by", "li.wei", "rollout", "continue", "--reason", "as offline") == OK
    capsys.readouterr()
    assert marketplace.deployed()[-1] == ("2", "canary", 0.5, "active")
    assert marketplace.rollout["answered_by"] == "li.wei"
    assert run(marketplace.registry, "rollout", "stop") == OK
    assert "stopped" in capsys.readouterr().out
    assert marketplace.deployed()[-1] == ("2", "canary", 0.5, "rolled_back")
    assert run(marketplace.registry, "rollout", "stop") == REFUSED
    assert "no rollout of ranker is under way" in capsys.readouterr().err


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_another_primary_or_canary_holds_the_rollout_and_a_refresh_does_not(
    marketplace: Marketplace, tmp_path: Path
) -> None:
    marketplace.start()
    refresh = refresh_bundles.pushed(marketplace.registry, tmp_path, "1", seed=3)
    assert marketplace.registry.deploy(refresh).status_code == 201
    assert (marketplace.look()["state"], marketplace.rollout["primary_version"]) == ("running", refresh)
    assert marketplace.pass_step()["step"] == 1
    other = marketplace.registry.push_new(tmp_path, seed=4)
    assert marketplace.registry.deploy(other).status_code == 201
    held = marketplace.look()
    assert (held["state"], held["reason"]) == (
        "holding",
        f"version {other} is the primary, and not version {refresh} any more",
    )
    refused = marketplace.answer("continue")
    assert (refused.status_code, f"in service is {other}" in refused.json()["detail"]) == (409, True)
    assert marketplace.answer("stop").json()["state"] == "stopped"
    marketplace.start()
    assert marketplace.registry.deploy("2", mode="canary", rollout=0.9).status_code == 201
    assert marketplace.look()["reason"] == "the canary was changed: it is version 2 with 90% of the users"
    assert marketplace.answer("stop").status_code == 200
    marketplace.start()
    assert marketplace.registry.http.post("/models/ranker/rollback", json={"mode": "canary"}).status_code == 201
    assert marketplace.look()["reason"] == "the canary was withdrawn"
    assert marketplace.answer("wait").json()["state"] == "running"
    assert (marketplace.look()["state"], marketplace.answer("stop").status_code) == ("holding", 200)


def test_two_registries_take_each_step_once(marketplace: Marketplace, settings: Settings, sandbox: Sandbox) -> None:
    with RunningRegistry(settings, sandbox, now=marketplace.clock):
        marketplace.start(steps=[5, 10, 20, 50, 100])
        while not marketplace.has_ended:
            marketplace.pass_step(exposures=20_000_000)
    shares = [share for _, _, share, _ in marketplace.deployed()[1:]]
    assert shares == [0.05, 0.1, 0.2, 0.5, 1.0]


@pytest.mark.parametrize("looks_every", [3600.0])
def test_a_driver_that_is_killed_neither_repeats_nor_skips_a_step(
    marketplace: Marketplace, settings: Settings, tmp_path: Path
) -> None:
    steps = [*range(5, 100, 5), 100]
    url = settings.database_url.get_secret_value()
    command = [sys.executable, str(PROCESS), url, settings.artifact_url]
    marketplace.clock.now = datetime.now(UTC)
    marketplace.start(steps=steps, every_seconds=60)
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        # It is killed wherever it is, a moment after it has taken some steps.
        for taken, moment in ((3, 0.0), (8, 0.013), (14, 0.031), (99, 0.0)):
            parent.stdin.write("start\n")
            parent.stdin.flush()
            process = int(parent.stdout.readline())
            try:
                marketplace.until(lambda least=taken: marketplace.is_at(least), within=120)
                time.sleep(moment)
            finally:
                os.kill(process, signal.SIGKILL)
    assert (marketplace.rollout["state"], marketplace.registry.active()) == ("completed", "2")
    assert [share for _, _, share, _ in marketplace.deployed()[1:]] == [step / 100 for step in steps]
    assert [each["percent"] for each in marketplace.rollout["curves"]] == steps[:-1]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_can_not_be_rolled_out_is_rejected_and_nothing_is_deployed(
    marketplace: Marketplace, capsys: pytest.CaptureFixture[str]
) -> None:
    http = marketplace.registry.http
    bodies: list[dict[str, Any]] = [
        {"version": "2", "steps": [5, 5, 100]},
        {"version": "2", "steps": [5, 50]},
        {"version": "2", "steps": [100]},
        {"version": "2", "steps": [0, 100]},
        {"version": "2", "steps": [5, 100], "every_seconds": 1},
    ]
    assert [http.post(ROLLOUTS, json=body).status_code for body in bodies] == [422] * 5
    assert http.post(ROLLOUTS, json={"version": "2", "steps": STEPS, "expected_active": "2"}).status_code == 409
    assert http.post(ROLLOUTS, json={"version": "1", "steps": STEPS}).status_code == 409
    assert http.post(ROLLOUTS, json={"version": "9", "steps": STEPS}).status_code == 404
    assert http.get(ROLLOUTS).json() == {"rollouts": []}
    assert run(marketplace.registry, "rollout", "2", "--steps", "50,20,100") == USAGE
    marketplace.start()
    again = http.post(ROLLOUTS, json={"version": "2", "steps": STEPS})
    assert (again.status_code, again.json()["detail"]) == (
        409,
        "rollout 1 of ranker 2 is running: answer or stop it first",
    )


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_without_outcomes_no_rollout_starts(settings: Settings, sandbox: Sandbox, tmp_path: Path) -> None:
    with RunningRegistry(settings.model_copy(update={"feature_sync_url": ""}), sandbox) as registry:
        registry.push_new(tmp_path, seed=1)
        refused = registry.http.post(ROLLOUTS, json={"version": "1", "steps": STEPS})
    assert (refused.status_code, refused.json()["detail"].startswith("FEATURE_SYNC_URL is not set")) == (409, True)
