"""Webhooks of a real Alertmanager with their outcomes: recorded by a proof, replayed by a test."""

import gzip
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

# Accepted; lost before the gateway got it; or unknown, because the gateway died meanwhile.
Outcome = Literal["accepted", "withheld", "unknown"]


@dataclass(frozen=True)
class RecordedWebhook:
    """One attempt of Alertmanager; `answered` is the time when its outcome was known."""

    received: datetime
    answered: datetime
    outcome: Outcome
    body: dict[str, Any]

    @property
    def alerts(self) -> list[dict[str, Any]]:
        """Its alerts, unchanged."""
        return list(self.body["alerts"])


def write_webhooks(webhooks: Iterable[RecordedWebhook], path: Path) -> None:
    """Write one line of JSON each, compressed; the same webhooks give the same bytes."""
    lines = [
        json.dumps(
            {
                "received": each.received.isoformat(),
                "answered": each.answered.isoformat(),
                "outcome": each.outcome,
                "body": each.body,
            },
            separators=(",", ":"),
        )
        for each in webhooks
    ]
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), mtime=0))


def read_webhooks(path: Path) -> list[RecordedWebhook]:
    """Return the webhooks that `write_webhooks` wrote."""
    rows = map(json.loads, gzip.decompress(path.read_bytes()).decode().splitlines())
    return [
        RecordedWebhook(
            datetime.fromisoformat(row["received"]),
            datetime.fromisoformat(row["answered"]),
            row["outcome"],
            row["body"],
        )
        for row in rows
    ]
