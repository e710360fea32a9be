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
from verify.alerts import read_alerts
from verify.collector import CollectorReader
from verify.fault_lab import FaultLab
from verify.faults import FAULTS, Fault, Raised
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
    run = f"verify-{datetime.now(UTC):%Y%m%dT%H%M%S}-{token_hex(3)}"
    faults = [fault for fault in FAULTS if given.only in (None, *fault.raises)]
    with closing(CollectorReader(settings, run, datetime.now(UTC))) as collector:
        try:
            collector.events()
        except httpx.HTTPError as error:
            return _unusable(f"the collector at {settings.collector_url} cannot be read: {error}")
        with tempfile.TemporaryDirectory(prefix="verify-") as folder:
            _fire(faults, Path(folder), run, settings)
        points = [given.only] if given.only else _points()
        verdicts = _wait(points, collector, settings.gateway_url, given.wait)
    sys.stdout.write(table(verdicts, _raised()) + "\n")
    return 0 if grouped(verdicts) and all(verdict.ok for verdict in verdicts) else MISSED


def _points() -> list[str]:
    return [point.id for point in catalogue.load_reported()]


def _raised() -> dict[str, Raised]:
    return {point: raised for fault in FAULTS for point, raised in fault.raises.items()}


def _fire(faults: Sequence[Fault], folder: Path, run: str, settings: Settings) -> None:
    def fire(fault: Fault) -> None:
        began = time.monotonic()
        home = folder / fault.name
        home.mkdir()
        try:
            fault.fire(FaultLab(home, run, settings))
        except Exception as error:  # noqa: BLE001 - the others go on; what was not raised is missed at the end
            _say(f"{fault.name}: {type(error).__name__}: {error}")
        else:
            _say(f"{fault.name}: {', '.join(fault.raises)} fired in {time.monotonic() - began:.1f} s")

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(fire, faults))


def _wait(points: Sequence[str], collector: CollectorReader, gateway: str | None, seconds: float) -> list[Verdict]:
    """Return the verdicts once all are good, or after `seconds`."""
    raised, catalogued = _raised(), catalogue.load_reported().by_id()
    deadline = time.monotonic() + seconds
    while True:
        try:
            events, known = collector.events(), None if gateway is None else read_alerts(gateway)
        except httpx.HTTPError as error:
            _say(str(error))
            events, known = [], {}
        verdicts = [judge(catalogued[point], raised[point], events, known) for point in points]
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
