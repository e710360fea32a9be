"""An incident of Redis ends at the first call that proves its end, and not before."""

from monitoring.testing import Captured, captured
from recommender_api.redis_store.recoveries import UNDECODABLE_SECONDS, RedisRecoveries

LOST, UNEXPECTED = "redis.connection_failed", "redis.unexpected_error"


def ended(captures: Captured) -> list[str]:
    return [each.point_id for each in captures.recovered]


def proven() -> RedisRecoveries:
    recoveries = RedisRecoveries()
    with captured() as captures:
        recoveries.note_success("read", 0)
    assert ended(captures) == [LOST, UNEXPECTED]
    assert not recoveries.open
    return recoveries


def test_the_first_success_of_a_process_ends_what_an_earlier_one_reported() -> None:
    proven()


def test_an_outage_of_one_call_ends_with_the_next_success() -> None:
    recoveries = proven()
    with captured() as captures:
        recoveries.note_loss(10)
        recoveries.note_success("read", 9)
        assert (ended(captures), recoveries.open) == ([], True)
        recoveries.note_success("read", 11)
    assert (ended(captures), recoveries.open) == ([LOST], False)


def test_an_operation_that_redis_rejects_recovers_when_the_same_operation_works() -> None:
    recoveries = proven()
    with captured() as captures:
        recoveries.note_refusal("write")
        recoveries.note_success("read", 1)
        assert ended(captures) == []
        recoveries.note_success("write", 2)
    assert ended(captures) == [UNEXPECTED]


def test_an_undecodable_value_recovers_after_a_while_without_another() -> None:
    recoveries = proven()
    with captured() as captures:
        recoveries.note_undecodable(100)
        recoveries.note_success("read", 100 + UNDECODABLE_SECONDS - 1)
        assert ended(captures) == []
        recoveries.note_success("read", 100 + UNDECODABLE_SECONDS)
    assert ended(captures) == [UNEXPECTED]
