"""The languages of whatever people read: Chinese, English, or each line in both."""

from typing import Literal, NamedTuple

Language = Literal["zh", "en", "both"]


class Phrase(NamedTuple):
    """A text in both languages."""

    zh: str
    en: str

    def to(self, language: Language) -> str:
        """Return the text in a language; in both, the Chinese one goes first."""
        if language == "zh":
            return self.zh
        if language == "en":
            return self.en
        return self.zh if self.zh == self.en else f"{self.zh} {self.en}"
