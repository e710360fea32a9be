"""Names of time zones as people type them: IANA names that this machine knows."""

from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator

MAX_SHOWN_CHARS = 64


def check_time_zone(name: str) -> str:
    """Return the name; raises `ValueError` where no time zone has it."""
    # `ZoneInfo` looks for a file of that name, and raises as files do.
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        shown = name[:MAX_SHOWN_CHARS]
        raise ValueError(f"{shown!r} is no time zone; use an IANA name such as Europe/Berlin") from error
    return name


TimeZoneName = Annotated[str, AfterValidator(check_time_zone)]
