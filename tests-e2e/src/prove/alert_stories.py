"""The posts of a Prometheus in a few minutes: alerts fire, end, flap, inhibit each other and get lost. Pure code."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

# As in Prometheus, a firing alert is posted again and again; each post sets an end a while later.
REPOST_SECONDS = 3
ENDS_AFTER_SECONDS = 9
# An alert that Prometheus stops posting ends so late that the proof is already finished.
NEVER_SECONDS = 3600
# The alert that inhibits others of its node.
INHIBITOR = "NodeDown"
NODE = "node"
# How an episode ends: Prometheus resolves it, or stops posting, or Alertmanager forgets it first.
Ending = Literal["said", "timed out", "never said"]
_SERVICES = ("shop", "search", "billing", "recommender-api")


@dataclass(frozen=True)
class Episode:
    """Seconds from the start of the proof; `starts_at` is the `startsAt` that is posted."""

    begins: float
    ends: float
    starts_at: float
    ending: Ending = "said"


@dataclass(frozen=True)
class Story:
    """One alert and its episodes."""

    labels: dict[str, str]
    episodes: tuple[Episode, ...]

    def posts(self, since: float, until: float, start: datetime) -> dict[str, Any] | None:
        """Return the post about it at `until`, if any; `since` is the time of the previous call."""
        for episode in self.episodes:
            ended = since < episode.ends <= until
            if ended and episode.ending == "said":
                return self._alert(episode, start, until)
            due = int(until / REPOST_SECONDS) > int(since / REPOST_SECONDS) or since < episode.begins
            if episode.begins <= until < episode.ends and due:
                after = NEVER_SECONDS if episode.ending == "never said" else ENDS_AFTER_SECONDS
                return self._alert(episode, start, until + after)
        return None

    def _alert(self, episode: Episode, start: datetime, ends: float) -> dict[str, Any]:
        return {
            "labels": self.labels,
            "annotations": {"summary": f"{self.labels['alertname']} of {self.labels['instance']}"},
            "startsAt": _rfc3339(start, episode.starts_at),
            "endsAt": _rfc3339(start, ends),
            "generatorURL": "http://prometheus.example/graph",
        }


def stories(seed: int, seconds: float, forgotten_at: Sequence[float]) -> list[Story]:
    """Return the stories of so many seconds; at `forgotten_at` Alertmanager is restarted and loses its alerts."""
    draw = random.Random(seed)
    return [
        *_singles(draw, seconds),
        *_flapping(draw, seconds),
        *_groups(draw, seconds),
        *_hidden(draw, seconds),
        *_forgotten(draw, forgotten_at, seconds),
    ]


def _singles(draw: random.Random, seconds: float) -> Iterator[Story]:
    for number in range(16):
        ending: Ending = "timed out" if number % 4 == 0 else "said"
        yield Story(
            _labels(draw, f"Single{number % 8}", number), tuple(_episodes(draw, seconds, (10, 40), (15, 70), ending))
        )


def _flapping(draw: random.Random, seconds: float) -> Iterator[Story]:
    """Yield alerts that fire again within seconds: with a new `startsAt`, or with the same."""
    for number in range(6):
        episodes = list(_episodes(draw, seconds, (4, 10), (5, 15), "said"))
        if number % 2:
            # Three consecutive ones share their start.
            firsts = [episodes[at - at % 3] for at in range(len(episodes))]
            episodes = [
                Episode(each.begins, each.ends, first.begins) for each, first in zip(episodes, firsts, strict=True)
            ]
        yield Story(_labels(draw, f"Flapping{number % 4}", number), tuple(episodes))


def _groups(draw: random.Random, seconds: float) -> Iterator[Story]:
    for group, size in enumerate((5, 9, 16)):
        waves = list(_episodes(draw, seconds, (20, 45), (40, 80), "said"))
        for number in range(size):
            shifted = tuple(
                Episode(wave.begins + draw.random() * 3, wave.ends + draw.random() * 8, wave.begins) for wave in waves
            )
            yield Story(_labels(draw, f"Group{group}", number), shifted)


def _hidden(draw: random.Random, seconds: float) -> Iterator[Story]:
    """Yield nodes that go down, and their inhibited alerts: these end or begin unseen."""
    for number in range(7):
        node = f"node-{number}"
        downs = list(_episodes(draw, seconds, (20, 35), (50, 70), "said"))
        yield Story({"alertname": INHIBITOR, NODE: node, "severity": "critical", "instance": node}, tuple(downs))
        for name in ("DiskFull", "LoadHigh"):
            labels = {"alertname": name, NODE: node, "severity": "warning", "instance": node}
            episodes = []
            for down in downs:
                middle = (down.begins + down.ends) / 2
                begins = down.begins - 10 if name == "DiskFull" else middle
                ends = middle if name == "DiskFull" else down.ends + 15
                if begins > 0:
                    episodes.append(Episode(begins, ends, begins))
                    after = down.ends + draw.uniform(18, 24)
                    episodes.append(Episode(after, after + 10, after))
            yield Story(labels, tuple(episodes))


def _forgotten(draw: random.Random, forgotten_at: Sequence[float], seconds: float) -> Iterator[Story]:
    """Yield alerts whose end is never reported: some fire again later, and some don't."""
    for moment in forgotten_at:
        for number in range(6):
            begins = moment - draw.uniform(15, 25)
            episodes = [Episode(begins, moment, begins, "never said")]
            later = moment + draw.uniform(20, 50)
            if number % 2 == 0 and later + 10 < seconds:
                episodes.append(Episode(later, later + 10, later))
            yield Story(_labels(draw, f"Forgotten{moment:.0f}", number), tuple(episodes))


def _episodes(
    draw: random.Random, seconds: float, lasts: tuple[int, int], pause: tuple[int, int], ending: Ending
) -> Iterator[Episode]:
    at = draw.uniform(2, pause[1])
    while (ends := at + draw.uniform(*lasts)) < seconds:
        yield Episode(at, ends, at, ending)
        at = ends + draw.uniform(*pause)


def _labels(draw: random.Random, name: str, number: int) -> dict[str, str]:
    labels = {
        "alertname": name,
        "instance": f"host-{number}:9100",
        "severity": draw.choice(("critical", "warning", "info", "page")),
        draw.choice(("service", "job")): draw.choice(_SERVICES),
    }
    if number % 5 == 0:
        labels["description"] = f"über 90 % 磁盘 “{number}”"
    return labels


def _rfc3339(start: datetime, seconds: float) -> str:
    return (start + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
