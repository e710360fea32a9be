"""What is said about dead letters, as feature-sync takes and sends it and `featurectl` writes and reads it."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from contracts.text import TypedText

MAX_IDS = 1000
MAX_LISTED = 1000
MAX_AGE_SECONDS = 10 * 365 * 86_400
LetterId = Annotated[str, Field(pattern=r"^[0-9]{1,20}-[0-9]{1,20}$", examples=["1795841917918-0"])]
Reason = Annotated[str, TypedText(500, min_chars=1)]
AgeSeconds = Annotated[float, Field(ge=0, le=MAX_AGE_SECONDS)]
REASON_TEXT = "Only letters whose reason contains this"
OLDER_THAN_TEXT = "Only letters that are older than this (s)"


class LetterSelection(BaseModel):
    """Which dead letters: those that fit all given conditions. Without a condition, `all` has to be true."""

    model_config = ConfigDict(extra="forbid")

    ids: Annotated[list[LetterId] | None, Field(min_length=1, max_length=MAX_IDS, description="Only these")] = None
    reason: Annotated[Reason | None, Field(description=REASON_TEXT, examples=["violates check constraint"])] = None
    older_than_seconds: Annotated[AgeSeconds | None, Field(description=OLDER_THAN_TEXT, examples=[3600])] = None
    all: Annotated[bool, Field(description="All letters; not together with a condition")] = False

    @model_validator(mode="after")
    def _select_on_purpose(self) -> Self:
        conditions = (self.ids, self.reason, self.older_than_seconds)
        if self.all != all(each is None for each in conditions):
            raise ValueError("give ids, reason or older_than_seconds; or all, and none of them")
        return self


class HeldLetter(BaseModel):
    """An entry that could not be processed."""

    id: Annotated[str, Field(description="Id of the dead letter", examples=["1795841917918-0"])]
    entry: Annotated[str, Field(description="Id that its entry had in its stream", examples=["1795841910002-0"])]
    created_at: Annotated[datetime, Field(description="When it became a dead letter")]
    reason: Annotated[str, Field(description="Stage and error", examples=["unreadable: KeyError: b'event'"])]
    replayed: Annotated[bool, Field(description="Whether it was put back before, and failed again", examples=[False])]
    content: Annotated[str, Field(description="The beginning of the entry; what is not UTF-8 is U+FFFD")]


class HeldLetters(BaseModel):
    """Dead letters, oldest first."""

    dead_letters: Annotated[list[HeldLetter], Field(description="At most `limit` that fit the conditions")]
    total: Annotated[int, Field(description="Number of all dead letters", examples=[3])]


class ReplayedLetters(BaseModel):
    """What a replay has done."""

    replayed: Annotated[int, Field(description="Entries that were put back into the event stream", examples=[3])]
    already_replayed: Annotated[
        int, Field(description="Letters whose entry an interrupted replay had put back; only deleted", examples=[0])
    ]
    total: Annotated[int, Field(description="Number of dead letters that are left", examples=[0])]


class DroppedLetters(BaseModel):
    """What a drop has done."""

    dropped: Annotated[int, Field(description="Letters that were deleted for good", examples=[3])]
    total: Annotated[int, Field(description="Number of dead letters that are left", examples=[0])]
