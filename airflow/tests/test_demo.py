"""Demo data: of the requested size, the same for a seed, with structure and with cold datasets."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow.compute as pc
import pytest

from pipeline.business.content import Content
from pipeline.demo import DemoSize, generate
from pipeline.errors import InputError
from pipeline.recall import content_neighbours, content_vectors
from pipeline.records import Records

END = datetime(2026, 3, 1, 12, tzinfo=UTC)
SIZE = DemoSize(datasets=300, users=200, interactions=12_000)


def test_it_has_the_size_asked_for_and_ends_at_the_end(content: Content) -> None:
    assert (len(content.datasets), len(content.users), len(content.interactions)) == (300, 200, 12_000)
    times = content.interactions["ts"]
    assert END - timedelta(days=1) < pc.max(times).as_py() < END
    assert pc.min(times).as_py() >= END - timedelta(days=90)
    assert set(pc.unique(content.interactions["type"]).to_pylist()) == {"view", "favorite", "purchase"}


def test_a_seed_gives_one_marketplace_and_another_seed_another(content: Content) -> None:
    again, other = generate(SIZE, 7, END), generate(SIZE, 8, END)
    assert again.interactions.equals(content.interactions)
    assert again.datasets.equals(content.datasets)
    assert not other.interactions.equals(content.interactions)


def test_its_ids_are_the_numbers_from_one_on(content: Content) -> None:
    assert content.datasets["external_id"].to_pylist() == [str(number) for number in range(1, 301)]
    assert content.users["external_id"].to_pylist() == [str(number) for number in range(1, 201)]


def test_no_interaction_is_earlier_than_its_dataset(content: Content) -> None:
    created = content.datasets["created_at"].to_numpy()[content.interactions["dataset"].to_numpy()]
    assert (content.interactions["ts"].to_numpy() >= created - np.timedelta64(12, "h")).all()


def test_popularity_has_a_long_tail(content: Content) -> None:
    counts = np.sort(np.bincount(content.interactions["dataset"].to_numpy(), minlength=300))[::-1]
    assert counts[:30].sum() > 0.4 * counts.sum()


def test_each_user_prefers_a_few_topics(content: Content) -> None:
    topics = np.array([(tags or "").split(";")[0] for tags in content.datasets["tags"].to_pylist()])
    rows = content.interactions
    user, topic = rows["user"].to_numpy(), topics[rows["dataset"].to_numpy()]
    shares = []
    for active in np.flatnonzero(np.bincount(user) >= 50):
        _, counts = np.unique(topic[user == active], return_counts=True)
        shares.append(np.sort(counts)[-3:].sum() / counts.sum())
    assert np.mean(shares) > 0.6


def test_cold_datasets_have_no_interactions_and_no_neighbours_by_text(content: Content, records: Records) -> None:
    cold = [297, 298, 299]
    assert all(title.startswith("zqx") for title in content.datasets["title"].take(cold).to_pylist())
    assert not np.isin(content.interactions["dataset"].to_numpy(), cold).any()
    neighbours = content_neighbours(content_vectors(records, 42))
    assert (neighbours.items[cold] == -1).all()
    assert not np.isin(neighbours.items, cold).any()


def test_a_size_too_small_for_structure_is_rejected() -> None:
    with pytest.raises(InputError, match="at least 100 datasets"):
        generate(DemoSize(datasets=3), 1, END)
