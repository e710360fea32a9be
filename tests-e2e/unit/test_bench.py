import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from bench.collector import collector
from bench.hello import create_app
from bench.load import FailedRequestError, ask_all, ask_each
from bench.monitoring_collector_faults import ratio_of_p99
from bench.monitoring_storm import most_in_a_window
from bench.observed_load import Answer
from bench.results import Goal, Result, table, write
from bench.servers import Surroundings, hello
from bench.serving_size import Change, latencies
from bench.turns import start_turn_client
from testkit.fake_registry import FakeRegistry
from testkit.redis_server import RedisServer
from testkit.serving import Served


@pytest.mark.parametrize(
    ("goal", "value", "met"),
    [(Goal(most=2), 2, True), (Goal(most=2), 2.01, False), (Goal(least=10), 10, True), (Goal(least=10), 9.9, False)],
)
def test_a_value_at_its_limit_meets_the_goal(goal: Goal, value: float, met: bool) -> None:
    assert Result("ratio", value, "×", goal).ok is met


def test_a_missed_goal_is_in_the_table_and_in_the_file(tmp_path: Path) -> None:
    results = [Result("cost", 147.0, "µs"), Result("ratio", 2.5, "×", Goal(most=2))]
    assert [line.split() for line in table(results).splitlines()] == [
        ["cost", "147", "µs"],
        ["ratio", "2.5", "×", "≤", "2", "✗"],
    ]
    write(results, tmp_path / "run" / "bench.json")
    assert json.loads((tmp_path / "run" / "bench.json").read_text(encoding="utf-8")) == [
        {"name": "cost", "value": 147.0, "unit": "µs", "goal": None, "ok": True},
        {"name": "ratio", "value": 2.5, "unit": "×", "goal": "≤ 2", "ok": False},
    ]


def test_the_load_requests_every_path_once_and_fails_on_an_answer_that_is_not_200() -> None:
    with Served(create_app()) as served:
        port = int(served.url.rpartition(":")[2])
        assert len(ask_all(port, ["/"] * 100)) == 100
        with pytest.raises(FailedRequestError, match=r"^/absent: http/1\.1 404"):
            ask_all(port, ["/", "/absent"])


def test_servers_measured_side_by_side_each_get_every_path() -> None:
    with Served(create_app()) as one, Served(create_app()) as other:
        ports = [int(served.url.rpartition(":")[2]) for served in (one, other)]
        ask_each(ports, ["/"] * 20, per_second=200)
        for absent in ([ports[0], 1], [1, ports[1]]):
            with pytest.raises(OSError, match="Connect call failed"):
                ask_each(absent, ["/"], per_second=200)


def test_events_are_counted_in_windows_that_begin_with_the_first() -> None:
    assert most_in_a_window([100.0, 160.1, 219.9, 280.0]) == 1
    assert most_in_a_window([100.0, 160.0, 190.0, 220.0]) == 2


def test_the_ratio_of_two_p99s_has_an_interval_that_is_stable_against_noise_in_both() -> None:
    draw = np.random.default_rng(7)
    noise = np.where(draw.random((40, 1)) < 0.2, 20.0, 1.0)  # every fifth turn is disturbed
    plain, tried = (draw.exponential(1.0, (40, 600)) * noise for _ in range(2))
    ratio, least, most = ratio_of_p99(tried, plain)
    assert least < ratio < most
    assert least < 1.0 < most
    ratio, least, most = ratio_of_p99(tried * 1.5, plain)
    assert least < 1.5 < most
    assert least > 1.05


def test_servers_take_turns_with_the_other_one_stopped_and_both_run_afterwards(tmp_path: Path) -> None:
    around = Surroundings(RedisServer(tmp_path), FakeRegistry(), tmp_path)
    with around.registry, hello(around) as one, hello(around) as other, start_turn_client() as client:
        servers = {"one": one, "other": other}
        stopped = set()
        with ThreadPoolExecutor() as threads:
            measured = threads.submit(client.measure, servers, ["/"] * 4000, turns=4, requests=500)
            while not measured.done():
                stopped |= {name for name, each in servers.items() if each.process.status() == psutil.STATUS_STOPPED}
        assert stopped == {"one", "other"}
        assert {name: each.shape for name, each in measured.result().items()} == {"one": (4, 500), "other": (4, 500)}
        with pytest.raises(FailedRequestError, match=r"/absent: HTTP/1\.1 404"):
            client.measure(servers, ["/", "/absent"], turns=1, requests=1)
        for server in servers.values():
            assert httpx.get(f"http://127.0.0.1:{server.port}/", timeout=10).status_code == 200


def test_the_collector_in_a_process_of_its_own_answers_in_the_given_mode() -> None:
    with collector() as receiver:
        assert httpx.post(f"{receiver.url}/signals", json={"signals": []}, timeout=10).status_code == 202
        receiver.answer("500")
        envelopes = f"{receiver.url}/api/1/envelope/"
        assert httpx.post(envelopes, content=b"", timeout=10).status_code == 500


@pytest.mark.parametrize(("lasts", "counted"), [(0.0, 0.0), (0.6, 1.0), (1.4, 2.0)])
def test_a_slow_moment_at_the_border_of_two_seconds_counts_once(lasts: float, counted: float) -> None:
    times = [number / 200 for number in range(60 * 200)]
    answers = [Answer(due, 0.010 if 30.7 <= due < 30.7 + lasts else 0.002, 0) for due in times]
    assert latencies(answers, [Change(29.0, 33.0)])[2].value == counted


def test_the_worst_change_of_model_counts_and_slow_time_without_a_change_is_separate() -> None:
    def slow(second: int) -> bool:
        return second in (15, 31, 32, 45)

    answers = [
        Answer(number / 200, 0.010 if slow(number // 200) and number % 200 < 5 else 0.002, 0)
        for number in range(60 * 200)
    ]
    usual, during, time, noise = latencies(answers, [Change(20.0, 24.0), Change(30.0, 33.5)])
    assert (usual.value, during.value) == (pytest.approx(2.0), pytest.approx(2.0))
    assert (time.value, time.ok) == (2.0, False)
    # Of the 60 seconds, 48.5 are further than two from a change.
    assert noise.value == pytest.approx(2 / 48.5 * 100)
