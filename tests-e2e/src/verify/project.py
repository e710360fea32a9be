"""The collector's project of `make verify`, beside that of the stack: `deploy/sentry/bootstrap.py` creates both."""

from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import httpx

PROJECT = "verify"


class MissingProjectError(Exception):
    """The collector has no such project: start the stack again, which creates it."""


@dataclass(frozen=True)
class Project:
    """A project of the collector: its number in the API, and the DSN that processes on this host report to."""

    number: str
    dsn: str


def find_project(http: httpx.Client, collector_url: str) -> Project:
    """Return the project by its name; raises `MissingProjectError` and `httpx.HTTPError`.

    The collector's own DSN names the address that it was started with; here it has to be `collector_url`.
    """
    response = http.get("/projects/")
    response.raise_for_status()
    for project in response.json()["results"]:
        if project["name"] == PROJECT:
            number, key = str(project["id"]), urlsplit(project["dsn"]).username
            here = urlsplit(collector_url.rstrip("/"))
            return Project(number, urlunsplit((here.scheme, f"{key}@{here.netloc}", f"{here.path}/{number}", "", "")))
    raise MissingProjectError(f"the collector has no project {PROJECT!r}: start the stack again, which creates it")
