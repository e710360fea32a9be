"""A signal is read by itself: what is wrong with it is named, and costs its neighbours nothing."""

from typing import Any

import pytest

from contracts.signals import AlertSignal, SignalBatch, SignalReceipt, UnreadableSignal, read_signal

SIGNAL: dict[str, Any] = {
    "signal_id": "one",
    "kind": "fired",
    "monitoring_point": "api.unhandled",
    "fingerprint": ["api", "unhandled"],
    "level": "error",
    "category": "api",
    "service": "recommender-api",
    "environment": "test",
    "message": "it broke",
    "first_seen": "2026-01-05T12:00:00Z",
    "last_seen": "2026-01-05T12:00:00Z",
}


def test_a_batch_takes_whatever_stands_in_its_list() -> None:
    assert SignalBatch.model_validate({"signals": [SIGNAL, 7, None], "later": True}).signals == [SIGNAL, 7, None]


def test_fields_of_a_later_release_are_ignored() -> None:
    assert isinstance(read_signal(SIGNAL | {"later": {"a": 1}}), AlertSignal)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"service": 7}, "service"),
        ({"service": ""}, "service"),
        ({"environment": None}, "environment"),
        ({"category": ["a"]}, "category"),
        ({"level": "loud"}, "level"),
        ({"kind": "suppressed"}, "kind"),
        ({"fingerprint": []}, "fingerprint"),
        ({"fingerprint": ["a", 1]}, "fingerprint"),
        ({"first_seen": "soon"}, "first_seen"),
        ({"first_seen": 1760000000}, "first_seen"),
        ({"occurrences": 2**63}, "occurrences"),
        ({"tags": {"a": 1}}, "tags"),
        ({"event_id": "x"}, "event_id"),
    ],
)
def test_a_signal_that_cannot_be_read_is_named_with_its_field(change: dict[str, Any], field: str) -> None:
    unreadable = read_signal(SIGNAL | change)
    assert isinstance(unreadable, UnreadableSignal)
    assert (unreadable.signal_id, unreadable.field) == ("one", field)
    assert unreadable.reason.startswith(f"{field}: ")


@pytest.mark.parametrize(("value", "signal_id"), [(None, None), ([], None), ({"signal_id": 7}, None)])
def test_a_value_without_an_id_is_unreadable_too(value: object, signal_id: str | None) -> None:
    unreadable = read_signal(value)
    assert isinstance(unreadable, UnreadableSignal)
    assert unreadable.signal_id == signal_id


def test_an_id_that_cannot_be_stored_is_refused_and_named_escaped() -> None:
    unreadable = read_signal(SIGNAL | {"signal_id": "x\ud83d"})
    assert isinstance(unreadable, UnreadableSignal)
    assert (unreadable.signal_id, unreadable.field) == ("x\\ud83d", "signal_id")


def test_the_receipt_of_an_older_gateway_rejects_nothing() -> None:
    assert SignalReceipt.model_validate({"accepted": 1, "duplicates": 0}).rejected == []
