"""Values of paths, queries, forms and headers, read by their grammar.

Other spellings that `int()` and `bool()` accept are rejected. Each is used in an annotation:
`Annotated[int, WholeNumber(1, 50)]`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

# What a database keeps in a column of whole numbers.
MAX_WHOLE_NUMBER = 2**63 - 1

_WHOLE_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
# As the usual clients write a flag: JavaScript in small letters, Python with a capital one.
_FLAGS = {"true": True, "True": True, "1": True, "false": False, "False": False, "0": False}


def parse_whole_number(text: str) -> int:
    """Return the whole number that a text is; raises `ValueError`."""
    if not _WHOLE_NUMBER.fullmatch(text):
        raise ValueError("write a whole number in the digits 0 to 9, without sign, separator, blank or leading zero")
    return int(text)


def parse_flag(text: str) -> bool:
    """Return what `true`, `false`, `1` or `0` says; raises `ValueError`."""
    if text not in _FLAGS:
        raise ValueError("write true or false")
    return _FLAGS[text]


@dataclass(frozen=True)
class WholeNumber:
    """For an `int`: a whole number within bounds."""

    least: int = 0
    most: int = MAX_WHOLE_NUMBER

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """See pydantic."""
        return _parsed_by(parse_whole_number, core_schema.int_schema(ge=self.least, le=self.most))


def _parsed_by(parse: Callable[[str], Any], schema: CoreSchema) -> CoreSchema:
    return core_schema.no_info_before_validator_function(
        lambda value: parse(value) if isinstance(value, str) else value, schema
    )


def _flag(value: object) -> object:
    return parse_flag(value) if isinstance(value, str) else value


Flag = Annotated[bool, BeforeValidator(_flag)]
