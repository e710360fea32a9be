"""The clicks of both sides, as feature-sync has attributed them."""

from datetime import datetime
from typing import Protocol

import httpx
from pydantic import SecretStr

from contracts.json_answers import UnusableAnswerError, problem_detail, read_answer
from contracts.outcomes import ModelOutcomes, OutcomeReport
from model_registry.rollouts.sequential_test import Arm, Stratum

# feature-sync sums up the hours of a rollout: milliseconds, seconds while its database is busy.
TIMEOUT = httpx.Timeout(10.0, connect=2.0)
# The primary's side of a canary: users who are in no experiment are none to compare with.
_CONTROL = "control"


class OutcomesUnavailableError(Exception):
    """feature-sync gives no figures; the message says why. Ask again later."""


class Outcomes(Protocol):
    """Where the sums of exposures and clicks come from."""

    def read(self, version: str, since: datetime) -> Stratum:
        """Return the sums of the canary of a version, and of the primary; raises `OutcomesUnavailableError`."""
        ...


class FeatureSyncOutcomes:
    """Asks feature-sync by HTTP."""

    def __init__(self, url: str, token: SecretStr | None) -> None:
        headers = {} if token is None else {"Authorization": f"Bearer {token.get_secret_value()}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT)

    def read(self, version: str, since: datetime) -> Stratum:
        """Return the sums from the hour of `since` on."""
        try:
            response = self._http.get("/outcomes", params={"since": since.isoformat()})
        except httpx.HTTPError as error:
            raise OutcomesUnavailableError(str(error) or type(error).__name__) from error
        if not response.is_success:
            raise OutcomesUnavailableError(f"{response.status_code}: {problem_detail(response)}")
        try:
            report = read_answer(response, OutcomeReport)
        except UnusableAnswerError as error:
            raise OutcomesUnavailableError(str(error)) from error
        return sides(report, version)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


def sides(report: OutcomeReport, version: str) -> Stratum:
    """Return the sums of both sides over all endpoints.

    Whatever is primary meanwhile counts: a refresh renews only the statistics of the model in service.
    """
    canary = [each for each in report.models if each.variant == "canary" and each.model_version == version]
    return Stratum(_sum(canary), _sum([each for each in report.models if each.variant == _CONTROL]))


def _sum(models: list[ModelOutcomes]) -> Arm:
    return Arm(sum(each.exposures for each in models), sum(each.clicks.count for each in models))
