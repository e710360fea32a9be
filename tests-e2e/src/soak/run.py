"""A soak run from start to end; everything that happens is appended to its progress."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import redis
from sqlalchemy.exc import SQLAlchemyError

from localservers.waiting import TooLateError, wait_until
from soak import samples
from soak.load import Load
from soak.night_process import NightProcess
from soak.progress import ProgressLog
from soak.script import PlannedFault, draw_deploys, draw_faults, draw_nights
from soak.stack import Stack, running_stack
from soak.yardstick import Yardstick

PER_SECOND = 30.0
DRAIN_SECONDS = 120.0
_SAMPLE_SECONDS = 10.0
_MIN_SAMPLE_SECONDS = 1.0
# Counting the rows reads whole tables.
_ROWS_EVERY = 6
_READY_SECONDS = 60.0


@dataclass(frozen=True)
class Plan:
    """How long a run lasts (s), and the seed of all its randomness."""

    seconds: float
    seed: int
    per_second: float = PER_SECOND


class SoakRun:
    """Runs the script against a running stack."""

    def __init__(self, stack: Stack, night: NightProcess, plan: Plan, log: ProgressLog) -> None:
        self._stack = stack
        self._night = night
        self._plan = plan
        self._log = log
        self._database = samples.Database(stack.database_url)
        self._load = Load(stack.urls["recommender"], stack.token, per_second=plan.per_second, seed=plan.seed)
        self._yardstick = Yardstick()
        self._fault: str | None = None
        self._incidents: dict[int, dict[str, Any]] = {}
        self._messages = 0
        self._mails = 0
        self._ended = threading.Event()

    def run(self) -> None:
        """Run to the end of the script, or to an interrupt; then wait for what is under way, and read everything."""
        self._command("succeed", "night-0")
        wait_until(self._is_ready, within=_READY_SECONDS, what="the recommender has its first model")
        began = time.monotonic()
        self._log.append("began", {"seed": self._plan.seed, "seconds": self._plan.seconds})
        self._load.start()
        self._yardstick.start()
        sampler = threading.Thread(target=self._sample_until_ended, name="samples", daemon=True)
        sampler.start()
        try:
            self._follow(began)
        except KeyboardInterrupt:
            self._log.append("interrupted", {})
        finally:
            self._ended.set()
            sampler.join()
            self._yardstick.stop()
            self._load.stop()
        self._read_everything()

    def _follow(self, began: float) -> None:
        seconds, seed = self._plan.seconds, self._plan.seed
        steps: list[tuple[float, Callable[[], None]]] = [
            *((each.at, lambda each=each: self._break(each)) for each in draw_faults(seconds, seed)),
            *((at, lambda at=at: self._command("succeed", f"night-{at:g}")) for at in draw_nights(seconds)),
            *((at, lambda at=at: self._command("refresh", f"refresh-{at:g}")) for at in draw_deploys(seconds, seed)),
            (seconds, lambda: None),
        ]
        for at, step in sorted(steps, key=lambda each: each[0]):
            time.sleep(max(0.0, began + at - time.monotonic()))
            step()

    def _break(self, fault: PlannedFault) -> None:
        """Inflict a fault, and undo it whatever happens."""
        kind = fault.kind
        begins = time.time()
        self._fault = fault.name
        self._log.append("fault-begins", {"name": fault.name})
        program = None if kind.program is None else self._stack.programs[kind.program]
        try:
            if program is not None:
                program.kill() if kind.action == "kill" else program.freeze()
            until = time.monotonic() + fault.hold
            if kind.meanwhile is not None:
                self._command(kind.meanwhile, fault.name)
            time.sleep(max(0.0, until - time.monotonic()))
        finally:
            if program is not None:
                program.start() if kind.action == "kill" else program.thaw()
            self._fault = None
            ended = {"name": fault.name, "begins": begins, "ends": time.time()}
            self._log.append("fault", {**ended, "must_raise": kind.must_raise, "may_raise": kind.may_raise})
        if kind.meanwhile == "damage":
            # The next deploy that succeeds ends the incident.
            self._command("refresh", f"after {fault.name}")

    def _command(self, name: str, run_id: str) -> None:
        answer = self._night.do(name, run_id)
        self._log.append("night", {"command": name, "run_id": run_id, **answer})

    def _is_ready(self) -> bool:
        return httpx.get(f"{self._stack.urls['recommender']}/ready", timeout=5).is_success

    def _sample_until_ended(self) -> None:
        # A short run has about a hundred samples.
        every = max(_MIN_SAMPLE_SECONDS, min(_SAMPLE_SECONDS, self._plan.seconds / 100))
        number = 0
        while not self._ended.wait(every):
            self._sample(counts_rows=number % _ROWS_EVERY == 0)
            number += 1

    def _sample(self, *, counts_rows: bool = True) -> None:
        fault = self._fault
        values: dict[str, Any] = {"fault": fault, "requests": self._load.counts()}
        values["yardstick"] = self._yardstick.counts()
        values["programs"] = samples.processes(self._stack)
        values["monitoring"] = samples.counters(self._stack)
        if fault is None:
            # A fault may begin meanwhile, and files of a spool come and go: the next sample has it.
            with suppress(SQLAlchemyError, redis.RedisError, OSError):
                self._note_incidents()
                values["bounds"] = samples.bounds(self._stack)
                if counts_rows:
                    values["rows"] = self._database.rows()
                    values["bounds"].append(samples.index_rows(values["rows"]))
        with suppress(httpx.HTTPError):
            self._note_messages()
        values["fault_after"] = self._fault
        self._log.append("sample", values)

    def _note_incidents(self) -> None:
        for incident in self._database.incidents():
            if self._incidents.get(incident["id"]) != incident:
                self._incidents[incident["id"]] = incident
                self._log.append("incident", incident)

    def _note_messages(self) -> None:
        messages = self._arrived("messages")["messages"]
        for message in messages[self._messages :]:
            self._log.append("message", {"received": _seconds(message["received_at"]), "text": message["content"]})
        self._messages = len(messages)
        for mail in self._arrived("mails"):
            if mail["id"] > self._mails:
                self._mails = mail["id"]
                self._log.append("mail", {"received": _seconds(mail["received_at"]), "text": mail["text"]})

    def _arrived(self, what: str) -> Any:
        return httpx.get(f"{self._stack.simulator.url}/_control/{what}", timeout=10).json()

    def _read_everything(self) -> None:
        """Wait until nothing is under way any more, then read what has arrived where."""
        with suppress(TooLateError):
            wait_until(self._is_drained, within=DRAIN_SECONDS, every=1.0, what="everything has arrived")
        self._send_summary()
        self._sample()
        named = self._database.events_of_signals()
        received = samples.collector_events(self._stack.collector_database)
        arrived = {
            "received": len(received),
            "named_by_signals": len(named),
            "missing": sorted(named - received),
            "behaviour_accepted": self._load.counts()["events"],
            "behaviour_stored": self._database.behaviour_events(f"soak-{self._plan.seed}-"),
        }
        self._log.append("arrived", arrived)

    def _is_drained(self) -> bool:
        night = self._night.do("count", "")
        counted = samples.counters(self._stack)
        waiting = sum(value for each in counted.values() for name, value in each.items() if name.endswith("_waiting"))
        stored = self._database.behaviour_events(f"soak-{self._plan.seed}-")
        return (
            len(counted) == len(self._stack.urls)
            and not waiting
            and not any(night["waiting"].values())
            and stored >= self._load.counts()["events"]
        )

    def _send_summary(self) -> None:
        """Send the mail of the running hour now, so that its alerts arrive before the end."""
        url = f"{self._stack.urls['gateway']}/summaries/send-now"
        before = len(self._arrived("mails"))
        sent = httpx.post(url, json={"kind": "hourly_summary"}, headers=self._stack.authorization, timeout=10).json()
        if sent["summaries"]:
            with suppress(TooLateError):
                wait_until(lambda: len(self._arrived("mails")) > before, within=30, what="the mail is there")


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def soak(plan: Plan, folder: Path, log: ProgressLog) -> None:
    """Start a stack in an empty folder, run the plan, and stop everything that was started."""
    with running_stack(folder) as stack, NightProcess(stack, folder / "night") as night:
        try:
            SoakRun(stack, night, plan, log).run()
        finally:
            for program in stack.programs.values():
                program.thaw()
