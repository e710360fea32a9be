"""Context fields and breadcrumbs belong to one request, whatever runs beside it."""

import asyncio
import threading

import pytest

import monitoring
from monitoring.context import MAX_BREADCRUMBS, snapshot


def _messages() -> list[str]:
    return [crumb.message for crumb in snapshot()[1]]


@pytest.mark.anyio
async def test_concurrent_requests_do_not_mix_their_context_and_breadcrumbs() -> None:
    monitoring.breadcrumb("before any request", category="test")
    barrier = asyncio.Barrier(50)
    seen: dict[str, tuple[list[str], dict[str, object]]] = {}

    async def request(number: int) -> None:
        name = f"req_{number}"
        with monitoring.bound_context(request_id=name):
            monitoring.breadcrumb(f"{name} began", category="test")
            await barrier.wait()
            monitoring.bind_context(dataset_id=number)
            await asyncio.gather(recall(name), recall(name))
            await barrier.wait()
            seen[name] = (_messages(), monitoring.current_context())

    async def recall(name: str) -> None:
        await asyncio.sleep(0)
        monitoring.breadcrumb(f"{name} recalled", category="test")

    await asyncio.gather(*(request(number) for number in range(50)))
    assert seen == {
        f"req_{number}": (
            [f"req_{number} began", f"req_{number} recalled", f"req_{number} recalled"],
            {"request_id": f"req_{number}", "dataset_id": number},
        )
        for number in range(50)
    }


def test_a_block_inside_a_request_adds_facts_for_its_length_and_shares_the_breadcrumbs() -> None:
    with monitoring.bound_context(request_id="req_1"):
        with monitoring.bound_context(model_version="7"):
            monitoring.breadcrumb("inside", category="test")
            assert monitoring.current_context() == {"request_id": "req_1", "model_version": "7"}
        assert monitoring.current_context() == {"request_id": "req_1"}
        assert _messages() == ["inside"]
    assert monitoring.current_context() == {}


def test_a_request_that_begins_within_another_knows_nothing_of_it() -> None:
    with monitoring.bound_context(request_id="req_1", user_id=7):
        monitoring.breadcrumb("in the first", category="test")
        with monitoring.bound_context(request_id="req_2"):
            assert monitoring.current_context() == {"request_id": "req_2"}
            assert _messages() == []
        assert monitoring.current_context() == {"request_id": "req_1", "user_id": 7}


def test_a_fact_that_is_none_is_not_known() -> None:
    with monitoring.bound_context(request_id="req_1", user_id=None):
        assert monitoring.current_context() == {"request_id": "req_1"}


def test_threads_do_not_see_each_others_breadcrumbs() -> None:
    seen: list[list[str]] = []

    def work() -> None:
        monitoring.breadcrumb(threading.current_thread().name, category="test")
        seen.append(_messages())

    threads = [threading.Thread(target=work, name=f"worker-{number}") for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == [[f"worker-{number}"] for number in range(4)]


def test_only_the_last_breadcrumbs_are_kept() -> None:
    with monitoring.bound_context(request_id="req_1"):
        for number in range(MAX_BREADCRUMBS + 5):
            monitoring.breadcrumb(str(number), category="test")
        assert _messages() == [str(number) for number in range(5, MAX_BREADCRUMBS + 5)]
