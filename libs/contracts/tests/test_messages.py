"""Events and signals: what is taken, what is refused, and how they travel."""

import json
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from contracts.events import (
    MAX_EVENTS_PER_BATCH,
    MAX_FAULTS_PER_EVENT,
    MAX_NAME_CHARS,
    REFUSAL_REASONS,
    BehaviorEvent,
    EventBatch,
    Exposure,
    InteractionType,
    PostedEvent,
    RefusedEvent,
    read_entry,
)
from contracts.ids import hash_id
from contracts.signals import AlertSignal

EVENT = {"event_id": "e-1", "type": "view", "user_id": 7, "dataset_id": 13, "ts": "2026-01-02T03:04:05+08:00"}
SIGNAL = {
    "signal_id": "s-1",
    "kind": "fired",
    "monitoring_point": "redis.connection_failed",
    "fingerprint": ["redis", "connection_failed"],
    "level": "warning",
    "category": "redis",
    "service": "recommender-api",
    "environment": "test",
    "message": "Redis refuses",
    "first_seen": "2026-01-02T00:00:00Z",
    "last_seen": "2026-01-02T00:00:00Z",
}


def test_an_event_travels_through_the_stream_unchanged() -> None:
    event = BehaviorEvent.model_validate(EVENT | {"request_id": "req_1", "position": 3})
    entry = {name.encode(): value.encode() for name, value in event.to_stream().items()}
    assert read_entry(entry) == event
    assert event.ts == datetime(2026, 1, 1, 19, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("event_id", "with space"),
        ("event_id", "x" * 65),
        ("type", "like"),
        ("user_id", 0),
        ("dataset_id", 2**63),
        ("ts", "2026-01-02T03:04:05"),
        ("position", -1),
        ("request_id", "a/b"),
        ("position", "3"),
        ("user_id", "1_000"),
        ("dataset_id", True),
        ("ts", 1760000000),
        ("ts", "9999-12-31T23:59:59-14:00"),
        ("ts", "0001-01-01T00:00:00+14:00"),
        ("ts", "1999-12-31T23:59:59Z"),
    ],
)
def test_a_malformed_event_is_refused_by_field(field: str, value: object) -> None:
    with pytest.raises(ValidationError) as refused:
        BehaviorEvent.model_validate(EVENT | {field: value})
    assert [error["loc"] for error in refused.value.errors()] == [(field,)]


def test_a_callers_unknown_field_is_an_error_and_that_of_another_part_is_ignored() -> None:
    (refused,) = EventBatch.model_validate({"events": [EVENT | {"stranger": 1}]}).events
    assert isinstance(refused, RefusedEvent)
    assert [(fault.field, fault.reason) for fault in refused.faults] == [("stranger", "unknown_field")]
    with pytest.raises(ValidationError):
        EventBatch.model_validate({"events": [EVENT], "stranger": 1})
    assert BehaviorEvent.model_validate(EVENT | {"stranger": 1}) == BehaviorEvent.model_validate(EVENT)
    assert AlertSignal.model_validate(SIGNAL | {"stranger": 1}) == AlertSignal.model_validate(SIGNAL)


def test_each_event_of_a_batch_is_read_by_itself() -> None:
    bad = [None, [], "x", EVENT | {"user_id": True}, {name: value for name, value in EVENT.items() if name != "ts"}]
    events = EventBatch.model_validate({"events": [EVENT, *bad, EVENT | {"event_id": "e-2"}]}).events
    assert events[0] == PostedEvent.model_validate(EVENT)
    assert isinstance(events[-1], PostedEvent)
    faults = [event.faults[0] for event in events if isinstance(event, RefusedEvent)]
    assert [fault.reason for fault in faults] == ["not_an_object"] * 3 + ["user_id", "ts"]
    assert faults[3].message == "an id is a whole number or a text, not true or false"
    assert {fault.reason for fault in faults} <= set(REFUSAL_REASONS)


def test_the_faults_of_an_event_are_few_and_short() -> None:
    (refused,) = EventBatch.model_validate({"events": [{f"{n}" * 500: n for n in range(100)}]}).events
    assert isinstance(refused, RefusedEvent)
    assert len(refused.faults) == MAX_FAULTS_PER_EVENT
    assert max(len(fault.field) for fault in refused.faults) <= MAX_NAME_CHARS


def test_the_schema_of_a_batch_shows_events() -> None:
    items = EventBatch.model_json_schema()["properties"]["events"]["items"]
    assert items == {"$ref": "#/$defs/PostedEvent"}


def test_an_event_takes_text_ids_and_keeps_their_numbers() -> None:
    event = BehaviorEvent.model_validate(EVENT | {"user_id": "c2a1f0de", "dataset_id": "SKU-77"})
    assert (event.user_id, event.dataset_id) == (hash_id("c2a1f0de", "user"), hash_id("SKU-77", "dataset"))


def test_a_signals_text_is_repaired_and_its_labels_stay_different() -> None:
    signal = AlertSignal.model_validate(
        SIGNAL | {"message": "half \ud83d", "fingerprint": ["a\ud83d", "a\ud83e"], "tags": {"t\0": "x" * 5000}}
    )
    assert signal.message == "half \N{REPLACEMENT CHARACTER}"
    assert signal.fingerprint == ["a\\ud83d", "a\\ud83e"]
    assert [(name, len(value)) for name, value in signal.tags.items()] == [("t\\u0000", 1024)]


def test_a_foreign_stream_entry_is_refused() -> None:
    with pytest.raises(KeyError):
        read_entry({b"other": b"1"})
    with pytest.raises(ValidationError):
        read_entry({b"event": b"{}"})
    with pytest.raises(ValidationError):
        read_entry({b"exposures": b'{"exposure_id": "a b"}'})


def test_an_exposure_is_one_entry_and_that_of_the_release_before_is_read() -> None:
    before = {"exposure_id": "exp-1", "user_id": 7, "dataset_ids": [13, 12], "request_id": "req_1", "ts": EVENT["ts"]}
    shown = Exposure.model_validate({**before, "user_id": None, "model_version": "12", "scores": [0.5, 0.25]})
    assert read_entry({b"exposures": shown.model_dump_json().encode()}) == shown
    read = read_entry({b"exposures": json.dumps(before).encode()})
    assert isinstance(read, Exposure)
    assert (read.user_id, read.dataset_ids, read.scores, read.model_version) == (7, [13, 12], [], None)


@pytest.mark.parametrize("count", [0, MAX_EVENTS_PER_BATCH + 1])
def test_a_batch_holds_from_one_to_a_thousand_events(count: int) -> None:
    with pytest.raises(ValidationError):
        EventBatch.model_validate({"events": [EVENT] * count})


def test_a_stronger_interest_has_a_higher_code() -> None:
    order = [InteractionType.of(name) for name in ("exposure", "click", "view", "favorite", "purchase")]
    assert order == sorted(order)
    with pytest.raises(KeyError):
        InteractionType.of("like")


def test_a_signal_counts_one_occurrence_unless_it_says_more() -> None:
    signal = AlertSignal.model_validate(SIGNAL)
    assert AlertSignal.model_validate_json(signal.model_dump_json()) == signal
    assert signal.occurrences == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [("kind", "over"), ("level", "loud"), ("fingerprint", []), ("occurrences", 0), ("signal_id", "a\0")],
)
def test_a_malformed_signal_is_refused_by_field(field: str, value: object) -> None:
    with pytest.raises(ValidationError) as refused:
        AlertSignal.model_validate(SIGNAL | {field: value})
    assert refused.value.errors()[0]["loc"][0] == field
