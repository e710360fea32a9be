"""Values of settings: numbers by their grammar, and settings that stand in for one of an earlier release.

Other spellings that `int()` and `float()` accept are rejected.
"""

import math
import re
from typing import Any, get_args

from pydantic.fields import FieldInfo

# A leading zero stays allowed: an hour is written 08.
_NUMBER = re.compile(r"-?[0-9]{1,30}(?:\.[0-9]{1,30})?(?:[eE]-?[0-9]{1,3})?")


def check_number(field: FieldInfo, value: object) -> object:
    """Return the value of a setting; raises `ValueError` for a text that is no finite number where the field is one."""
    if not isinstance(value, str) or not {int, float} & {field.annotation, *get_args(field.annotation)}:
        return value
    if not _NUMBER.fullmatch(value) or math.isinf(float(value)):
        raise ValueError("write a number in the digits 0 to 9, without separators or white space")
    return value


def with_fallback(values: Any, name: str, earlier: str) -> Any:
    """Return a settings class's input with `name` taken from the setting `earlier` where only that one is given."""
    if not isinstance(values, dict) or values.get(name) or not values.get(earlier):
        return values
    return {**values, name: values[earlier]}
