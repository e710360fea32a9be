"""A service's /metrics can say what has become of its reports."""

import threading

from prometheus_client import CollectorRegistry, generate_latest

import monitoring
from monitoring.coalescing import Coalescer
from monitoring.metrics import Counters
from monitoring.prometheus import MonitoringCollector
from testkit.fake_server import FakeServer


def test_the_counters_are_exported(on: FakeServer) -> None:
    registry = CollectorRegistry()
    registry.register(MonitoringCollector())
    for _ in range(3):
        monitoring.report("redis.connection_failed", error=ConnectionError())
    monitoring.flush(5)
    lines = generate_latest(registry).decode().splitlines()
    assert "monitoring_reports_total 3.0" in lines
    assert "monitoring_reports_coalesced_total 2.0" in lines
    assert "monitoring_events_delivered_total 2.0" in lines
    assert "monitoring_signals_delivered_total 2.0" in lines
    assert "monitoring_events_dropped_total 0.0" in lines


def test_what_waits_for_a_collector_that_is_down_is_exported(on: FakeServer) -> None:
    registry = CollectorRegistry()
    registry.register(MonitoringCollector())
    on.mode = "down"
    for step in ("extract", "train"):
        monitoring.report("pipeline.critical_step_failed", error=ValueError(), step_name=step)
    monitoring.flush(0.2)
    assert registry.get_sample_value("monitoring_events_waiting") == 2
    assert registry.get_sample_value("monitoring_signals_waiting") == 0
    on.mode = "ok"
    monitoring.flush(5)
    assert registry.get_sample_value("monitoring_events_waiting") == 0


def test_while_monitoring_is_off_all_counters_are_zero() -> None:
    assert set(monitoring.counters().values()) == {0}


def test_no_count_is_lost_between_threads() -> None:
    counters = Counters()
    coalescer: Coalescer[str, None] = Coalescer()

    def count() -> None:
        for _ in range(5000):
            counters.add("events_delivered")
            coalescer.observe("redis", None)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counters.snapshot()["events_delivered"] == 20_000
    assert (coalescer.firsts, coalescer.repeats) == (1, 19_999)
