"""210 simulated nights of a sound marketplace: the data checks give hardly a warning, and stop no run."""

import json
import logging
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.results import Goal, Result
from pipeline.demo import DemoSize, generate
from pipeline.demo.extracted import Extracted, extracted_tables, until, write_extracted
from pipeline.errors import DataError
from pipeline.quality import clean
from pipeline.quality.calendar_days import rest_days
from pipeline.quality.cleaning import REPORT
from pipeline.quality.profile import PROFILE, Profile, parse_profile

NIGHTS, SEEDS = 210, 5
# From these days on there is enough data for a first model.
_DAYS_BEFORE = 60
_PROFILES_KEPT = 7
# 210 nights before it hold the Spring Festival, Qingming, Labour Day, Dragon Boat and Mid-Autumn Festival.
END = datetime(2026, 7, 31, 3, tzinfo=UTC)
MOST_WARNINGS = 0.02


@dataclass
class Nights:
    """The results of the nights."""

    nights: int = 0
    with_warning: int = 0
    with_critical: int = 0
    by_check: Counter[str] = field(default_factory=Counter)
    checks: set[str] = field(default_factory=set)


def prove(folder: Path, seed: int) -> list[Result]:
    """Simulate the nights of all seeds."""
    logging.disable(logging.WARNING)
    try:
        found = Nights()
        for number in range(SEEDS):
            simulate(folder, seed + number, NIGHTS, found)
    finally:
        logging.disable(logging.NOTSET)
    return results(found)


def results(found: Nights) -> list[Result]:
    """Return the rates; the last lines are each check's own."""
    total = max(1, found.nights)
    return [
        Result("data checks: nights", found.nights, "nights"),
        Result("data checks: nights with a warning", found.with_warning / total, "share", Goal(most=MOST_WARNINGS)),
        Result("data checks: nights that stop the run", found.with_critical / total, "share", Goal(most=0)),
        *(Result(f"data checks: {name}", found.by_check[name] / total, "share") for name in sorted(found.checks)),
    ]


def simulate(folder: Path, seed: int, nights: int, found: Nights) -> None:
    """Run the checks each night on what the marketplace has by then, with the profiles of the nights before."""
    size = DemoSize(datasets=300 + seed % 3 * 200, users=400, interactions=60_000, days=NIGHTS + _DAYS_BEFORE)
    tables = extracted_tables(generate(size, seed, END, rest_days("china")))
    earlier: list[Profile] = []
    for number in range(nights):
        now = END - timedelta(days=NIGHTS - 1 - number)
        with tempfile.TemporaryDirectory(dir=folder) as night:
            profile = _one_night(Path(night), until(tables, now), now, earlier, found)
        if profile is not None:
            earlier = [*earlier, profile][-_PROFILES_KEPT:]


def _one_night(folder: Path, tables: Extracted, now: datetime, earlier: list[Profile], found: Nights) -> Profile | None:
    extracted, cleaned = folder / "extract", folder / "clean"
    extracted.mkdir()
    cleaned.mkdir()
    write_extracted(tables, extracted)
    found.nights += 1
    try:
        clean(extracted, cleaned, now, earlier=earlier)
    except DataError:
        found.with_critical += 1
    severities = {each["check"]: each["severity"] for each in json.loads((cleaned / REPORT).read_bytes())}
    found.checks |= severities.keys()
    bad = [check for check, severity in severities.items() if severity in ("warning", "critical")]
    found.with_warning += bool(bad)
    found.by_check.update(bad)
    return parse_profile((cleaned / PROFILE).read_bytes())
