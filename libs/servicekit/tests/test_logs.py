"""A log line is one JSON object, whatever is logged."""

import json
import logging
from typing import Any

import pytest

from servicekit.logs import JsonFormatter


class Untold:
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("logged", "shown"),
    [
        ("\ud83d", "?"),
        ({"\udfff": ["\ud800"]}, {"?": ["?"]}),
        (2**70, str(2**70)),
        ({1: "one"}, {"1": "one"}),
        (Untold(), "<Untold without a text>"),
        (
            {"deep": {"a": None, "b": True, "c": 1.5, "d": ("\ud83d",)}},
            {"deep": {"a": None, "b": True, "c": 1.5, "d": ["?"]}},
        ),
        ("\0\n\u2028", "\0\n\u2028"),
    ],
)
def test_whatever_is_logged_comes_out_as_one_json_line(logged: Any, shown: object) -> None:
    record = logging.makeLogRecord({"msg": "half a pair: \ud83d", "extra": logged})
    line = JsonFormatter("sample").format(record)
    line.encode()
    assert "\n" not in line
    read = json.loads(line)
    assert read["extra"] == shown
    assert read["message"].startswith("half a pair: ")
