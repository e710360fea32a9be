"""`python -m verify`: cause a real fault for every monitoring point, find it in the collector, print a table of ✓."""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex

import httpx
from pydantic import ValidationError

from monitoring import catalogue
from notification_gateway.policy.loading import PolicyError, load_policy
from notification_gateway.policy.model import Policy
from verify.alerts import Alert, AlertReader
from verify.collector import CollectorReader
from verify.fault_lab import FaultLab
from verify.faults import FAULTS, Fault, Raised
from verify.project import MissingProjectError
from verify.settings import Settings
from verify.table import table
from verify.verdicts import Verdict, grouped, judge

UNUSABLE, MISSED = 2, 1
# Two cores have no more capacity.
AT_ONCE = 3
WAIT_SECONDS = 30.0
_POLL_SECONDS = 0.5


def main() -> int:
    """Return 0 if every point is as expected, 1 if one is not, 2 if the run is impossible."""
    parser = argparse.ArgumentParser(prog="python -m verify", description=__doc__)
    parser.add_argument("--only", metavar="POINT", choices=sorted(_points()), help="one point")
    parser.add_argument("--wait", metavar="SECONDS", type=float, default=WAIT_SECONDS, help="for the last event")
    given = parser.parse_args()
    try:
        settings = Settings()  # type: ignore[call-arg] # from the environment
    except ValidationError as error:
        missing = ", ".join(str(each["loc"][0]).upper() for each in error.errors(include_input=False))
        return _unusable(f"{missing}: not set, or unusable (the native stack's are printed by `make env`)")
    began = datetime.now(UTC)
    run = f"verify-{began:%Y%m%dT%H%M%S}-{token_hex(3)}"
    policy = _read_policy(settings)
    if policy is None:
        settings = settings.model_copy(update={"alert_policy": None})
    with closing(CollectorReader(settings, run, began)) as collector:
        try:
            dsn = collector.project.dsn
        except (httpx.HTTPError, MissingProjectError) as error:
            return _unusable(f"the collector at {settings.collector_url} cannot be used: {error}")
        faults = [fault for fault in FAULTS if given.only in (None, *fault.raises)]
        with tempfile.TemporaryDirectory(prefix="verify-") as folder:
            ended = _fire(faults, [FaultLab(Path(folder) / fault.name, run, settings, dsn) for fault in faults])
        points = [given.only] if given.only else _points()
        verdicts = _wait(points, collector, AlertReader(settings.gateway_url, began, ended), policy, given.wait)
    sys.stdout.write(table(verdicts, _raised()) + "\n")
    _say(f"it took {(datetime.now(UTC) - began).total_seconds():.0f} s")
    return 0 if grouped(verdicts) and all(verdict.ok for verdict in verdicts) else MISSED


def _read_policy(settings: Settings) -> Policy | None:
    if settings.alert_policy is None:
        return None
    try:
        return load_policy(settings.alert_policy)
    except PolicyError as error:
        _say(f"alerts are not compared with the policy: {error}")
        return None


def _points() -> list[str]:
    return [point.id for point in catalogue.load_reported()]


def _raised() -> dict[str, Raised]:
    return {point: raised for fault in FAULTS for point, raised in fault.raises.items()}


def _fire(faults: Sequence[Fault], labs: Sequence[FaultLab]) -> list[Alert]:
    """Fire each fault in its lab, and return the incidents of the gateways that ended with their labs."""

    def fire(fault: Fault, lab: FaultLab) -> None:
        began = time.monotonic()
        lab.folder.mkdir()
        try:
            fault.fire(lab)
        except Exception as error:  # noqa: BLE001 - the others go on; what was not raised is missed at the end
            _say(f"{fault.name}: {type(error).__name__}: {error}")
        else:
            _say(f"{fault.name}: {', '.join(fault.raises)} fired in {time.monotonic() - began:.1f} s")

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(fire, faults, labs))
    return [Alert(shown) for lab in labs for shown in lab.alerts]


def _wait(
    points: Sequence[str], collector: CollectorReader, alerts: AlertReader, policy: Policy | None, seconds: float
) -> list[Verdict]:
    """Return the verdicts once all are good, or after `seconds`."""
    raised, catalogued = _raised(), catalogue.load_reported().by_id()
    deadline = time.monotonic() + seconds
    while True:
        try:
            events, known = collector.events(), alerts.read()
        except httpx.HTTPError as error:
            _say(str(error))
            events, known = [], {}
        verdicts = [judge(catalogued[point], raised[point], events, known, policy) for point in points]
        if all(verdict.ok for verdict in verdicts) or time.monotonic() > deadline:
            return verdicts
        time.sleep(_POLL_SECONDS)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _unusable(text: str) -> int:
    _say(f"verify: {text}")
    return UNUSABLE


if __name__ == "__main__":
    sys.exit(main())
