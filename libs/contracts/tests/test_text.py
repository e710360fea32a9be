"""Text and prices: repaired, escaped or refused by where they come from."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from contracts.prices import MAX_PRICE, UnusablePriceError, check_price, parse_price
from contracts.text import UnusableTextError, check_text, escape_text, repair_text

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=40)


@given(ANY_TEXT)
def test_repaired_and_escaped_text_can_be_stored(text: str) -> None:
    for stored in (repair_text(text, 20), escape_text(text, 20)):
        assert len(stored) <= 20
        assert "\0" not in stored
        assert check_text(stored) == stored
        stored.encode()


def test_a_machines_text_keeps_what_can_be_read() -> None:
    assert (
        repair_text("disk\0 full\ud83d\n磁盘", 100)
        == "disk\N{REPLACEMENT CHARACTER} full\N{REPLACEMENT CHARACTER}\n磁盘"
    )
    assert repair_text("x" * 30, 10) == "x" * 9 + "…"


def test_escaped_texts_that_differ_stay_different() -> None:
    texts = ["a\0", "a\1", "a\ud83d", "a\ud83e", "a", "x" * 100 + "1", "x" * 100 + "2"]
    assert len({escape_text(text, 32) for text in texts}) == len(texts)


@pytest.mark.parametrize(("text", "code"), [("a\0", "U+0000"), ("a\ud83d", "U+D83D"), ("\x1b[2J", "U+001B")])
def test_typed_text_that_cannot_be_stored_is_refused_by_its_character(text: str, code: str) -> None:
    with pytest.raises(UnusableTextError, match=code.replace("+", r"\+")):
        check_text(text)


@pytest.mark.parametrize(("text", "price"), [("0", 0.0), ("99", 99.0), ("99.50", 99.5), (".5", 0.5), ("5.", 5.0)])
def test_a_price_is_digits_and_a_decimal_point(text: str, price: float) -> None:
    assert parse_price(text) == price


@pytest.mark.parametrize(
    "text",
    ["-1", "+1", "1,234.50", "1_000", "¥99", "9e3", "1e308", "nan", "inf", "９９", " 9", "", ".", "1e309", "9" * 400],
)
def test_anything_else_is_not_a_price(text: str) -> None:
    with pytest.raises(UnusablePriceError):
        parse_price(text)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1, 1e308, Decimal("NaN"), Decimal("1e400"), 10**400])
def test_a_number_that_no_price_can_be_is_refused(value: float | Decimal) -> None:
    with pytest.raises(UnusablePriceError):
        check_price(value)
    assert check_price(Decimal("9.50")) == 9.5
    assert check_price(MAX_PRICE) == MAX_PRICE


def test_annotations_repair_before_they_measure() -> None:
    from typing import Annotated

    from contracts.text import LabelText, MachineText, TypedText

    class Message(BaseModel):
        free: Annotated[str, MachineText(5)]
        label: Annotated[str, LabelText(20)]
        typed: Annotated[str, TypedText(5)] = ""

    message = Message.model_validate({"free": "a\ud83d" + "b" * 9, "label": "l\0"})
    assert (message.free, message.label) == ("a\N{REPLACEMENT CHARACTER}bb…", "l\\u0000")
    with pytest.raises(ValueError, match=r"typed\n.*U\+0000"):
        Message.model_validate({"free": "", "label": "", "typed": "\0"})
    schema = Message.model_json_schema()["properties"]
    assert schema["typed"] == {"default": "", "maxLength": 5, "title": "Typed", "type": "string"}
