"""Bounded load on the recommender: answers to users, visitors and behaviour events, at an even rate."""

import random
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from http import HTTPStatus

import httpx

from ranking.testing import FIRST_DATASET_ID
from soak.night import SIZE, USERS

THREADS = 4
ANSWER_SECONDS = 10.0
_EVENTS_SHARE = 0.1
_EVENTS_A_BATCH = 3


class Load:
    """Sends requests from threads until it is stopped; `counts` may be read at any time."""

    def __init__(self, url: str, token: str, *, per_second: float, seed: int) -> None:
        self._url = url
        self._token = token
        self._interval = THREADS / per_second
        self._seed = seed
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"load-{number}", daemon=True)
            for number in range(THREADS)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End; requests that are being answered are waited for."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def counts(self) -> dict[str, int]:
        """Return the numbers of answers by kind: `answered`, `degraded`, `failed`, `events`."""
        with self._lock:
            return {name: self._counts[name] for name in ("answered", "degraded", "failed", "events")}

    def _run(self, number: int) -> None:
        dice = random.Random(f"{self._seed} {number}")
        due = time.monotonic() + number * self._interval / THREADS
        sent = 0
        with httpx.Client(base_url=self._url, timeout=ANSWER_SECONDS) as http:
            while not self._stopped.wait(max(0.0, due - time.monotonic())):
                # After a stall the rate is not made up for: the load stays bounded.
                due = max(due + self._interval, time.monotonic() - self._interval)
                sent += 1
                try:
                    counted = (
                        self._post(http, dice, f"{number}-{sent}")
                        if dice.random() < _EVENTS_SHARE
                        else _get(http, dice)
                    )
                except httpx.TransportError:
                    counted = {"failed": 1}
                with self._lock:
                    self._counts.update(counted)

    def _post(self, http: httpx.Client, dice: random.Random, name: str) -> dict[str, int]:
        now = datetime.now(UTC).isoformat()
        events = [
            {
                "event_id": f"soak-{self._seed}-{name}-{position}",
                "type": dice.choice(("click", "view", "favorite", "purchase")),
                "user_id": dice.randint(1, USERS),
                "dataset_id": FIRST_DATASET_ID + dice.randrange(SIZE.datasets),
                "ts": now,
            }
            for position in range(_EVENTS_A_BATCH)
        ]
        headers = {"Authorization": f"Bearer {self._token}"}
        response = http.post("/events", json={"events": events}, headers=headers)
        if response.status_code != HTTPStatus.ACCEPTED:
            return {"failed": 1}
        return {"answered": 1, "events": response.json()["accepted"]}


def _get(http: httpx.Client, dice: random.Random) -> dict[str, int]:
    user, dataset = dice.randint(1, USERS), FIRST_DATASET_ID + dice.randrange(SIZE.datasets)
    path = dice.choice(
        (
            f"/recommend/user/{user}",
            f"/recommend/detail/{dataset}?user_id={user % 10 + 1}",
            f"/similar/{dataset}",
            "/hot/trending",
        )
    )
    response = http.get(path)
    if response.status_code != HTTPStatus.OK:
        return {"failed": 1}
    return {"answered": 1, "degraded": int(response.headers.get("X-Fallback-Level", "0") != "0")}
