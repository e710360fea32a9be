"""`registryctl`: the registry from a terminal or a CI job.

Exit codes: 0 done; 1 rejected by a check, or not served by all replicas after `--wait`; 2 wrong call, address, token or
file; 3 the registry can't be reached or failed, or another server answers at its address; 70 a fault of this program;
130 interrupted. Messages never show the token.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC
from pathlib import Path
from typing import Any, get_args

import httpx

from contracts.command_client import exit_code_of, open_http
from contracts.command_line import OK, UNREACHABLE, USAGE, CommandError, Commands, printable, run_command, say
from contracts.deployments import (
    DeploymentMode,
    DeploymentReceipt,
    DeploymentRecord,
    DeploymentRequest,
    ReplicaStatus,
    RollbackRequest,
)
from contracts.person_names import encode_name
from contracts.registry.client import RegistryClient
from contracts.registry.errors import RegistryAnswerError, RegistryRejectedError, RegistryUnreachableError
from contracts.retention import RetentionRequest
from contracts.version_labels import CANDIDATE
from registryctl import (
    audit_history,
    label_commands,
    mlflow_folder,
    promotion,
    rollout_commands,
    signing,
    token_commands,
    webhook_commands,
)
from registryctl.arguments import check_arguments, compared_version, seconds, share
from registryctl.deployment_wait import DEFAULT_SECONDS, wait_until_served

# A deployment fetches, unpacks and checks a bundle before it answers.
TIMEOUT = httpx.Timeout(120.0, connect=5.0)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code."""
    return run_command("registryctl", lambda: _run(arguments))


def _run(arguments: list[str] | None) -> int:
    given = _parser().parse_args(arguments)
    run: Callable[[RegistryClient, argparse.Namespace], tuple[dict[str, Any], str]] = given.run
    secrets = (given.token, getattr(given, "to_token", None) or "")
    try:
        check_arguments(given)
        with _registry(given.url, given.token, given.by, given.model) as registry:
            body, text = run(registry, given)
    except CommandError as error:
        # A proxy's page may repeat the request's headers.
        raise CommandError(error.code, printable(str(error), *secrets)) from error
    say(printable(json.dumps(body, indent=2) if given.json else text, *secrets))
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


def _push(registry: RegistryClient, given: argparse.Namespace) -> tuple[dict[str, Any], str]:
    try:
        if not given.bundle.is_file():
            raise CommandError(USAGE, f"{given.bundle}: no such file")
        if given.evaluation is not None and not given.evaluation.is_file():
            raise CommandError(USAGE, f"{given.evaluation}: no such file")
        pushed = registry.push(given.bundle, given.evaluation, signer=signing.signer_of(given))
    except OSError as error:
        raise CommandError(USAGE, f"{error.filename or given.bundle}: {error.strerror}") from error
    body, text = pushed.model_dump(mode="json"), f"{given.model} {pushed.version} pushed"
    if not given.deploy:
        return body, text
    deployed, deploy_text = _put_into_service(registry, given, pushed.version)
    return {**body, "deployment": deployed}, f"{text}\n{deploy_text}"


def _deploy(registry: RegistryClient, given: argparse.Namespace) -> tuple[dict[str, Any], str]:
    return _put_into_service(registry, given, given.version)


def _promote(registry: RegistryClient, given: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Make a version champion, or copy it to another registry and make it champion there."""
    if given.to is None:
        return _make_champion(registry, given, given.version)
    try:
        with tempfile.TemporaryDirectory(prefix="registryctl-") as folder:
            fetched = promotion.fetch(registry, given.version, Path(folder))
            evaluation, missing = given.evaluation, None
            if evaluation is None:
                evaluation, missing = promotion.fetch_evaluation(registry, fetched)
            else:
                promotion.check_evaluation(fetched, evaluation)
            with _registry(given.to, given.to_token or "", given.by, given.model) as target:
                pushed = promotion.push(target, fetched, evaluation)
                body = pushed.model_dump(mode="json") | {"missing_evaluation": missing}
                text = f"{given.model} {fetched.detail.version} is version {pushed.version} of {given.to}"
                text += f", without its evaluation part ({missing}); give it by --evaluation" if missing else ""
                if not given.deploy:
                    return body, text
                deployed, deploy_text = _make_champion(target, given, pushed.version)
                return {**body, "deployment": deployed}, f"{text}\n{deploy_text}"
    except OSError as error:
        raise CommandError(USAGE, f"{error.filename}: {error.strerror}") from error


def _make_champion(registry: RegistryClient, given: argparse.Namespace, version: str) -> tuple[dict[str, Any], str]:
    body, text = _put_into_service(registry, given, version)
    return body, f"{text}\n{promotion.name_champion(registry, body['version'], given.reason)}"


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
    signing.add_argument(push)
    deploy = add("deploy", _deploy, "check a version and deploy it")
    deploy.add_argument("version")
    compare = add("compare", promotion.compare, "compare two versions on the same queries, by their evaluation parts")
    compare.add_argument("first", type=compared_version)
    compare.add_argument("second", type=compared_version)
    promote = add("promote", _promote, "deploy a version and name it champion, or copy it to another registry")
    promote.add_argument("version", nargs="?", default=CANDIDATE, help="version or alias; `candidate` by default")
    promote.add_argument("--to", metavar="URL", help="copy it to the registry at this address")
    promote.add_argument(
        "--to-token",
        default=os.environ.get("PROMOTE_TOKEN") or None,
        help="token of the other registry (PROMOTE_TOKEN)",
    )
    promote.add_argument("--deploy", action="store_true", help="with --to: and deploy it there, as champion")
    promote.add_argument(
        "--evaluation",
        type=Path,
        metavar="FILE",
        help="with --to: the run's evaluation.zip, if the registry does not return it",
    )
    promote.set_defaults(mode="primary", rollout=None)
    promote.add_argument("--force", action="store_true", help="override the quality gate; needs --reason")
    for each in (push, deploy):
        each.add_argument("--rollout", type=share, help="share of the users that the canary serves")
        each.add_argument("--force", action="store_true", help="override the quality gate; needs --reason")
    roll_back = add("rollback", _roll_back, "deploy the previous version again, or end a canary or shadow")
    for each in (push, deploy, roll_back):
        each.add_argument("--mode", choices=get_args(DeploymentMode), default="primary")
    for each in (push, deploy, roll_back, promote):
        each.add_argument(
            "--wait",
            nargs="?",
            type=seconds,
            const=DEFAULT_SECONDS,
            metavar="SECONDS",
            help=f"wait until all live replicas serve it ({DEFAULT_SECONDS:g} s by default); exit code 1 if they don't",
        )
    rollout_commands.add_arguments(add("rollout", rollout_commands.run, "roll a version out step by step"))
    add("status", _status, "list the deployments, newest first, and the replicas")
    retention = add("retention", _retention, "list the versions that nothing keeps, and why the others are kept")
    retention.add_argument("--apply", action="store_true", help="remove the bundles of those versions")
    audit_history.add_arguments(add("history", _history, "list who changed what, with which token, and why"))
    label_commands.add_commands(commands)
    mlflow_folder.add_commands(commands)
    webhook_commands.add_commands(commands.group("webhooks", "add, list and remove addresses that are told of changes"))
    token_commands.add_commands(commands.group("tokens", "create, list, rotate and revoke named tokens"))
    for each in (push, deploy, roll_back, promote):
        each.add_argument("--reason", help="reason for the history")
        each.add_argument(
            "--expected-active", metavar="VERSION", help="change nothing unless this version is in service"
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
