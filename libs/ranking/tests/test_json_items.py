"""The compiled JSON writer gives the same bytes as a JSON library."""

import numpy as np
import orjson
import pytest
from numpy.typing import NDArray

from ranking.json_items import SMALLEST, BytesTable, json_items

POSITIONS, CODES = 300, 4


@pytest.fixture(scope="module")
def before() -> BytesTable:
    parts = BytesTable(POSITIONS)
    for position in reversed(range(POSITIONS)):
        parts[position] = b',{"title":%b,"score":' % orjson.dumps("数据 " * (position % 7))
    return parts


@pytest.fixture(scope="module")
def behind() -> BytesTable:
    parts = BytesTable(CODES)
    for code in range(CODES):
        parts[code] = b',"reasons":%b}' % orjson.dumps(["vector"] * code)
    return parts


def expected(
    positions: NDArray[np.int32],
    codes: NDArray[np.int64],
    scores: NDArray[np.float32],
    before: BytesTable,
    behind: BytesTable,
) -> bytes:
    texts = orjson.dumps(scores, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")
    rows = zip(before.texts(positions), texts, behind.texts(codes), strict=True)
    return b"[%b]" % b"".join(first + score + last for first, score, last in rows)[1:]


def test_items_and_scores_are_those_of_a_json_library(before: BytesTable, behind: BytesTable) -> None:
    rng = np.random.default_rng(0)
    edges = np.array([0.0, 1.0, SMALLEST, 0.5, 0.1, np.nextafter(np.float32(1), np.float32(0))], np.float32)
    for _ in range(300):
        spread = np.exp(rng.uniform(np.log(SMALLEST), 0.0, 100)).astype(np.float32)
        short = np.round(rng.uniform(0.001, 1.0, 20), rng.integers(3, 7)).astype(np.float32)
        scores = np.concatenate([edges, np.clip(spread, SMALLEST, 1.0), short])
        positions = rng.integers(0, POSITIONS, len(scores)).astype(np.int32)
        codes = rng.integers(0, CODES, len(scores))
        written = json_items(positions, codes, scores, before, behind)
        assert written == expected(positions, codes, scores, before, behind)


@pytest.mark.parametrize("score", [np.nextafter(SMALLEST, np.float32(0)), 1e-9, 1.5, -0.25, np.nan, np.inf])
def test_scores_out_of_range_are_left_to_a_json_library(before: BytesTable, behind: BytesTable, score: float) -> None:
    row = np.zeros(2, np.int32)
    scores = np.array([0.5, score], np.float32)
    assert json_items(row, row.astype(np.int64), scores, before, behind) is None


def test_items_without_a_text_are_left_to_a_json_library(behind: BytesTable) -> None:
    before = BytesTable(2)
    before[1] = b',{"score":'
    one, scores = np.zeros(1, np.int64), np.array([0.25], np.float32)
    assert json_items(np.array([0], np.int32), one, scores, before, behind) is None
    assert json_items(np.array([1], np.int32), one, scores, before, behind) == b'[{"score":0.25,"reasons":[]}]'
    assert before.texts([0]) == [b""]


def test_no_items_are_an_empty_list(before: BytesTable, behind: BytesTable) -> None:
    none = np.empty(0, np.int32)
    assert json_items(none, none.astype(np.int64), none.astype(np.float32), before, behind) == b"[]"


def test_a_table_grows_above_its_reserved_size() -> None:
    parts = BytesTable(50)
    texts = [bytes([number]) * (number * 40) for number in range(50)]
    for number, text in enumerate(texts):
        parts[number] = text
    assert parts.texts(range(50)) == texts


def test_a_table_within_its_reserved_size_is_not_copied() -> None:
    parts = BytesTable(2, room=10)
    text, _ = parts.arrays
    parts[1] = b"0123456789"
    assert parts.arrays[0] is text
    parts[0] = b"more"
    assert parts.arrays[0] is not text
    assert parts.texts([0, 1]) == [b"more", b"0123456789"]
