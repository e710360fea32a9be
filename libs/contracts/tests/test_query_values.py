from typing import Annotated

import pytest
from pydantic import TypeAdapter, ValidationError

from contracts.query_values import MAX_WHOLE_NUMBER, Flag, WholeNumber

_NUMBERS: TypeAdapter[int] = TypeAdapter(Annotated[int, WholeNumber()])
_FLAGS: TypeAdapter[bool] = TypeAdapter(Flag)


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("7", 7), (str(MAX_WHOLE_NUMBER), MAX_WHOLE_NUMBER)])
def test_a_whole_number_is_its_digits(text: str, number: int) -> None:
    assert _NUMBERS.validate_python(text) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+5",
        "-1",
        "05",
        " 5",
        "5 ",
        "5\n",
        "1_0",
        "5.0",
        "5e0",
        "0x5",
        "５",
        "²",
        "٣",
        "true",
        str(2**63),
        "9" * 5000,
    ],
)
def test_nothing_else_is_a_whole_number(text: str) -> None:
    with pytest.raises(ValidationError):
        _NUMBERS.validate_python(text)


@pytest.mark.parametrize(
    ("text", "flag"), [("true", True), ("True", True), ("1", True), ("false", False), ("False", False), ("0", False)]
)
def test_a_flag_is_true_or_false_as_clients_write_it(text: str, flag: bool) -> None:
    assert _FLAGS.validate_python(text) is flag


@pytest.mark.parametrize("text", ["", "on", "off", "yes", "tRUE", "FALSE", "t", " true", "１"])
def test_nothing_else_is_a_flag(text: str) -> None:
    with pytest.raises(ValidationError, match="write true or false"):
        _FLAGS.validate_python(text)


def test_they_stand_in_documents_as_what_they_are() -> None:
    limit: TypeAdapter[int | None] = TypeAdapter(Annotated[int, WholeNumber(1, 50)] | None)
    assert limit.json_schema() == {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 50}, {"type": "null"}]}
    assert _FLAGS.json_schema() == {"type": "boolean"}
