"""A notice: what is to be said, before any channel gives it its form."""

from pydantic import BaseModel, ConfigDict


class Line(BaseModel):
    """One labelled line; the label is in both languages."""

    model_config = ConfigDict(frozen=True)

    label: str
    value: str


class Notice(BaseModel):
    """Title, labelled lines, then free paragraphs; kept as it is across retries, so that they are the same message.

    `lines` are in order of importance: a channel that has to cut cuts at the end.
    """

    model_config = ConfigDict(frozen=True)

    title: str
    lines: tuple[Line, ...] = ()
    paragraphs: tuple[str, ...] = ()
    reference: str
