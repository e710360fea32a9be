"""A notice: what is to be said, before any channel gives it its form."""

from pydantic import BaseModel, ConfigDict

from notification_gateway.language import Language, Phrase


class Line(BaseModel):
    """One labelled line; what its `value` links to is `url`."""

    model_config = ConfigDict(frozen=True)

    label: str
    value: str
    url: str = ""


class Chart(BaseModel):
    """Occurrences over the time of a summary; `labels` name the first and the last bar."""

    model_config = ConfigDict(frozen=True)

    title: str
    labels: tuple[str, str]
    values: tuple[int, ...]


class Notice(BaseModel):
    """Title, labelled lines, then free paragraphs; kept as it is across retries, so that they are the same message.

    `lines` are in order of importance: a channel that has to cut cuts at the end. `url` is where a card leads,
    `paragraph_urls` where the paragraphs of the same place lead, as far as there are any.
    `mention` names people (user ids, phone numbers, @all) to be called to it where a channel can.
    `not_through` names the channels that must not carry it: those that it says are broken. `tried` names those that
    have failed to.
    """

    model_config = ConfigDict(frozen=True)

    title: str
    lines: tuple[Line, ...] = ()
    paragraphs: tuple[str, ...] = ()
    paragraph_urls: tuple[str, ...] = ()
    chart: Chart | None = None
    reference: str
    url: str = ""
    language: Language = "both"
    mention: tuple[str, ...] = ()
    not_through: tuple[str, ...] = ()
    tried: tuple[str, ...] = ()

    @property
    def linked_paragraphs(self) -> list[tuple[str, str]]:
        """Return each paragraph with its address, or an empty text."""
        urls = self.paragraph_urls[: len(self.paragraphs)]
        return list(zip(self.paragraphs, (*urls, *[""] * (len(self.paragraphs) - len(urls))), strict=True))

    @property
    def reference_line(self) -> str:
        """What to name when one speaks of it."""
        return f"{Phrase('编号', 'Ref').to(self.language)}: {self.reference}"
