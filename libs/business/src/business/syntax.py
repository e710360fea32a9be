"""A minimal SQL tokenizer: checks that a text is one reading statement, and locates an error."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple


class Token(NamedTuple):
    """A word, a sign or something quoted, and its offset; comments and white space are left out."""

    kind: str
    text: str
    start: int

    @property
    def keyword(self) -> str:
        """The word in capitals; empty for other tokens."""
        return self.text.upper() if self.kind == "word" else ""


class UnreadableSqlError(ValueError):
    """The text is not one reading statement; `offset` is the position."""

    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(reason)
        self.offset = offset


_PLAIN_STRING = r"'(?:[^']|'')*'"
_ESCAPED_STRING = r"'(?:[^'\\]|\\.|'')*'"
_IDENTIFIER = r'"(?:[^"]|"")*"'
_BACKTICKS = r"`(?:[^`]|``)*`"
_DOLLARS = r"\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$"
_BEGIN_OF_COMMENT = re.compile(r"/\*|\*/")


@dataclass(frozen=True)
class Syntax:
    """The quotes and comments of a kind of database; `quoted` and `line_comment` are regular expressions."""

    quoted: str
    line_comment: str = r"--[^\n]*"
    nested_comments: bool = False
    # A comment that the server executes.
    code_comment: str = r"(?!)"

    def tokens(self, sql: str) -> Iterator[Token]:
        """Yield the tokens; raises `UnreadableSqlError` for a quote or comment without an end."""
        pattern = re.compile(
            rf"(?P<skipped>\s+|{self.line_comment})|(?P<code_comment>{self.code_comment})|(?P<comment>/\*)"
            rf"|(?P<quoted>{self.quoted})|(?P<word>[^\W\d][\w$]*)|(?P<number>\d[\w.]*)|(?P<open_quote>['\"`])|(?P<sign>.)",
            re.DOTALL,
        )
        position = 0
        while (match := pattern.match(sql, position)) is not None:
            kind = match.lastgroup or ""
            position = match.end()
            if kind == "code_comment":
                raise UnreadableSqlError("a comment that the server executes (/*!) is not accepted", match.start())
            if kind == "open_quote":
                raise UnreadableSqlError(f"the quote {match[0]} is not closed", match.start())
            if kind == "comment":
                position = self._end_of_comment(sql, match.start())
            elif kind != "skipped":
                yield Token(kind, match[0], match.start())

    def _end_of_comment(self, sql: str, start: int) -> int:
        depth = 0
        for found in _BEGIN_OF_COMMENT.finditer(sql, start):
            if found[0] == "*/":
                depth -= 1
            elif depth == 0 or self.nested_comments:
                depth += 1
            if depth == 0:
                return found.end()
        raise UnreadableSqlError("the comment /* is not closed", start)


# `tag` is a group of its own, so that `lastgroup` stays the outer one.
POSTGRESQL = Syntax(rf"[eE]{_ESCAPED_STRING}|{_PLAIN_STRING}|{_IDENTIFIER}|{_DOLLARS}", nested_comments=True)
DUCKDB = POSTGRESQL
MYSQL = Syntax(
    rf'{_ESCAPED_STRING}|"(?:[^"\\]|\\.|"")*"|{_BACKTICKS}',
    line_comment=r"--(?=\s|$)[^\n]*|\#[^\n]*",
    code_comment=r"/\*M?!",
)
SQLITE = Syntax(rf"{_PLAIN_STRING}|{_IDENTIFIER}|{_BACKTICKS}|\[[^\]]*\]")

_ONE_SELECT = "write one SELECT, or WITH … SELECT"


def check_reads(sql: str, syntax: Syntax) -> str:
    """Return the text of one SELECT or WITH, ready for parentheses; raises `UnreadableSqlError`.

    The semicolon after the statement becomes white space, and comments stay: offsets don't change.
    """
    tokens = list(syntax.tokens(sql))
    while tokens and tokens[-1].text == ";":
        place = tokens.pop().start
        sql = f"{sql[:place]} {sql[place + 1 :]}"
    if not tokens:
        raise UnreadableSqlError(f"holds no statement; {_ONE_SELECT}", 0)
    _check_begin(tokens)
    _check_parentheses(tokens)
    _check_words(tokens)
    return sql


def _check_begin(tokens: list[Token]) -> None:
    first = next((token for token in tokens if token.text != "("), tokens[0])
    if first.keyword not in {"SELECT", "WITH"}:
        raise UnreadableSqlError(f"begins with {first.text}; {_ONE_SELECT}", first.start)


def _check_parentheses(tokens: list[Token]) -> None:
    depth = 0
    for token in tokens:
        depth += {"(": 1, ")": -1}.get(token.text, 0) if token.kind == "sign" else 0
        if depth < 0:
            raise UnreadableSqlError("this ) closes nothing", token.start)


def _check_words(tokens: list[Token]) -> None:
    for before, token, after in zip([None, *tokens[:-1]], tokens, [*tokens[1:], None], strict=True):
        if token.text == ";":
            raise UnreadableSqlError(f"several statements; {_ONE_SELECT}", (after or token).start)
        if token.keyword == "INTO":
            raise UnreadableSqlError("INTO writes; the statement may only read", token.start)
        # After a word or a comma it is a name, before a parenthesis a function.
        may_write = token.keyword in {"INSERT", "UPDATE", "DELETE", "MERGE"} and (after is None or after.text != "(")
        if may_write and before is not None and (before.text in {"(", ")"} or before.keyword == "FOR"):
            raise UnreadableSqlError(f"{token.text} writes; the statement may only read", token.start)
