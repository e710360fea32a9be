"""`deploy/sentry/provision`: set up a Sentry organization from the alert policy. It may be run again at any time.

Create an internal integration in Sentry first (Settings, Custom Integrations): its webhook URL is the gateway's
/webhooks/sentry, "Alert Rule Action" is on, and its client secret is the gateway's SENTRY_WEBHOOK_SECRET.

Exit codes: 0 success; 1 Sentry rejected a change; 2 wrong usage, address, token or policy; 3 Sentry can't be reached,
or another program answers at its address; 70 a bug in this program; 130 interrupted.
"""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

from contracts.access import check_http_url, check_token
from contracts.command_client import open_http
from contracts.command_line import OK, REFUSED, UNREACHABLE, USAGE, CommandError, printable, run_command, say
from contracts.json_answers import UnusableAnswerError, problem_detail, read_json
from notification_gateway.policy.loading import PolicyError, load_policy
from notification_gateway.sentry_setup.dashboards import dashboards
from notification_gateway.sentry_setup.workflows import workflows

PROJECTS = ("recommender-api", "model-registry", "feature-sync", "notification-gateway", "pipeline")
TIMEOUT = httpx.Timeout(30.0, connect=5.0)
CONFLICT = 409
_UNKNOWN = frozenset({301, 302, 303, 307, 308, 401, 403, 404})
_SLUG = re.compile(r"[A-Za-z0-9_-]{1,100}")
_WATCHED = frozenset({"error", "issue_stream"})


class Sentry:
    """The part of Sentry's API that the setup needs."""

    def __init__(self, url: str, organization: str, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self._http = open_http(f"{url.rstrip('/')}/api/0", headers, TIMEOUT)
        self._organization = organization

    def ensure_project(self, team: str, slug: str) -> tuple[str, str]:
        """Create a project if it doesn't exist; returns its id and its DSN."""
        body = {"name": slug, "slug": slug, "platform": "python"}
        self._call("POST", f"/teams/{self._organization}/{team}/projects/", body, allowed=CONFLICT)
        found = self._call("GET", f"/projects/{self._organization}/{slug}/")
        keys = self._call("GET", f"/projects/{self._organization}/{slug}/keys/")
        key = (
            keys[0] if keys else self._call("POST", f"/projects/{self._organization}/{slug}/keys/", {"name": "recsys"})
        )
        return str(found["id"]), str(key["dsn"]["public"])

    def find_detectors(self, projects: Sequence[str]) -> list[str]:
        """Return the ids of the detectors of errors in projects."""
        found = self._call("GET", f"/organizations/{self._organization}/detectors/", project=list(projects))
        return [str(each["id"]) for each in found if each["type"] in _WATCHED]

    def find_installation(self, slug: str) -> str:
        """Return the installation's id of an integration; raises `CommandError` if there is none."""
        for each in self._call("GET", f"/organizations/{self._organization}/sentry-app-installations/"):
            if each["app"]["slug"] == slug:
                return str(each["uuid"])
        raise CommandError(REFUSED, f"there is no internal integration {slug!r}: create it first (see --help)")

    def create_or_update(self, kind: str, name: str, bodies: Sequence[dict[str, Any]]) -> None:
        """Create each body, or update the existing object with the same value of the property `name`."""
        path = f"/organizations/{self._organization}/{kind}/"
        existing = {each[name]: each["id"] for each in self._call("GET", path, per_page=100)}
        for body in bodies:
            if body[name] in existing:
                self._call("PUT", f"{path}{existing[body[name]]}/", {"id": existing[body[name]], **body})
            else:
                self._call("POST", path, body)

    def _call(self, method: str, path: str, body: Any = None, allowed: int = 0, **parameters: Any) -> Any:
        try:
            response = self._http.request(method, path, json=body, params=parameters)
        except httpx.RequestError as error:
            reason = str(error) or type(error).__name__
            raise CommandError(UNREACHABLE, f"{self._http.base_url} can't be reached: {reason}") from error
        except (httpx.InvalidURL, UnicodeError) as error:
            raise CommandError(USAGE, "--url, --org or --team can't be part of a URL") from error
        if not response.is_success and response.status_code != allowed:
            code = UNREACHABLE if response.is_server_error else USAGE if response.status_code in _UNKNOWN else REFUSED
            raise CommandError(code, f"{method} {path}: HTTP {response.status_code}: {problem_detail(response)}")
        try:
            return read_json(response)
        except UnusableAnswerError as error:
            raise CommandError(UNREACHABLE, str(error)) from error


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return run_command("provision", lambda: _run(arguments))


def _run(arguments: list[str] | None) -> int:
    given = _parser().parse_args(arguments)
    for option, check in _CHECKS.items():
        try:
            check(getattr(given, option))
        except ValueError as error:
            raise CommandError(USAGE, f"{_NAMES.get(option, f'--{option}')}: {error}") from error
    try:
        dsns = _set_up(given)
    except PolicyError as error:
        raise CommandError(USAGE, printable(str(error), given.token)) from error
    except CommandError as error:
        raise CommandError(error.code, printable(str(error), given.token)) from error
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise CommandError(UNREACHABLE, f"{given.url} doesn't answer as Sentry's API does") from error
    say(printable("\n".join(f"SENTRY_DSN of {slug}: {dsn}" for slug, dsn in dsns.items()), given.token))
    return OK


def _set_up(given: argparse.Namespace) -> dict[str, str]:
    policy = load_policy(given.policy)
    sentry = Sentry(given.url, given.org, given.token)
    installation = sentry.find_installation(given.integration)
    projects = {slug: sentry.ensure_project(given.team, slug) for slug in PROJECTS}
    detectors = sentry.find_detectors([project_id for project_id, _ in projects.values()])
    sentry.create_or_update("workflows", "name", workflows(policy, installation, detectors))
    sentry.create_or_update("dashboards", "title", dashboards())
    return {slug: dsn for slug, (_, dsn) in projects.items()}


def _check_slug(value: str) -> str:
    if not _SLUG.fullmatch(value):
        raise ValueError("a slug consists of letters, digits, _ and -")
    return value


_CHECKS: dict[str, Callable[[str], str]] = {
    "url": check_http_url,
    "token": check_token,
    "org": _check_slug,
    "team": _check_slug,
}
_NAMES = {"token": "--token (SENTRY_AUTH_TOKEN)"}


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
