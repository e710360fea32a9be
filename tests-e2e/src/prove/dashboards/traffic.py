"""Seeded requests and behaviour events, at an even rate, which count what was answered."""

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx

PER_SECOND = 8.0
_ANSWER_SECONDS = 10.0
_UNKNOWN_DATASET = 987_654_321
_EVENTS_SHARE, _UNKNOWN_SHARE = 0.1, 0.02
_EVENT_TYPES = ("click", "view", "favorite", "purchase")


@dataclass
class Answered:
    """Answers by status, and by fallback level; changed by one thread."""

    statuses: Counter[str] = field(default_factory=Counter)
    levels: Counter[str] = field(default_factory=Counter)


class Traffic:
    """Sends requests from one thread until it is stopped."""

    def __init__(self, url: str, token: str, datasets: list[int], users: list[int], seed: int) -> None:
        self.answered = Answered()
        self._url = url
        self._token = token
        self._datasets = datasets
        self._users = users
        self._dice = random.Random(seed)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, after the answer that is awaited."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        due = time.monotonic()
        number = 0
        with httpx.Client(base_url=self._url, timeout=_ANSWER_SECONDS) as http:
            while not self._stopped.wait(max(0.0, due - time.monotonic())):
                due = max(due + 1 / PER_SECOND, time.monotonic())
                number += 1
                self._send(http, number)

    def _send(self, http: httpx.Client, number: int) -> None:
        chance = self._dice.random()
        if chance < _EVENTS_SHARE:
            self._post_event(http, number)
            return
        dataset = _UNKNOWN_DATASET if chance < _EVENTS_SHARE + _UNKNOWN_SHARE else self._dice.choice(self._datasets)
        path = self._dice.choice(
            (f"/similar/{dataset}", f"/recommend/user/{self._dice.choice(self._users)}", "/hot/trending")
        )
        response = http.get(path)
        self.answered.statuses[str(response.status_code)] += 1
        if response.is_success:
            self.answered.levels[response.headers["X-Fallback-Level"]] += 1

    def _post_event(self, http: httpx.Client, number: int) -> None:
        event = {
            "event_id": f"dashboards-{number}",
            "type": self._dice.choice(_EVENT_TYPES),
            "user_id": self._dice.choice(self._users),
            "dataset_id": self._dice.choice(self._datasets),
            "ts": datetime.now(UTC).isoformat(),
        }
        headers = {"Authorization": f"Bearer {self._token}"}
        # While Redis is down it may be rejected: only the answers count here.
        http.post("/events", json={"events": [event]}, headers=headers)
