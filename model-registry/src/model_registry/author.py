"""The author of a change, as a header of the call names it."""

from typing import Annotated

from fastapi import Header
from pydantic import AfterValidator

from contracts.person_names import MAX_HEADER_LENGTH, MAX_LENGTH, decode_name

DeployedBy = Annotated[
    str | None,
    Header(
        alias="X-Deployed-By",
        max_length=MAX_HEADER_LENGTH,
        description=f"Author for the history, a name of at most {MAX_LENGTH} characters; without, it is the token's. "
        "Plain ASCII is sent as it is; other scripts as UTF-8, or as an ext-value of RFC 8187 "
        "(`UTF-8''%E5%BC%A0%E4%BC%9F`)",
    ),
    # An unset variable of a CI job is an empty name; the deployment must not be rejected for it.
    AfterValidator(lambda header: decode_name(header) if header else None),
]
