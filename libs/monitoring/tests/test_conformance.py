"""Relay's own normaliser, which is Sentry's validation, finds no error in an event of any point."""

from collections.abc import Iterator

import pytest
import sentry_relay

import monitoring
from monitoring import catalogue
from testkit.fake_server import FakeServer

POINTS = [*catalogue.load_all()]
NORMALIZER = sentry_relay.StoreNormalizer(
    project_id=1, key_id="1", enable_trimming=True, max_secs_in_past=30 * 86400, max_secs_in_future=60
)


def errors_of(meta: object, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(meta, dict):
        for name, value in meta.items():
            if name == "":
                yield from ((path or ".", error) for error in value.get("err", []))
            else:
                yield from errors_of(value, f"{path}.{name}")


def fail(depth: int) -> None:
    if depth:
        fail(depth - 1)
    raise ValueError("odd text: \x00 \ud83d é 数据 " + "x" * 10_000)


@pytest.mark.parametrize("with_error", [True, False])
def test_no_event_of_any_point_is_objected_to(on: FakeServer, with_error: bool) -> None:
    awkward = [
        "",
        " ",
        "line\nbreak",
        "数据",
        "x" * 500,
        0,
        -1.5,
        float("nan"),
        True,
        {"a": [1, {2: 3}]},
        b"\xff",
        None,
    ]
    for number, point in enumerate(POINTS):
        fields = {name: awkward[(number + at) % len(awkward)] for at, name in enumerate(point.tags)}
        fields |= {name: f"part {number}" for name in point.open_parts if name != "exception"}
        with monitoring.bound_context(
            request_id=f"req_{number}", user_id=7, dataset_id=9, endpoint="/similar/{dataset_id}"
        ):
            for crumb in point.breadcrumbs or ("something",):
                monitoring.breadcrumb(crumb, category=point.category, level="nonsense", value=awkward)
            # The second is a repeat, which flush() sends with its count.
            for _ in range(2):
                try:
                    fail(60 if number % 5 == 0 else 3)
                except ValueError as error:
                    monitoring.report(point.id, error=error if with_error else None, details=awkward, **fields)
    monitoring.flush(20)
    assert len(on.events) == 2 * len(POINTS)
    for event in on.events:
        normalized = NORMALIZER.normalize_event(event)
        assert list(errors_of(normalized.get("_meta", {}))) == []
        for name in ("fingerprint", "level", "logger", "environment", "release", "transaction"):
            assert normalized[name] == event[name]
        assert event["tags"].items() <= dict(normalized["tags"]).items()
        assert {*event["contexts"]} <= {*normalized["contexts"]}


def test_the_normaliser_does_object_to_a_broken_event() -> None:
    broken = NORMALIZER.normalize_event({"level": "terrible", "tags": {"a": "b\nc"}})
    assert {path for path, _ in errors_of(broken["_meta"])} == {".level", ".tags.0.1"}
