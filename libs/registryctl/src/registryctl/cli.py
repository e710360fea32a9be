"""`registryctl`: the registry from a terminal or a CI job.

Exit codes: 0 done; 1 rejected by a check, or not served by all replicas after `--wait`; 2 wrong call, address, token or
file; 3 the registry can't be reached or failed, or another server answers at its address; 70 a fault of this program;
130 interrupted. Messages never show the token.
"""

import argparse
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC
from pathlib import Path
from typing import Any, get_args

import httpx

from contracts.access import check_http_url, check_single_line, check_token
from contracts.command_client import checked_option, exit_code_of, open_http
from contracts.command_line import OK, UNREACHABLE, USAGE, CommandError, Commands, printable, run_command, say
from contracts.deployments import (
    DeploymentMode,
    DeploymentReceipt,
    DeploymentRecord,
    DeploymentRequest,
    ReplicaStatus,
    RollbackRequest,
)
from contracts.model_versions import MODEL_NAME, MODEL_VERSION, VERSION_OR_ALIAS
from contracts.person_names import check_name, encode_name
from contracts.registry.client import RegistryClient
from contracts.registry.errors import RegistryAnswerError, RegistryRejectedError, RegistryUnreachableError
from contracts.retention import RetentionRequest
from contracts.text import is_visible
from registryctl import audit_history, label_commands, token_commands
from registryctl.deployment_wait import DEFAULT_SECONDS, wait_until_served

# A deployment fetches, unpacks and checks a bundle before it answers.
TIMEOUT = httpx.Timeout(120.0, connect=5.0)
_MAX_REASON = 1000


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code."""
    return run_command("registryctl", lambda: _run(arguments))


def _run(arguments: list[str] | None) -> int:
    given = _parser().parse_args(arguments)
    run: Callable[[RegistryClient, argparse.Namespace], tuple[dict[str, Any], str]] = given.run
    try:
        _check(given)
        with _registry(given.url, given.token, given.by, given.model) as registry:
            body, text = run(registry, given)
    except CommandError as error:
        # A proxy's page may repeat the request's headers.
        raise CommandError(error.code, printable(str(error), given.token)) from error
    say(printable(json.dumps(body, indent=2) if given.json else text, given.token))
    return OK


@contextmanager
def _registry(url: str, token: str, author: str | None, model: str) -> Iterator[RegistryClient]:
    """Give a client of the registry; what it raises becomes a `CommandError` with the exit code."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    headers |= {"X-Deployed-By": encode_name(author)} if author else {}
    try:
        with open_http(url, headers, TIMEOUT) as http:
            yield RegistryClient(http.request, model)
    except RegistryUnreachableError as error:
        raise CommandError(UNREACHABLE, f"{url} can't be reached: {error.reason}") from error
    except RegistryRejectedError as error:
        raise CommandError(exit_code_of(error.status), f"{error.status}: {error.detail}") from error
    except RegistryAnswerError as error:
        raise CommandError(UNREACHABLE, str(error)) from error
    except (httpx.InvalidURL, UnicodeError) as error:
        raise CommandError(USAGE, "--url (REGISTRY_URL) can't be used as a URL") from error


def _check(given: argparse.Namespace) -> None:
    """Validate the arguments before they are used; `given.by` becomes the name without white space around it."""
    checked_option("--url (REGISTRY_URL)", check_http_url, given.url)
    if given.token:
        checked_option("--token (REGISTRY_TOKEN)", check_token, given.token)
    checked_option("--model (MODEL_NAME)", _check_model, given.model)
    if given.by is not None:
        given.by = checked_option("--by", check_name, given.by)
    if getattr(given, "version", None) is not None:
        checked_option("VERSION", _check_version_or_alias, given.version)
    for option in ("expected_active", "expected", "before"):
        if getattr(given, option, None) is not None:
            checked_option(f"--{option.replace('_', '-')}", _check_version, getattr(given, option))
    if getattr(given, "reason", None) is not None:
        checked_option("--reason", _check_reason, given.reason)
    if getattr(given, "force", False) and not is_visible(given.reason or ""):
        raise CommandError(USAGE, "--force needs --reason, which the history keeps")
    if hasattr(given, "rollout"):
        _check_rollout(given.mode, given.rollout)


def _check_rollout(mode: str, rollout: float | None) -> None:
    if mode == "canary" and rollout is None:
        raise CommandError(USAGE, "--rollout: a canary needs the share of the users that it serves, from 0 to 1")
    if mode != "canary" and rollout not in (None, 1.0):
        raise CommandError(USAGE, f"--rollout: a {mode} has none, only a canary serves a share of the users")


def _check_model(value: str) -> str:
    if not re.fullmatch(MODEL_NAME, value):
        raise ValueError("a model's name is a lower-case letter, then letters, digits, _ and -")
    return value


def _check_version(value: str) -> str:
    if not re.fullmatch(MODEL_VERSION, value):
        raise ValueError("a version is a whole number, as `registryctl status` shows it")
    return value


def _check_version_or_alias(value: str) -> str:
    if not re.fullmatch(VERSION_OR_ALIAS, value):
        raise ValueError("a version is a whole number, as `registryctl status` shows it, or the name of an alias")
    return value


def _check_reason(value: str) -> str:
    if len(value) > _MAX_REASON:
        raise ValueError(f"at most {_MAX_REASON} characters")
    return check_single_line(value)


def _push(registry: RegistryClient, given: argparse.Namespace) -> tuple[dict[str, Any], str]:
    try:
        if not given.bundle.is_file():
            raise CommandError(USAGE, f"{given.bundle}: no such file")
        if given.evaluation is not None and not given.evaluation.is_file():
            raise CommandError(USAGE, f"{given.evaluation}: no such file")
        pushed = registry.push(given.bundle, given.evaluation)
    except OSError as error:
        raise CommandError(USAGE, f"{error.filename or given.bundle}: {error.strerror}") from error
    body, text = pushed.model_dump(mode="json"), f"{given.model} {pushed.version} pushed"
    if not given.deploy:
        return body, text
    deployed, deploy_text = _put_into_service(registry, given, pushed.version)
    return {**body, "deployment": deployed}, f"{text}\n{deploy_text}"


def _deploy(registry: RegistryClient, given: argparse.Namespace) -> tuple[dict[str, Any], str]:
    return _put_into_service(registry, given, given.version)


def _put_into_service(registry: RegistryClient, given: argparse.Namespace, version: str) -> tuple[dict[str, Any], str]:
    deployed = registry.deploy(
        DeploymentRequest(
            version=version,
            mode=given.mode,
            rollout=given.rollout,
            force=given.force,
            expected_active=given.expected_active,
            reason=given.reason,
        )
    )
    text = f"{given.model} {deployed.version} is in service as {deployed.mode}"
    return _await_replicas(registry, given, deployed, text)


def _await_replicas(
    registry: RegistryClient, given: argparse.Namespace, receipt: DeploymentReceipt, text: str
) -> tuple[dict[str, Any], str]:
    """Return the receipt and what is said; with `--wait` after all replicas serve the deployment."""
    body = receipt.model_dump(mode="json")
    if given.wait is None:
        return body, text
    names = wait_until_served(registry, receipt, given.wait)
    return {**body, "replicas": names}, f"{text}\nall {len(names)} replicas serve it: {', '.join(names)}"


def _roll_back(registry: RegistryClient, given: argparse.Namespace) -> tuple[dict[str, Any], str]:
    receipt = registry.roll_back(
        RollbackRequest(mode=given.mode, expected_active=given.expected_active, reason=given.reason)
    )
    if given.mode != "primary":
        return receipt.model_dump(mode="json"), f"{given.model} {receipt.version} is no {given.mode} any more"
    text = f"{given.model} is rolled back to {receipt.version} (was {receipt.previous_version})"
    return _await_replicas(registry, given, receipt, text)


def _status(registry: RegistryClient, given: argparse.Namespace) -> tuple[dict[str, Any], str]:
    history = registry.history()
    lines = [_history_line(each) for each in history.deployments]
    lines += [_replica_line(each) for each in history.replicas]
    return history.model_dump(mode="json"), "\n".join(lines) or f"nothing of {given.model} was ever deployed"


def _history_line(line: DeploymentRecord) -> str:
    at = f"{line.created_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    author = line.deployed_by or "-"
    return f"{at}  {line.version:>5}  {line.mode:<8} {line.state:<12} {author:<16} {_one_line(line)}".rstrip()


def _replica_line(replica: ReplicaStatus) -> str:
    # A replica of the release before names no deployment.
    deployment = "" if replica.deployment_id is None else f" (deployment {replica.deployment_id})"
    error = f": {' '.join(replica.error.split())}" if replica.error else ""
    version = replica.version or "-"
    return f"replica {replica.replica_id}: {version:>5}  {replica.mode:<8} {replica.state}{deployment}{error}"


def _one_line(line: DeploymentRecord) -> str:
    return " ".join((line.detail or line.reason or "").split())


def _retention(registry: RegistryClient, given: argparse.Namespace) -> tuple[dict[str, Any], str]:
    report = registry.apply_retention(RetentionRequest(dry_run=not given.apply))
    done = "would be removed; `--apply` removes them" if report.dry_run else "are removed"
    total = len(report.removed) + len(report.kept)
    head = f"{len(report.removed)} of {total} versions of {given.model} ({_mib(report.bytes_removed)}) {done}"
    lines = [f"remove {each.version:>5}  pushed {each.created_at:%Y-%m-%d}" for each in report.removed]
    lines += [f"keep   {each.version:>5}  {', '.join(each.reasons)}" for each in report.kept]
    if report.files_left:
        lines.append(f"{report.files_left} files could not be deleted: the registry tries again")
    return report.model_dump(mode="json"), "\n".join([head, *lines])


def _history(registry: RegistryClient, given: argparse.Namespace) -> tuple[dict[str, Any], str]:
    def open_service(url: str) -> AbstractContextManager[RegistryClient]:
        return _registry(url, given.token, None, given.model)

    return audit_history.show(registry, given.limit, given.also, open_service)


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="registryctl", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", default=os.environ.get("REGISTRY_URL", "http://127.0.0.1:8001"), help="REGISTRY_URL")
    parser.add_argument("--token", default=os.environ.get("REGISTRY_TOKEN", ""), help="REGISTRY_TOKEN")
    parser.add_argument("--model", default=os.environ.get("MODEL_NAME", "ranker"), help="MODEL_NAME")
    parser.add_argument("--by", metavar="NAME", help="author for the history; a name in any script")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")
    commands = Commands(parser)
    add = commands.add
    push = add("push", _push, "upload a bundle as the next version")
    push.add_argument("bundle", type=Path)
    push.add_argument("--deploy", action="store_true", help="and deploy it")
    push.add_argument(
        "--evaluation", type=Path, metavar="FILE", help="the run's evaluation.zip, by which the gate compares versions"
    )
    deploy = add("deploy", _deploy, "check a version and deploy it")
    deploy.add_argument("version")
    for each in (push, deploy):
        each.add_argument("--rollout", type=_share, help="share of the users that the canary serves")
        each.add_argument("--force", action="store_true", help="override the quality gate; needs --reason")
    roll_back = add("rollback", _roll_back, "deploy the previous version again, or end a canary or shadow")
    for each in (push, deploy, roll_back):
        each.add_argument("--mode", choices=get_args(DeploymentMode), default="primary")
        each.add_argument(
            "--wait",
            nargs="?",
            type=_seconds,
            const=DEFAULT_SECONDS,
            metavar="SECONDS",
            help=f"wait until all live replicas serve it ({DEFAULT_SECONDS:g} s by default); exit code 1 if they don't",
        )
    add("status", _status, "list the deployments, newest first, and the replicas")
    retention = add("retention", _retention, "list the versions that nothing keeps, and why the others are kept")
    retention.add_argument("--apply", action="store_true", help="remove the bundles of those versions")
    audit_history.add_arguments(add("history", _history, "list who changed what, with which token, and why"))
    label_commands.add_commands(commands)
    token_commands.add_commands(commands.group("tokens", "create, list, rotate and revoke named tokens"))
    for each in (push, deploy, roll_back):
        each.add_argument("--reason", help="reason for the history")
        each.add_argument(
            "--expected-active", metavar="VERSION", help="change nothing unless this version is in service"
        )
    return parser


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError("seconds are a number from 0 on")
    return value


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError("a share is a number from 0 to 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
