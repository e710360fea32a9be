"""A stand-in for feature-sync's `GET /outcomes`, and replicas that report their answers."""

from datetime import UTC, datetime
from typing import Any

import httpx
from fastapi import FastAPI, Header, HTTPException

from contracts.outcomes import ModelOutcomes, OutcomeReport, UnattributedOutcomes, rate_of
from testkit.serving import Served

TOKEN = "the-admin-token"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class StandInOutcomes:
    """Answers with the sums that a test sets: exposures and clicks of both sides."""

    def __init__(self, version: str) -> None:
        self._version = version
        self.canary = self.primary = (0, 0)
        app = FastAPI()
        app.add_api_route("/outcomes", self._outcomes, response_model=OutcomeReport)
        self._served = Served(app)

    def __enter__(self) -> "StandInOutcomes":
        self.url = self._served.__enter__().url
        return self

    def __exit__(self, *_: object) -> None:
        self._served.stop()

    def show(self, exposures: int, *, share: float, canary_rate: float = 0.04) -> None:
        """Let so many more exposures be clicked: the primary's at a rate of 4 %."""
        shown = round(exposures * share)
        self.canary = (self.canary[0] + shown, self.canary[1] + round(shown * canary_rate))
        rest = exposures - shown
        self.primary = (self.primary[0] + rest, self.primary[1] + round(rest * 0.04))

    def _outcomes(self, since: datetime, authorization: str = Header()) -> OutcomeReport:
        if authorization != f"Bearer {TOKEN}":
            raise HTTPException(401)
        models = [
            self._model(self._version, "canary", self.canary),
            self._model("1", "control", self.primary),
            # What is not compared: users outside of the experiment, and another canary.
            self._model("1", "primary", (5000, 5000)),
            self._model("7", "canary", (5000, 5000)),
        ]
        return OutcomeReport(
            since=since, until=NOW, models=models, unattributed=UnattributedOutcomes(clicks=3, favorites=0, purchases=0)
        )

    @staticmethod
    def _model(version: str, variant: str, arm: tuple[int, int]) -> ModelOutcomes:
        exposures, clicks = arm
        none = rate_of(0, exposures)
        return ModelOutcomes(
            model_version=version,
            variant=variant,
            endpoint="/recommend/user",
            exposures=exposures,
            clicks=rate_of(clicks, exposures),
            favorites=none,
            purchases=none,
            positions=[],
        )


def report_answers(http: httpx.Client, version: str, mode: str, **changes: Any) -> None:
    """Report a thousand sound answers of a replica, with changes."""
    traffic = {"answers": 1000, "errors": 1, "fallback_answers": 2, "p99_ms": 20.0} | changes
    body = {"mode": mode, "version": version, "state": "serving", "since": "2026-01-01T00:00:00Z", "traffic": traffic}
    assert http.put("/models/ranker/replicas/api-1", json=body).status_code == 204
