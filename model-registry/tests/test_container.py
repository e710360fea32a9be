"""A check does not use up the memory of its container."""

from pathlib import Path

import pytest

from model_registry.sandbox.container import RESERVE_BYTES, memory_left

GIB = 2**30


@pytest.mark.parametrize(
    ("files", "left"),
    [
        ({"memory.max": f"{GIB}\n", "memory.stat": "file 7\nanon 100\n"}, GIB - 100 - RESERVE_BYTES),
        ({"memory.max": "max\n", "memory.stat": "anon 100\n"}, None),
        ({"memory.max": "1000\n", "memory.stat": "anon 900\n"}, 0),
        (
            {"memory/memory.limit_in_bytes": f"{GIB}\n", "memory/memory.stat": "rss 1\ntotal_rss 5\n"},
            GIB - 5 - RESERVE_BYTES,
        ),
        ({}, None),
    ],
    ids=["a limit", "no limit", "used up", "version 1", "no cgroup"],
)
def test_what_is_left_is_the_limit_without_what_is_used_and_a_reserve(
    tmp_path: Path, files: dict[str, str], left: int | None
) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content, encoding="ascii")
    assert memory_left(tmp_path) == left
