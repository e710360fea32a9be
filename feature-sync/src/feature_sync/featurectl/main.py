"""`featurectl`: feature-sync from a terminal.

Exit codes: 0 done; 1 rejected, the sync failed, or Redis differs from the snapshot; 2 wrong call, address, token, id or
file; 3 feature-sync, Redis or PostgreSQL can't be reached, or another server answers at the address; 70 a fault of this
program; 130 interrupted.
Messages never show the token.
"""

import argparse
import os
import sys
import time
from pathlib import Path

from contracts.access import check_single_line
from contracts.command_client import CommandClient, checked_option
from contracts.command_line import FAULT, OK, REFUSED, USAGE, CommandError, Commands, printable, run_command, say
from contracts.outcomes import OutcomeRate, OutcomeReport
from feature_sync.featurectl import dead_letters
from feature_sync.featurectl.answers import Answer, age_text
from feature_sync.featurectl.client import SLOW, open_client, path_of_user
from feature_sync.forgetting.bodies import ForgottenUser, HeldInteraction, UserState
from feature_sync.snapshots.bodies import SyncJob, Verification
from servicekit.health import Health

_POLL_SECONDS = 0.5
_MAX_SHOWN = 10


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code."""
    return run_command("featurectl", lambda: _run(arguments))


def _run(arguments: list[str] | None) -> int:
    given = _parser().parse_args(arguments)
    with open_client(given.url, given.token) as client:
        if given.run is _export:
            _export(client, given)
            return OK
        answer: Answer = given.run(client, given)
    say(printable(answer.body.model_dump_json(indent=2) if given.json else answer.text, given.token))
    return answer.code


def _status(client: CommandClient, _: argparse.Namespace) -> Answer:
    health = client.call("GET", "/health", Health)
    checks = sorted(health.checks.items())
    lines = [f"{name:<16} {check.status:<9} {check.detail}".rstrip() for name, check in checks]
    return Answer(health, "\n".join([f"{health.service} is {health.status}", *lines]))


def _sync(client: CommandClient, given: argparse.Namespace) -> Answer:
    snapshot = checked_option("SNAPSHOT", check_single_line, given.snapshot)
    job = client.call("POST", "/sync", SyncJob, json={"snapshot": snapshot})
    while job.state in ("queued", "running"):
        time.sleep(_POLL_SECONDS)
        job = client.call("GET", f"/sync/{job.job}", SyncJob)
    if job.state == "failed":
        raise CommandError(REFUSED, printable(f"the sync failed: {job.error}", given.token))
    return Answer(job, f"{job.version} is active: {job.users} users in {job.seconds} s")


def _verify(client: CommandClient, given: argparse.Namespace) -> Answer:
    snapshot = None if given.snapshot is None else checked_option("SNAPSHOT", check_single_line, given.snapshot)
    found = client.call("POST", "/verify", Verification, json={"snapshot": snapshot}, timeout=SLOW)
    if found.matches:
        return Answer(found, f"{found.active} is complete: {found.users} users as in {found.snapshot}")
    if not found.same_content:
        active = "no snapshot is active" if found.active is None else f"{found.active} is active"
        return Answer(found, f"{active}, but {found.snapshot} is {found.expected}: sync it", REFUSED)
    lines = [f"{found.active} differs from {found.snapshot}: {found.keys} keys for {found.users} users"]
    for name in ("missing", "different", "foreign", "unlisted"):
        differences = getattr(found, name)
        if differences.count:
            more = ", …" if differences.count > len(differences.examples) else ""
            lines.append(f"  {differences.count} {name}: {', '.join(differences.examples)}{more}")
    return Answer(found, "\n".join(lines), REFUSED)


def _show(client: CommandClient, given: argparse.Namespace) -> Answer:
    state = client.call("GET", f"{path_of_user(given.user)}/features", UserState)
    lines = [f"user {state.user_id}"]
    if state.live is None:
        lines.append("no live history")
    else:
        lines.append(f"live history: sequence {state.live.sequence}, changed {age_text(state.live.age_seconds)} ago")
        lines += _interactions(state.live.interactions)
    for each in state.snapshots:
        active = "active" if each.is_active else "not active"
        lines.append(f"snapshot {each.version} ({active}): {len(each.features)} features")
        lines += [f"  {name} = {value:g}" for name, value in each.features.items() if value]
        lines += _interactions(each.interactions)
    lines += [f"can't be decoded: {key}" for key in state.malformed_keys]
    return Answer(state, "\n".join(lines))


def _interactions(interactions: list[HeldInteraction]) -> list[str]:
    lines = [f"  {each.type:<9} {each.dataset_id}  {age_text(each.age_seconds)} ago" for each in interactions]
    more = len(lines) - _MAX_SHOWN
    return lines if more <= 0 else [*lines[:_MAX_SHOWN], f"  and {more} more; `--json` has all"]


def _forget(client: CommandClient, given: argparse.Namespace) -> Answer:
    done = client.call("DELETE", path_of_user(given.user), ForgottenUser)
    lines = [f"user {done.user_id} is forgotten: what is from before {done.forgotten_at:%Y-%m-%dT%H:%M:%SZ} stays out"]
    lines += [f"  removed {count} {name.replace('_', ' ')}" for name, count in done.removed if count]
    lines.append("data about the user may remain in:")
    for each in done.remains:
        until = each.ends if each.until is None else f"at the latest at {each.until:%Y-%m-%dT%H:%M:%SZ}: {each.ends}"
        lines.append(f"  {each.name}: {each.what}; ends {until}")
    return Answer(done, "\n".join(lines))


def _export(client: CommandClient, given: argparse.Namespace) -> None:
    """Write the document to a file, whole or not at all, or to stdout."""
    blocks = client.blocks(f"{path_of_user(given.user)}/export")
    if given.output is None:
        try:
            for block in blocks:
                sys.stdout.buffer.write(block)
        except BrokenPipeError:
            return  # the reader has enough
        except OSError as error:
            raise CommandError(FAULT, f"the output can't be written: {error.strerror}") from error
        say("")
        return
    part = given.output.with_name(f"{given.output.name}.part")
    try:
        try:
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.writelines(blocks)
            part.replace(given.output)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise CommandError(USAGE, f"{given.output}: {error.strerror}") from error


def _outcomes(client: CommandClient, given: argparse.Namespace) -> Answer:
    asked = {"version": given.version, "since": given.since, "until": given.until}
    params = {name: value for name, value in asked.items() if value is not None}
    report = client.call("GET", "/outcomes", OutcomeReport, params=params)
    lines = [
        f"exposures from {report.since:%Y-%m-%dT%H:%MZ} to {report.until:%Y-%m-%dT%H:%MZ}, share (95 % interval)",
        f"{'version':<8} {'variant':<8} {'endpoint':<18} {'shown':>9}  {'clicks':<24} {'favorites':<24} purchases",
    ]
    lines += [
        f"{each.model_version or '-':<8} {each.variant or '-':<8} {each.endpoint or '-':<18} {each.exposures:>9}  "
        f"{_rate(each.clicks):<24} {_rate(each.favorites):<24} {_rate(each.purchases)}"
        for each in report.models
    ]
    apart = ", ".join(f"{count} {name}" for name, count in report.unattributed)
    return Answer(report, "\n".join([*lines, f"without an exposure: {apart}"]))


def _rate(rate: OutcomeRate) -> str:
    if rate.rate is None or rate.low is None or rate.high is None:
        return str(rate.count)
    return f"{rate.rate:.2%} ({rate.low:.2%}-{rate.high:.2%})"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="featurectl", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    url = os.environ.get("FEATURE_SYNC_URL", "http://127.0.0.1:8002")
    parser.add_argument("--url", default=url, help="FEATURE_SYNC_URL")
    parser.add_argument("--token", default=os.environ.get("ADMIN_TOKEN", ""), help="ADMIN_TOKEN")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")

    commands = Commands(parser)
    add = commands.add
    add("status", _status, "show the checks of /health")
    sync = add("sync", _sync, "move a snapshot into Redis, and wait for it")
    sync.add_argument("snapshot", help="folder that feature-sync can read, or an fsspec URL")
    outcomes = add("outcomes", _outcomes, "show what came of exposures, by model, variant and endpoint")
    outcomes.add_argument("--version", help="version of the model; without it, all")
    outcomes.add_argument("--since", metavar="MOMENT", help="exposures from the hour of this moment on (7 days)")
    outcomes.add_argument("--until", metavar="MOMENT", help="exposures up to the hour of this moment (now)")
    verify = add("verify", _verify, "compare the active version in Redis with a snapshot")
    verify.add_argument("snapshot", nargs="?", help="as for `sync`; by default that of the last sync that succeeded")
    dead_letters.add_commands(commands)
    show = add("show", _show, "show what Redis holds about a user, decoded")
    forget = add("forget", _forget, "remove all that is stored about a user")
    export = add("export", _export, "write all that is held about a user as JSON")
    export.add_argument("--output", type=Path, metavar="FILE", help="write there instead of to stdout")
    for each in (show, forget, export):
        each.add_argument("user", help="number or text of the user")
    return parser


if __name__ == "__main__":
    sys.exit(main())
