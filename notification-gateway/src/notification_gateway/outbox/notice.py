"""A notice: the content of a message, before a channel renders it."""

from pydantic import BaseModel, ConfigDict

from notification_gateway.language import Language, Phrase


class Line(BaseModel):
    """One labelled line; `value` links to `url`."""

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
    """Title, labelled lines, then free paragraphs. It is the same for each retry, so that channels can deduplicate.

    `lines` are in order of importance: a channel with a limit cuts the end. `url` is the link of a card;
    `paragraph_urls` are the links of the paragraphs, in the same order, and may be fewer.
    `mention` names people (user ids, phone numbers, @all) to mention where the channel can.
    `not_through` names channels that must not carry it, because it reports their failure. `tried` names those that
    failed to send it.
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
        """The line with the reference number of the message."""
        return f"{Phrase('编号', 'Ref').to(self.language)}: {self.reference}"
