"""Data that goes wrong is found by a check of the right name and severity; sound data is found nothing of."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from data_mutations import END, MUTATIONS, Mutation, scaled_everywhere
from monitoring import testing
from pipeline.demo import DemoSize, generate
from pipeline.demo.extracted import Extracted, extracted_tables, until, write_extracted
from pipeline.errors import DataError
from pipeline.quality import clean
from pipeline.quality.profile import PROFILE, Profile, parse_profile


@dataclass(frozen=True)
class Checked:
    """What the checks said, and whether the run was stopped."""

    severities: dict[str, str]
    stopped: bool
    profile: Profile


def check(tables: Extracted, folder: Path, earlier: Sequence[Profile] = (), days_ago: int = 0) -> Checked:
    extracted, cleaned = folder / "extract", folder / "clean"
    extracted.mkdir(parents=True)
    cleaned.mkdir()
    write_extracted(tables, extracted)
    stopped = False
    try:
        clean(extracted, cleaned, END - timedelta(days=days_ago), earlier=earlier)
    except DataError:
        stopped = True
    report = json.loads((cleaned / "report.json").read_bytes())
    assert (cleaned / "interactions.parquet").exists() is not stopped
    profile = parse_profile((cleaned / PROFILE).read_bytes())
    assert profile is not None
    return Checked({each["check"]: each["severity"] for each in report}, stopped, profile)


def bad(checked: Checked) -> dict[str, str]:
    return {name: severity for name, severity in checked.severities.items() if severity != "ok"}


@pytest.fixture(scope="module")
def sound() -> Extracted:
    """A sound data set of 300 datasets and 12,000 interactions."""
    return extracted_tables(generate(DemoSize(datasets=300, users=200, interactions=12_000), seed=7, end=END))


@pytest.fixture(scope="module")
def earlier(sound: Extracted, tmp_path_factory: pytest.TempPathFactory) -> list[Profile]:
    """The profiles of the three nights before."""
    folder = tmp_path_factory.mktemp("earlier")
    nights = [(day, until(sound, END - timedelta(days=day))) for day in (3, 2, 1)]
    return [check(tables, folder / str(day), days_ago=day).profile for day, tables in nights]


def test_the_list_covers_enough_ways() -> None:
    names = [mutation.name for mutation in MUTATIONS]
    assert len(names) == len(set(names)) >= 60


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_mutation_is_found_and_stops_the_run_where_it_is_critical(
    mutation: Mutation, sound: Extracted, earlier: list[Profile], tmp_path: Path
) -> None:
    mutated = mutation.mutate(sound, np.random.default_rng(11))
    with testing.captured() as reports:
        checked = check(mutated, tmp_path, earlier if mutation.needs_history else ())
    assert checked.severities[mutation.check] == mutation.severity, bad(checked)
    assert checked.stopped is ("critical" in checked.severities.values())
    level = {"critical": "error", "warning": "warning", "info": "info"}[mutation.severity]
    assert (("data_quality", mutation.check), level) in {(each.fingerprint, each.level) for each in reports}


def test_comparisons_only_watch_until_enough_runs_are_known(
    sound: Extracted, earlier: list[Profile], tmp_path: Path
) -> None:
    mutated = scaled_everywhere(100.0)(sound, np.random.default_rng(11))
    for known, severity in ((0, "ok"), (2, "ok"), (3, "critical")):
        assert check(mutated, tmp_path / str(known), earlier[:known]).severities["drift.price"] == severity


@pytest.mark.parametrize(
    ("size", "seed"),
    [
        *((DemoSize(100, 50, 1_000), seed) for seed in range(4)),
        *((DemoSize(300, 200, 12_000), seed) for seed in range(2)),
        (DemoSize(2_000, 1_000, 40_000), 1),
    ],
    ids=str,
)
def test_sound_data_has_no_finding(size: DemoSize, seed: int, tmp_path: Path) -> None:
    tables = extracted_tables(generate(size, seed, END))
    assert bad(check(tables, tmp_path / "first")) == {}
    nights = [
        check(until(tables, END - timedelta(days=day)), tmp_path / str(day), days_ago=day).profile for day in (3, 2, 1)
    ]
    assert bad(check(tables, tmp_path / "last", nights)) == {}
