"""The languages of messages and pages: Chinese, English, or both in each line."""

from typing import Literal, NamedTuple

Language = Literal["zh", "en", "both"]


class Phrase(NamedTuple):
    """A text in both languages."""

    zh: str
    en: str

    def to(self, language: Language) -> str:
        """Return the text in a language; for `both` the Chinese text goes first."""
        if language == "zh":
            return self.zh
        if language == "en":
            return self.en
        return self.zh if self.zh == self.en else f"{self.zh} {self.en}"
