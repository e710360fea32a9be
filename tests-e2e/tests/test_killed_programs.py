"""Each program's main process is killed under load: no caller notices it, and nothing is lost."""

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from harness import RunningStack

API = "recommender-api"
# The programs of every stack; containers also have the demo's, and Prometheus if it is installed.
PROGRAMS = (
    *("redis", "postgres", "sentry", "sentry-worker", "model-registry", "feature-sync", "notification-gateway", API),
    *("airflow", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer", "wechat-simulator"),
)
OPTIONAL = ("prometheus", "alertmanager", "demo")
PAUSE_SECONDS = 0.02
WELL_SECONDS = 120.0
API_BACK_SECONDS = 10.0
# For twenty answers, which take half a second on a quiet machine.
ANSWERS_SECONDS = 15.0

# A process of the stack that reports something while a part is down.
_REPORTER = """
import sys, monitoring
from pipeline.sentry_utils import track_data_quality_issue
monitoring.init("pipeline", monitoring.MonitoringSettings())
for check in sys.argv[1:]:
    track_data_quality_issue(check, "critical", {"found_by": "end-to-end test"})
monitoring.flush(10)
"""


class Load:
    """Requests and behaviour events, one after the other."""

    def __init__(self, stack: RunningStack) -> None:
        self._stack = stack
        self._stop = threading.Event()
        self.answers: Counter[str] = Counter()
        self.accepted: list[str] = []
        self.failed_at: list[float] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Send requests until the end of the block."""
        thread = threading.Thread(target=self._run, name="load")
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _run(self) -> None:
        question = f"/recommend/detail/{self._stack.dataset_id}?user_id={self._stack.user_id}&limit=5"
        with httpx.Client(base_url=self._stack.env["API_URL"], timeout=10) as client:
            while not self._stop.wait(PAUSE_SECONDS):
                try:
                    self.answers[str(client.get(question).status_code)] += 1
                    self._post_events(client)
                except httpx.TransportError as error:
                    self.answers[type(error).__name__] += 1
                    self.failed_at.append(time.monotonic())

    def _post_events(self, client: httpx.Client) -> None:
        event = {
            "event_id": f"killed-{time.time_ns()}",
            "type": "view",
            "user_id": 910_000_001,
            "dataset_id": self._stack.dataset_id,
            "ts": self._stack.now_iso(),
        }
        headers = {"Authorization": f"Bearer {self._stack.env['EVENTS_TOKEN']}"}
        if client.post("/events", json={"events": [event]}, headers=headers).status_code == 202:
            self.accepted.append(event["event_id"])


@pytest.fixture(scope="module")
def accepted() -> list[str]:
    """The behaviour events that were accepted while programs were killed."""
    return []


@pytest.fixture(scope="module")
def spool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder where the reporter's events and signals wait while their receiver is down."""
    return tmp_path_factory.mktemp("spool")


def report(stack: RunningStack, spool: Path, *checks: str) -> None:
    """Report a failed data check each, from a process that ends at once."""
    names = ("SENTRY_DSN", "GATEWAY_URL", "GATEWAY_TOKEN")
    environment = {name: stack.env[name] for name in names} | {"SPOOL_DIR": str(spool), "PATH": "/usr/bin:/bin"}
    subprocess.run([sys.executable, "-c", _REPORTER, *checks], env=environment, timeout=60, check=True)


def test_every_program_of_the_stack_is_killed_here(stack: RunningStack) -> None:
    assert set(PROGRAMS) <= set(stack.programs.programs()) <= {*PROGRAMS, *OPTIONAL}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("program", [*PROGRAMS, *OPTIONAL])
def test_a_killed_program_costs_no_answer_and_is_restarted(
    stack: RunningStack, program: str, accepted: list[str], spool: Path
) -> None:
    if program not in stack.programs.programs():
        assert program in OPTIONAL
        return
    load = Load(stack)
    before = stack.programs.main_process(program)
    with load.running():
        time.sleep(0.5)
        stack.kill(program)
        killed = time.monotonic()
        report(stack, spool, f"killed_{program}")
        took = stack.wait_until(
            lambda: stack.programs.main_process(program) not in (0, before) and stack.programs.is_well(program),
            within=WELL_SECONDS,
            what=f"{program} is healthy again",
        )
        stack.wait_until(stack.answers, within=API_BACK_SECONDS, what="the API answers")
        stack.wait_until(lambda: load.answers["200"] > 20, within=ANSWERS_SECONDS, what="requests are answered")
    stack.note(f"seconds from a kill of {program} until it is healthy", took)
    accepted += load.accepted
    if program == API:
        silent = max(load.failed_at, default=killed) - killed
        stack.note("seconds from a kill of recommender-api to its last refused connection", silent)
        assert silent <= API_BACK_SECONDS
    else:
        assert set(load.answers) == {"200"}, load.answers


def test_no_accepted_event_was_lost(stack: RunningStack, accepted: list[str]) -> None:
    assert accepted

    def missing() -> set[str]:
        logged = "SELECT event_id FROM events.behavior_events WHERE event_id LIKE 'killed-%'"
        return set(accepted) - {event_id for (event_id,) in stack.query("DATABASE_URL", logged)}

    stack.wait_until(lambda: not missing(), within=60, what="every accepted event is in PostgreSQL")


def test_no_monitoring_event_and_no_alert_was_lost(stack: RunningStack, spool: Path) -> None:
    # Sends what earlier reporters had to leave on disk.
    report(stack, spool, "killed_nobody")
    wanted = {f"killed_{program}" for program in (*PROGRAMS, "nobody")}

    def collected() -> Counter[str]:
        events = stack.collector.events_of("pipeline.data_quality")
        return Counter(event["tags"]["check_name"] for event in events if event["tags"]["check_name"] in wanted)

    stack.wait_until(lambda: set(collected()) == wanted, within=60, every=1, what="every event is in the collector")
    assert set(collected().values()) == {1}

    alerts = httpx.get(
        f"{stack.env['GATEWAY_URL']}/alerts",
        params={"monitoring_point": "pipeline.data_quality", "limit": 500},
        timeout=10,
    ).json()
    found = {alert["fingerprint"][1] for alert in alerts["alerts"]}
    assert wanted <= found, wanted - found
