"""JSON from outside is bounded in size, depth and number length before it is parsed."""

import contextlib
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.bounded_json import MAX_DEPTH, MAX_NUMBER_CHARACTERS, JsonError, check, loads

_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=60,
)


def nested(depth: int) -> bytes:
    return b'[{"a":' * (depth // 2) + b"[" * (depth % 2) + b"1" + b"]" * (depth % 2) + b"}]" * (depth // 2)


@given(_VALUES)
def test_what_is_within_the_bounds_is_read_as_it_is(value: Any) -> None:
    assert loads(json.dumps(value).encode()) == value
    assert loads(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize("body", [b'{"minutes": 5, "minutes": 500}', b'[{"a": {"b": 1, "\\u0062": 1}}]'])
def test_a_field_that_is_given_twice_is_refused_however_it_is_written(body: bytes) -> None:
    with pytest.raises(JsonError, match=r"^a field is given twice in one object$"):
        loads(body)


@pytest.mark.parametrize("depth", [1, 2, MAX_DEPTH - 1, MAX_DEPTH])
def test_up_to_the_greatest_depth_is_taken(depth: int) -> None:
    loads(b"[" + b"[]," * 100 + b'"[[[[{{{{"]')
    loads(nested(depth))


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 1_000, 1_000_000])
def test_deeper_is_refused_before_it_is_parsed(depth: int) -> None:
    for body in (nested(depth), b"[" * depth, b'{"a":' * depth, b'[[],"]]]]",' * depth):
        with pytest.raises(JsonError, match=r"^nested deeper than 32 levels$"):
            loads(body)


def test_brackets_in_texts_are_no_depth() -> None:
    for text in ("[" * 1000, "\\" * 7 + "[" * 50, '"[' * 50, "]" * 50 + "[" * 50):
        assert loads(json.dumps([text, {text: [text]}]).encode()) == [text, {text: [text]}]


def test_a_closing_bracket_in_a_text_hides_no_depth() -> None:
    with pytest.raises(JsonError, match="nested deeper"):
        check(b'["]",' * (MAX_DEPTH + 1) + b"1" + b"]" * (MAX_DEPTH + 1))


def test_a_number_may_be_as_long_as_databases_write_them_and_no_longer() -> None:
    assert loads(b"[" + b"1" * MAX_NUMBER_CHARACTERS + b"]") == [int("1" * MAX_NUMBER_CHARACTERS)]
    for number in (b"1" * 65, b"-0." + b"1" * 63, b"1" * 5_000, b"1e" + b"9" * 100):
        with pytest.raises(JsonError, match=r"^a number of more than 64 characters$"):
            loads(b'{"n": ' + number + b"}")


def test_digits_in_texts_are_no_number() -> None:
    assert loads(b'["' + b"1" * 5_000 + b'"]') == ["1" * 5_000]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not JSON: Expecting value (line 1, column 1)"),
        (b'{"a": 1,\n "b" 2}', "not JSON: Expecting ':' delimiter (line 2, column 6)"),
        (b'{"a": "\xff"}', "not UTF-8 (byte 7)"),
        ('["é"]'.encode("utf-16"), "not UTF-8 (byte 0)"),
        (b'{"events": [' + b'{"a": [1]},' * 100, "not JSON: Expecting value (line 1, column 1113)"),
        (b"[}" * 100, "not JSON: Expecting value (line 1, column 2)"),
        (b'["' + b"\\\\" * 100, "not JSON: Unterminated string starting at (line 1, column 2)"),
    ],
)
def test_what_is_no_json_is_refused_with_the_place(body: bytes, message: str) -> None:
    with pytest.raises(JsonError) as refused:
        loads(body)
    assert str(refused.value) == message


def test_a_mark_of_byte_order_is_taken() -> None:
    assert loads(b"\xef\xbb\xbf[1]") == [1]


def test_size_is_bounded() -> None:
    loads(b"[1]", max_bytes=3)
    with pytest.raises(JsonError, match=r"^more than 3 bytes$"):
        loads(b"[12]", max_bytes=3)


@pytest.mark.parametrize(
    "part", [b"[", b"[]", b'"', b'\\"', b"\\", b"{[", b"]", b"1", b"1,", b'"[', b'"]",[', b"[]}"], ids=repr
)
def test_no_document_takes_longer_to_check_than_its_size_allows(part: bytes) -> None:
    body = b"[" * 33 + part * (4_000_000 // len(part))
    began = time.process_time()
    with contextlib.suppress(JsonError):
        check(body)
    assert time.process_time() - began < 2
