"""Ids: whole numbers are themselves, other texts stand for a number, and what looks like another number is refused."""

import hashlib
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.ids import MAX_ID, UnusableIdError, hash_id, is_numeric_id, parse_id


@pytest.mark.parametrize(("value", "number"), [(7, 7), ("7", 7), (MAX_ID, MAX_ID), (str(MAX_ID), MAX_ID)])
def test_a_whole_number_is_itself_as_number_and_as_text(value: object, number: int) -> None:
    assert parse_id(value, "dataset") == number


@pytest.mark.parametrize(
    "text",
    [
        "SKU-77",
        "c2a1f0de-7c1b-4a52-9a51-1d3a0f5be0aa",
        "007",
        "507191086243991299e43901",
        "12e45678",
        "1.2.3",
        "北京-1",
        "a b",
        "a/b",
        "%2F",
    ],
)
def test_any_other_text_stands_for_63_bits_of_its_sha256_by_kind(text: str) -> None:
    digest = hashlib.sha256(f"recsys-id:user:{text}".encode()).digest()
    assert parse_id(text, "user") == int.from_bytes(digest) & (2**63 - 1)
    assert parse_id(text, "user") != parse_id(text, "dataset")
    assert not is_numeric_id(text)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (0, "between 1 and"),
        ("0", "whole number from 1"),
        (-5, "between 1 and"),
        ("-5", "without sign"),
        ("+5", "without sign"),
        ("1.0", "decimal point"),
        ("1,5", "decimal point"),
        ("1.23457E+11", "spreadsheet has rounded"),
        ("1e5", "spreadsheet has rounded"),
        ("1_000", "separators"),
        ("７", "digits 0 to 9"),
        (str(2**63), "from 1 to 9223372036854775807"),
        ("99999999999999999999", "whole number from 1"),
        (2**63, "between 1 and"),
        (True, "true or false"),
        (1.0, "decimal point"),
        (None, "null"),
        ([7], "type list"),
        ("", "1 to 128"),
        ("x" * 129, "1 to 128"),
        (" 7", "white space"),
        ("7\n", "white space"),
        ("a\0b", "printable"),
        ("a\ud83d", "printable"),
        (unicodedata.normalize("NFD", "é"), "NFC"),
    ],
)
def test_what_only_looks_like_an_id_is_refused_with_a_hint(value: object, hint: str) -> None:
    with pytest.raises(UnusableIdError, match=hint):
        parse_id(value, "dataset")


@given(
    st.text(max_size=140) | st.integers() | st.floats() | st.none() | st.booleans() | st.from_regex(r"\A[-+0-9.eE_]+\Z")
)
def test_an_id_is_a_number_that_can_be_stored_or_refused_as_such(value: object) -> None:
    try:
        number = parse_id(value, "user")
    except UnusableIdError:
        return
    assert 1 <= number <= MAX_ID


def test_a_text_never_stands_for_zero() -> None:
    assert all(hash_id(str(text), "user") > 0 for text in range(1000))
