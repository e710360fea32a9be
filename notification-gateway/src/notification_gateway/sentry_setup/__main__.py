"""`deploy/sentry/provision`: bring a Sentry organization in step with the alert policy; run it as often as you like.

Make an internal integration in Sentry first (Settings, Custom Integrations): its webhook URL is the gateway's
/webhooks/sentry, "Alert Rule Action" is on, and its client secret is the gateway's SENTRY_WEBHOOK_SECRET.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from notification_gateway.policy.loading import PolicyError, load_policy
from notification_gateway.sentry_setup.dashboards import dashboards
from notification_gateway.sentry_setup.workflows import workflows

PROJECTS = ("recommender-api", "model-registry", "feature-sync", "notification-gateway", "pipeline")
TIMEOUT = httpx.Timeout(30.0, connect=5.0)
CONFLICT = 409
_WATCHED = frozenset({"error", "issue_stream"})


class SetupError(Exception):
    """Sentry refused something, or lacks what has to be there; the message says what."""


class Sentry:
    """Sentry's API as far as this needs it."""

    def __init__(self, url: str, organization: str, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(base_url=f"{url.rstrip('/')}/api/0", headers=headers, timeout=TIMEOUT)
        self._organization = organization

    def project(self, team: str, slug: str) -> tuple[str, str]:
        """Make a project if it is not there; returns its id and its DSN."""
        body = {"name": slug, "slug": slug, "platform": "python"}
        self._call("POST", f"/teams/{self._organization}/{team}/projects/", body, allowed=CONFLICT)
        found = self._call("GET", f"/projects/{self._organization}/{slug}/")
        keys = self._call("GET", f"/projects/{self._organization}/{slug}/keys/")
        key = (
            keys[0] if keys else self._call("POST", f"/projects/{self._organization}/{slug}/keys/", {"name": "recsys"})
        )
        return str(found["id"]), str(key["dsn"]["public"])

    def detectors(self, projects: Sequence[str]) -> list[str]:
        """Return what watches the errors of projects."""
        found = self._call("GET", f"/organizations/{self._organization}/detectors/", project=list(projects))
        return [str(each["id"]) for each in found if each["type"] in _WATCHED]

    def installation(self, slug: str) -> str:
        """Return the installation of an integration; raises `SetupError` when there is none."""
        for each in self._call("GET", f"/organizations/{self._organization}/sentry-app-installations/"):
            if each["app"]["slug"] == slug:
                return str(each["uuid"])
        raise SetupError(f"there is no internal integration {slug!r}: make it first (see --help)")

    def put(self, kind: str, name: str, bodies: Sequence[dict[str, Any]]) -> None:
        """Make or change what has the same `name` property."""
        path = f"/organizations/{self._organization}/{kind}/"
        known = {each[name]: each["id"] for each in self._call("GET", path, per_page=100)}
        for body in bodies:
            if body[name] in known:
                self._call("PUT", f"{path}{known[body[name]]}/", {"id": known[body[name]], **body})
            else:
                self._call("POST", path, body)

    def _call(self, method: str, path: str, body: Any = None, allowed: int = 0, **parameters: Any) -> Any:
        try:
            response = self._http.request(method, path, json=body, params=parameters)
        except httpx.TransportError as error:
            raise SetupError(f"{self._http.base_url} can't be reached: {error}") from error
        if not response.is_success and response.status_code != allowed:
            raise SetupError(f"{method} {path}: HTTP {response.status_code}: {response.text[:500]}")
        return response.json()


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    given = _parser().parse_args(arguments)
    try:
        policy = load_policy(given.policy)
        sentry = Sentry(given.url, given.org, given.token)
        installation = sentry.installation(given.integration)
        projects = {slug: sentry.project(given.team, slug) for slug in PROJECTS}
        detectors = sentry.detectors([project_id for project_id, _ in projects.values()])
        sentry.put("workflows", "name", workflows(policy, installation, detectors))
        sentry.put("dashboards", "title", dashboards())
    except (PolicyError, SetupError) as error:
        sys.stderr.write(f"provision: {error}\n")
        return 1
    sys.stdout.write("".join(f"SENTRY_DSN of {slug}: {dsn}\n" for slug, (_, dsn) in projects.items()))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="provision", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", required=True, help="address of the Sentry server")
    parser.add_argument("--org", required=True, help="slug of the organization")
    parser.add_argument("--team", required=True, help="slug of the team that gets the projects")
    parser.add_argument("--integration", default="recsys-gateway", help="slug of the internal integration")
    parser.add_argument("--policy", type=Path, default=Path("deploy/alerts.yaml"), help="the alert policy")
    parser.add_argument(
        "--token", default=os.environ.get("SENTRY_AUTH_TOKEN", ""), help="SENTRY_AUTH_TOKEN (org, project: write)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
