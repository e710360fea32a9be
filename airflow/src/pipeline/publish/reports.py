"""Client of the notification gateway's reports of runs."""

import httpx
from pydantic import SecretStr, TypeAdapter, ValidationError

from contracts.run_reports import MAX_RUN_ID_CHARS, RunChecks, RunOutcome, RunReport
from pipeline.publish.http import UnusableAnswerError, answer_of, client

_SERVICE = "notification-gateway"
# A run waits no longer for a page about itself.
_TIMEOUT = httpx.Timeout(15, connect=5)
_REPORTS = TypeAdapter(list[RunReport])


def put_report(url: str, token: SecretStr | None, run: str, page: bytes, *, run_id: str, outcome: RunOutcome) -> str:
    """Store the report of a run, in place of an earlier one, and return its address for people."""
    with client(_SERVICE, url, token) as gateway:
        response = gateway.put(
            f"/reports/{run}",
            params={"run_id": run_id[:MAX_RUN_ID_CHARS], "outcome": outcome},
            content=page,
            headers={"Content-Type": "text/html; charset=utf-8"},
            timeout=_TIMEOUT,
        )
        stored = answer_of(_SERVICE, response, "run")
    # A gateway of an earlier release does not know its public address.
    return str(stored.get("url") or f"{url.rstrip('/')}/reports/{run}")


def list_reports(url: str, token: SecretStr | None) -> list[RunReport]:
    """Return the reports that the gateway keeps, newest first."""
    with client(_SERVICE, url, token) as gateway:
        found = answer_of(_SERVICE, gateway.get("/reports", timeout=_TIMEOUT), "reports")
    try:
        return _REPORTS.validate_python(found["reports"])
    except ValidationError as error:
        raise UnusableAnswerError(f"{_SERVICE}: the list of reports: {error.errors()[0]['msg']}") from error


def put_checks(url: str, token: SecretStr | None, run: str, checks: RunChecks) -> None:
    """Store the results of the run's data checks beside its report."""
    with client(_SERVICE, url, token) as gateway:
        response = gateway.put(f"/reports/{run}/checks", json=checks.model_dump(mode="json"), timeout=_TIMEOUT)
        if not response.is_success:
            answer_of(_SERVICE, response)
