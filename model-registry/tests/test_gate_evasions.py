"""Parts that measure nothing, take for ever or claim a later time do not get a version through the gate."""

import re
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from evaluated_versions import EvaluatedVersions, base_part, part_of

from contracts.checksums import sha256_of
from contracts.moments import CLOCK_AHEAD
from model_registry.evaluations import queries
from model_registry.sandbox.client import Receive, Sandbox
from model_registry.tables import SCHEMA, versions
from ranking.evaluation import EvaluationPart
from refresh_bundles import archive, pushed
from running_registry import RunningRegistry
from servicekit.database import open_database

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
Change = Callable[[EvaluationPart], EvaluationPart]


@pytest.fixture(scope="module")
def small() -> EvaluationPart:
    return base_part(800)


@pytest.fixture
def evaluated(registry: RunningRegistry, tmp_path: Path) -> EvaluatedVersions:
    return EvaluatedVersions(registry, tmp_path)


def store_unchecked(registry: RunningRegistry, version: str, part: Path, cut: datetime) -> None:
    """Give a version a part as an earlier release did, which checked less."""
    sha256 = sha256_of(part)
    folder = registry.stored(version).parent
    shutil.copy(part, folder / f"{sha256}.evaluation.zip")
    engine = open_database(registry.settings.database_url.get_secret_value(), SCHEMA)
    with engine.begin() as connection:
        summary = {"name": "ranker", "run_id": "run", "cut": cut.isoformat(), "queries": 800, "ndcg@10": 0.1}
        queries.put(connection, "ranker", int(version), sha256, summary)
    engine.dispose()


def with_hidden_answers(part: EvaluationPart) -> EvaluationPart:
    counts = np.ones(len(part.queries), np.int64)
    return replace(part, queries=replace(part.queries, hidden_counts=counts, hidden=part.queries.answer))


def without_findable_answers(part: EvaluationPart) -> EvaluationPart:
    # The cold dataset, which no channel proposes among the best.
    cold = np.full(len(part.queries), len(part.twin.ids) - 1, np.int32)
    return replace(part, queries=replace(part.queries, answer=cold))


def in_the_future(part: EvaluationPart) -> EvaluationPart:
    cut = datetime.now(UTC) + CLOCK_AHEAD + timedelta(days=1)
    return replace(part, manifest=part.manifest.model_copy(update={"cut": cut}))


def with_wide_content(part: EvaluationPart) -> EvaluationPart:
    return replace(part, twin=replace(part.twin, content=np.zeros((len(part.twin.ids), 257), np.float32)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_hidden_answers, "evaluation: hidden.bin: the answer of a query is hidden"),
        (in_the_future, "evaluation: manifest.json: cut: lies in the future"),
        (with_wide_content, "evaluation: content.bin: 257 numbers a row, at most 256 are allowed"),
    ],
)
def test_a_part_that_would_blunt_or_block_the_gate_is_rejected_when_it_is_pushed(
    registry: RunningRegistry, evaluated: EvaluatedVersions, small: EvaluationPart, change: Change, message: str
) -> None:
    version = evaluated.push(None)
    answer = registry.put_evaluation(version, evaluated.write(part_of("run-1", change(small))))
    assert (answer.status_code, message in answer.json()["detail"]) == (422, True), answer.text


def test_parts_with_a_later_cut_that_measure_nothing_neither_block_nor_open_the_gate(
    registry: RunningRegistry, evaluated: EvaluatedVersions, small: EvaluationPart
) -> None:
    active, good, bad, unmeasured = (evaluated.push(None) for _ in range(4))
    assert registry.deploy(active).status_code == 201
    for version, part in ((good, small), (bad, part_of("run-3", small, share=1.0))):
        written = evaluated.write(part_of(f"run-{version}", part))
        assert registry.put_evaluation(version, written).status_code == 200
    later = in_the_future(without_findable_answers(small))
    store_unchecked(registry, active, evaluated.write(part_of("run-9", later)), later.manifest.cut)
    assert registry.deploy(good).status_code == 201
    answer = registry.deploy(bad)
    assert (answer.status_code, f"against version {good}" in answer.json()["detail"]) == (409, True), answer.text

    store_unchecked(registry, unmeasured, evaluated.write(part_of("run-8", later)), later.manifest.cut)
    answer = registry.deploy(unmeasured)
    assert "is not evaluated: the cut of its part lies in the future" in answer.json()["detail"]
    blank = replace(
        without_findable_answers(small),
        manifest=small.manifest.model_copy(update={"cut": small.manifest.cut + timedelta(days=1)}),
    )
    fresh = evaluated.push(None)
    written = evaluated.write(part_of(f"run-{fresh}", blank))
    assert registry.put_evaluation(fresh, written).status_code == 200
    answer = registry.deploy(fresh)
    assert (answer.status_code, "neither model finds an answer" in answer.json()["detail"]) == (409, True), answer.text


def test_a_slow_comparison_names_what_was_scored_and_blames_no_part(
    registry: RunningRegistry,
    evaluated: EvaluatedVersions,
    sandbox: Sandbox,
    small: EvaluationPart,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    active, candidate = evaluated.push(base_part(4000)), evaluated.push(small)
    assert registry.deploy(active).status_code == 201
    late = 0.0

    def run(arguments: Mapping[str, object], log: Path, receive: Receive) -> None:
        def received(message: Mapping[str, object]) -> None:
            nonlocal late
            if "doing" in message:
                late = 1000.0
            receive(message)

        Sandbox.run(sandbox, arguments, log, received)

    monkeypatch.setattr(sandbox, "_clock", lambda: time.monotonic() + late)
    monkeypatch.setattr(sandbox, "run", run)
    detail = registry.deploy(candidate).json()["detail"]
    began = f"version {candidate} can't be compared: the process was ended after 120 s, while it "
    # Several messages may come at once; the last one counts.
    doing = r"(read the evaluation part of|scored the model of version \d on the queries of) version \d;"
    assert re.search(re.escape(began) + doing, detail), detail


def test_a_refresh_with_another_ranker_is_rejected_also_if_an_earlier_release_took_it_in(
    registry: RunningRegistry, tmp_path: Path
) -> None:
    trained = registry.push_new(tmp_path, seed=1)
    assert registry.deploy(trained).status_code == 201
    answer = registry.push(archive(tmp_path, trained, seed=11))
    said = f"refreshes: ranker.txt is another one than that of version {trained}"
    assert (answer.status_code, said in answer.json()["detail"]) == (422, True), answer.text
    refresh = pushed(registry, tmp_path, trained, seed=12)
    engine = open_database(registry.settings.database_url.get_secret_value(), SCHEMA)
    with engine.begin() as connection:
        chosen = versions.c.version == int(trained)
        manifest = connection.execute(sa.select(versions.c.manifest).where(chosen)).scalar_one()
        changed = manifest | {"files": manifest["files"] | {"ranker.txt": "0" * 64}}
        connection.execute(sa.update(versions).where(chosen).values(manifest=changed))
    engine.dispose()
    for more in ({}, {"force": True, "reason": "no reason is good enough"}):
        answer = registry.deploy(refresh, **more)
        assert (answer.status_code, "ranker.txt is another one" in answer.json()["detail"]) == (409, True)
    assert registry.active() == trained


@pytest.mark.parametrize("reason", ["\u200b", " \u2060\u00a0", "\u3164"])
def test_force_needs_a_reason_that_can_be_read(registry: RunningRegistry, reason: str) -> None:
    answer = registry.deploy("1", force=True, reason=reason)
    assert (answer.status_code, "`force` needs one that can be read" in answer.text) == (422, True)
