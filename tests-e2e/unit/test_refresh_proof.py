"""The short form of `make prove ONLY=refresh`: what an hourly refresh brings to queries, by the pipeline's own runs."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from pipeline.business.content import DATASETS, INTERACTIONS, Content
from pipeline.demo import DemoSize, generate
from prove.refresh import compare
from prove.refreshed_days import Replayed, ReplayedDays, replay

# A training and its refreshes take longer on a busy machine than a test may.
pytestmark = pytest.mark.timeout(600)
NIGHT = datetime(2026, 3, 1, 3, tzinfo=UTC)
CONFIG = """\
history: {half_lives_days: [7], recent_ranks: [5]}
queries: {most: 600}
ranker: {trees: 20, leaves: 7}
evaluation: {global_split: false, baselines: false, queries: 100}
"""
USERS = 60


def with_arrival(content: Content) -> Content:
    """Add a dataset that arrives after the night, and that one user a minute takes from half an hour later on."""
    arrival = NIGHT + timedelta(minutes=20)
    dataset = dict.fromkeys(DATASETS.names) | {
        "external_id": "new",
        "title": "North Sea",
        "tags": "tides",
        "price": 5.0,
        "is_deleted": False,
        "created_at": arrival,
    }
    taken = [
        {
            "user": user,
            "dataset": len(content.datasets),
            "type": "view",
            "price": None,
            "ts": arrival + timedelta(minutes=30 + user),
        }
        for user in range(USERS)
    ]
    return replace(
        content,
        datasets=pa.concat_tables([content.datasets, pa.Table.from_pylist([dataset], DATASETS)]),
        interactions=pa.concat_tables([content.interactions, pa.Table.from_pylist(taken, INTERACTIONS)]),
    )


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Replayed:
    content = with_arrival(generate(DemoSize(datasets=100, users=100, interactions=3000), 42, NIGHT))
    return replay(content, tmp_path_factory.mktemp("replayed"), ReplayedDays(NIGHT, days=1, hours=2), CONFIG, 42)


def test_a_new_dataset_is_an_answer_from_the_next_refresh_on_and_never_of_the_nights_bundle(
    replayed: Replayed,
) -> None:
    assert (len(replayed.user), all(replayed.is_new_dataset)) == (USERS, True)
    assert set(replayed.nightly) == {0.0}
    # 15 take it before five minutes past four, when the refresh is in service.
    assert [value > 0 for value in replayed.hourly] == [False] * 15 + [True] * (USERS - 15)
    assert len(replayed.refresh_seconds) == 1
    assert replayed.refresh_seconds[0] > 0


def test_the_difference_of_a_group_is_paired(replayed: Replayed) -> None:
    (everything,) = compare(replayed, {"all": np.ones(USERS, np.bool_)}, 1)
    assert everything.queries == USERS
    assert (everything.nightly, everything.hourly) == (0.0, pytest.approx(np.mean(replayed.hourly)))
    assert 0 < everything.difference.low < everything.difference.mean < everything.difference.high
