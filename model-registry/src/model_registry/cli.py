"""`registryctl`: the registry from a terminal or a CI job.

Exit codes: 0 done; 1 refused by a check; 2 wrong call, token or file; 3 the registry can't be reached or failed.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx

from contracts.checksums import sha256_of

OK, REFUSED, USAGE, UNREACHABLE = 0, 1, 2, 3
# A deploy fetches, unpacks and asks a bundle before it answers.
TIMEOUT = httpx.Timeout(120.0, connect=5.0)
_REFUSALS = frozenset({409, 422})


class CommandError(Exception):
    """A command didn't do what was asked; `code` is the exit code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Registry:
    """Calls to the registry as the commands need them."""

    def __init__(self, url: str, token: str, author: str | None) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= {"X-Deployed-By": author} if author else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        """Return the answer's body; raises `CommandError`."""
        try:
            response = self._http.request(method, path, **request)
        except httpx.TransportError as error:
            raise CommandError(UNREACHABLE, f"{self._http.base_url} can't be reached: {error}") from error
        if response.is_success:
            body: dict[str, Any] = response.json()
            return body
        code = REFUSED if response.status_code in _REFUSALS else UNREACHABLE if response.is_server_error else USAGE
        raise CommandError(code, f"{response.status_code}: {_detail(response)}")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    given = _parser().parse_args(arguments)
    run: Callable[[Registry, argparse.Namespace], tuple[dict[str, Any], str]] = given.run
    try:
        with closing(Registry(given.url, given.token, given.by)) as registry:
            body, text = run(registry, given)
    except CommandError as error:
        sys.stderr.write(f"registryctl: {error}\n")
        return error.code
    sys.stdout.write((json.dumps(body, indent=2) if given.json else text) + "\n")
    return OK


def _push(registry: Registry, given: argparse.Namespace) -> tuple[dict[str, Any], str]:
    if not given.bundle.is_file():
        raise CommandError(USAGE, f"{given.bundle}: no such file")
    with given.bundle.open("rb") as content:
        pushed = registry.call(
            "POST",
            f"/models/{given.model}/versions",
            files={"bundle": (given.bundle.name, content, "application/gzip")},
            data={"sha256": sha256_of(given.bundle)},
        )
    text = f"{given.model} {pushed['version']} pushed"
    if not given.deploy:
        return pushed, text
    deployed, deploy_text = _put_into_service(registry, given, pushed["version"])
    return {**pushed, "deployment": deployed}, f"{text}\n{deploy_text}"


def _deploy(registry: Registry, given: argparse.Namespace) -> tuple[dict[str, Any], str]:
    return _put_into_service(registry, given, given.version)


def _put_into_service(registry: Registry, given: argparse.Namespace, version: str) -> tuple[dict[str, Any], str]:
    wanted = {
        "version": version,
        "mode": given.mode,
        "rollout": given.rollout,
        "force": given.force,
        "reason": given.reason,
    }
    deployed = registry.call("POST", f"/models/{given.model}/deployments", json=wanted)
    return deployed, f"{given.model} {version} is in service as {deployed['mode']}"


def _roll_back(registry: Registry, given: argparse.Namespace) -> tuple[dict[str, Any], str]:
    wanted = {"mode": given.mode, "reason": given.reason}
    body = registry.call("POST", f"/models/{given.model}/rollback", json=wanted)
    if given.mode != "primary":
        return body, f"{given.model} {body['version']} is no {given.mode} any more"
    return body, f"{given.model} is back at {body['version']} (was {body['previous_version']})"


def _status(registry: Registry, given: argparse.Namespace) -> tuple[dict[str, Any], str]:
    body = registry.call("GET", f"/models/{given.model}/deployments")
    lines = [
        f"{line['created_at']}  {line['version']:>5}  {line['mode']:<8} {line['state']:<12} "
        f"{line['detail'] or line['reason'] or ''}".rstrip()
        for line in body["deployments"]
    ]
    lines += [f"replica {each['replica_id']}: {each['version']} {each['state']}" for each in body["replicas"]]
    return body, "\n".join(lines) or f"nothing of {given.model} was ever deployed"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="registryctl", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", default=os.environ.get("REGISTRY_URL", "http://127.0.0.1:8001"), help="REGISTRY_URL")
    parser.add_argument("--token", default=os.environ.get("REGISTRY_TOKEN", ""), help="REGISTRY_TOKEN")
    parser.add_argument("--model", default=os.environ.get("MODEL_NAME", "ranker"), help="MODEL_NAME")
    parser.add_argument("--by", help="who, for the history")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")
    commands = parser.add_subparsers(required=True, metavar="command")

    def add(name: str, run: Callable[..., object], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text)
        added.set_defaults(run=run)
        return added

    push = add("push", _push, "upload a bundle as the next version")
    push.add_argument("bundle", type=Path)
    push.add_argument("--deploy", action="store_true", help="and put it into service")
    deploy = add("deploy", _deploy, "check a version and put it into service")
    deploy.add_argument("version")
    for each in (push, deploy):
        each.add_argument("--rollout", type=float, default=1.0, help="share of the users that a canary serves")
        each.add_argument("--force", action="store_true", help="override the quality gate")
    roll_back = add("rollback", _roll_back, "put the version before back into service, or end a canary or shadow")
    for each in (push, deploy, roll_back):
        each.add_argument("--mode", choices=["primary", "shadow", "canary"], default="primary")
    add("status", _status, "list the deployments, newest first, and the replicas")
    for each in (push, deploy, roll_back):
        each.add_argument("--reason", help="why, for the history")
    return parser


def _detail(response: httpx.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return response.text[:500]


if __name__ == "__main__":
    sys.exit(main())
