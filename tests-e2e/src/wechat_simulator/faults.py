"""Faults on demand, which replace the answers of the next calls."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Operation = Literal["gettoken", "message/send", "webhook/send"]

UNREACHED = ("invaliduser", "invalidparty", "invalidtag", "unlicenseduser")


class Fault(BaseModel):
    """A fault of calls: exactly one of the kinds below, for the next `times` calls or until cleared."""

    model_config = ConfigDict(extra="forbid")

    operation: Annotated[Operation | None, Field(description="The affected operations; empty: all")] = None
    times: Annotated[int | None, Field(ge=1, description="Number of calls; empty: until cleared")] = None
    taken: Annotated[bool, Field(description="The message is delivered first, so that only the answer is lost")] = False

    errcode: Annotated[int | None, Field(description="Answer HTTP 200 with this error code")] = None
    invaliduser: Annotated[str | None, Field(description="Answer errcode 0 and list these users as invalid")] = None
    unlicenseduser: Annotated[str | None, Field(description="Answer errcode 0 and list these users as unlicensed")] = (
        None
    )
    invalidparty: Annotated[str | None, Field(description="Answer errcode 0 and list these departments as invalid")] = (
        None
    )
    invalidtag: Annotated[str | None, Field(description="Answer errcode 0 and list these tags as invalid")] = None
    http_status: Annotated[int | None, Field(ge=400, le=599, description="Answer this HTTP status")] = None
    hang_seconds: Annotated[float | None, Field(gt=0, le=600, description="Delay the answer by this time")] = None
    reset: Annotated[bool, Field(description="Reset the connection")] = False
    html: Annotated[bool, Field(description="Answer HTTP 200 with a web page")] = False

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        kinds = [
            self.errcode,
            self.unreached or None,
            self.http_status,
            self.hang_seconds,
            self.reset or None,
            self.html or None,
        ]
        if sum(kind is not None for kind in kinds) != 1:
            raise ValueError(
                "give exactly one of errcode, invaliduser (or another list), http_status, hang_seconds, reset, html"
            )
        return self

    @property
    def unreached(self) -> dict[str, str]:
        """The fields of an answer with errcode 0 that list unreached recipients."""
        named = {name: getattr(self, name) for name in UNREACHED}
        return {name: value for name, value in named.items() if value is not None}


class Faults:
    """The configured faults, oldest first; each call uses the first fault that matches."""

    def __init__(self) -> None:
        self.waiting: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Set a fault."""
        self.waiting.append(fault.model_copy())

    def take(self, operation: Operation) -> Fault | None:
        """Return the fault of this call, if any."""
        for fault in self.waiting:
            if fault.operation in (None, operation):
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times == 0:
                        self.waiting.remove(fault)
                return fault
        return None
