"""Parses one cell of a source in any format, or finds its fault."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal

from contracts import datasets
from contracts.ids import EntityKind, UnusableIdError, parse_id
from contracts.moments import (
    CLOCK_AHEAD,
    EARLIEST_CREATION,
    EARLIEST_ROW,
    UnusableMomentError,
    check_between,
    from_local,
    has_zone,
    parse_row_moment,
    start_of_day,
    to_utc,
)
from contracts.prices import UnusablePriceError, check_price, parse_price
from contracts.text import UnusableTextError, check_text, normalize_tag
from pipeline.importers.bad_rows import BadCellError

TYPES = ("click", "view", "favorite", "purchase")
_TYPE_CODES = {name: code for code, name in enumerate(TYPES)}
_OTHER_NAMES = {
    "purchase": {"buy", "bought", "order", "ordered", "pay", "paid", "payment", "download", "购买", "下单", "支付"},
    "favorite": {"favourite", "fav", "like", "star", "collect", "bookmark", "wishlist", "收藏", "喜欢"},
    "view": {"visit", "browse", "pageview", "page_view", "detail", "浏览", "查看"},
    "click": {"clicked", "tap", "点击"},
}
_EXPOSURES = {"exposure", "impression", "expose", "show", "曝光"}

_BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"
_NO_VALUE = {"null", "none", "nan", "na", "n/a", "#n/a", "\\n", "nil", "-", "undefined"}
_DECORATION = re.compile(r"[\s$€£¥￥元]|(?:cny|rmb|usd|eur)", re.IGNORECASE)
_GROUPED = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_FREE = {"free", "免费"}
_URL_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
# The largest offset of a time zone ahead of UTC.
_LARGEST_OFFSET = timedelta(hours=14)


def is_missing(value: object) -> bool:
    """Return whether a cell is empty."""
    return value is None or (isinstance(value, str) and not value.strip())


def required(value: object) -> object:
    """Return a cell that must not be empty; raises `BadCellError`."""
    if is_missing(value):
        raise BadCellError("empty", "is empty")
    return value


def id_cell(value: object, kind: EntityKind) -> tuple[int, str]:
    """Return an id's number and its text; raises `BadCellError`."""
    text = _to_text(required(value))
    if isinstance(text, str):
        _refuse_byte_order_mark(text)
    try:
        number = parse_id(text, kind)
    except UnusableIdError as error:
        raise BadCellError("not an id", f"is not usable: {error}") from error
    return number, str(text)


def text_cell(value: object, max_chars: int) -> str | None:
    """Return a text, None for an empty cell; raises `BadCellError`."""
    text = _to_text(value)
    if text is None or text == "":
        return None
    if not isinstance(text, str):
        raise BadCellError("not a text", "is not a text; write it as one, in quotes")
    _refuse_byte_order_mark(text)
    try:
        check_text(text)
    except UnusableTextError as error:
        raise BadCellError("not storable", str(error)) from error
    if len(text) > max_chars:
        raise BadCellError("too long", f"has {len(text):,} characters, the maximum is {max_chars:,}")
    return text


def tags_cell(value: object) -> str | None:
    """Return tags as the business tables hold them, separated by `;`; raises `BadCellError`."""
    parts = value if isinstance(value, list) else (_to_text(value) or "")
    if isinstance(parts, str):
        parts = parts.split(datasets.TAG_SEPARATOR)
    if not isinstance(parts, list):
        raise BadCellError("not tags", "are not tags; write them as a text, separated by `;`")
    tags = dict.fromkeys(tag for part in parts if (tag := _tag(part)))
    if len(tags) > datasets.MAX_TAGS:
        raise BadCellError("too many tags", f"are {len(tags):,} tags, the maximum is {datasets.MAX_TAGS}")
    return datasets.TAG_SEPARATOR.join(tags) or None


def url_cell(value: object) -> str | None:
    """Return an address of a picture; raises `BadCellError`."""
    text = text_cell(value, datasets.MAX_URL_CHARS)
    if text is None:
        return None
    if any(character.isspace() for character in text) or not text.isprintable():
        raise BadCellError("not a URL", "is not a URL: it holds white space; write %20 for a space")
    if (scheme := _URL_SCHEME.match(text)) and scheme[0].lower() not in ("http:", "https:"):
        raise BadCellError("not a URL", "is not a URL of the web: write https://… or a path")
    return text


def price_cell(value: object) -> float | None:
    """Return a price, None for an empty cell; raises `BadCellError`."""
    text = _to_text(value)
    if text is None or text == "":
        return None
    try:
        if isinstance(text, str):
            return parse_price(text)
        if isinstance(text, (int, float, Decimal)) and not isinstance(text, bool):
            return check_price(text)
    except UnusablePriceError as error:
        advice = _price_advice(text) if isinstance(text, str) else ""
        raise BadCellError("not a price", f"{error}{advice}") from error
    raise BadCellError("not a price", "is not a price; write a number")


def type_cell(value: object) -> int:
    """Return the code of an interaction's type; raises `BadCellError`."""
    text = _to_text(required(value))
    code = _TYPE_CODES.get(text) if isinstance(text, str) else None
    if code is not None:
        return code
    raise BadCellError("unknown type", f"is none of {', '.join(TYPES)}{_type_advice(text)}")


@dataclass(frozen=True)
class MomentRules:
    """How times are read: those without a zone are local in `zone`, and `now` is their limit."""

    now: datetime
    zone: tzinfo = UTC

    def interaction_cell(self, value: object) -> datetime:
        """Return the time of an interaction, in UTC; raises `BadCellError`."""
        moment, is_local = self._parse(required(value))
        ahead = moment - self.now
        if is_local and CLOCK_AHEAD < ahead <= _LARGEST_OFFSET:
            hours = ahead / timedelta(hours=1)
            raise BadCellError("in the future", f"lies {hours:.1f} h in the future", ahead)
        return _check_between(moment, EARLIEST_ROW, self.now + CLOCK_AHEAD)

    def creation_cell(self, value: object) -> datetime | None:
        """Return a creation time, in UTC, None for an empty cell; raises `BadCellError`."""
        if is_missing(value):
            return None
        return _check_between(self._parse(value)[0], EARLIEST_CREATION, self.now + timedelta(days=1))

    def _parse(self, value: object) -> tuple[datetime, bool]:
        """Return a time in UTC, and whether it had no zone of its own."""
        try:
            if isinstance(value, datetime):
                is_local = value.tzinfo is None
                return (from_local(value, self.zone) if is_local else to_utc(value)), is_local
            if isinstance(value, date):
                return start_of_day(value, self.zone), True
            text = _moment_text(value)
            return parse_row_moment(text, self.zone), not has_zone(text)
        except UnusableMomentError as error:
            advice = "; leave the cell empty" if isinstance(value, str) and value.strip().lower() in _NO_VALUE else ""
            raise BadCellError("not a time", f"{error}{advice}") from error


def _check_between(moment: datetime, earliest: datetime, latest: datetime) -> datetime:
    try:
        return check_between(moment, earliest, latest)
    except UnusableMomentError as error:
        kind = "in the future" if moment > latest else "too early"
        raise BadCellError(kind, str(error)) from error


def _to_text(value: object) -> object:
    """Return a text without white space at its ends, and other values unchanged."""
    if isinstance(value, str):
        return value.strip()
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode().strip()
    except UnicodeDecodeError as error:
        raise BadCellError("not UTF-8", "is not a text in UTF-8") from error


def _moment_text(value: object) -> str:
    text = _to_text(value)
    if isinstance(text, str):
        return text
    if isinstance(text, (int, float, Decimal)) and not isinstance(text, bool):
        # Parsed as a cell, so that 20260131 means the same in each format.
        return str(text)
    raise UnusableMomentError("is not a time; write ISO 8601 or Unix seconds")


def _refuse_byte_order_mark(text: str) -> None:
    if _BYTE_ORDER_MARK in text:
        raise BadCellError(
            "byte order mark", "holds a byte order mark (U+FEFF); were two files joined? Remove it, and a second header"
        )


def _tag(part: object) -> str:
    text = text_cell(part, datasets.MAX_DESCRIPTION_CHARS)
    tag = normalize_tag(text or "")
    if datasets.TAG_SEPARATOR in tag:
        raise BadCellError("not tags", f"hold a tag with a `{datasets.TAG_SEPARATOR}`, which separates tags")
    if len(tag) > datasets.MAX_TAG_CHARS:
        advice = "; tags are separated by `;`" if any(mark in tag for mark in ",，、|；") else ""
        raise BadCellError(
            "too long", f"hold a tag of {len(tag):,} characters, the maximum is {datasets.MAX_TAG_CHARS}{advice}"
        )
    return tag


def _price_advice(text: str) -> str:
    lowered = text.lower()
    if lowered in _NO_VALUE:
        return "; leave the cell empty"
    if lowered in _FREE:
        return "; write 0"
    plain = _DECORATION.sub("", text)
    if _GROUPED.fullmatch(plain):
        plain = plain.replace(",", "")
    return f"; write {plain}" if _NUMBER.fullmatch(plain) and plain != text and len(plain) < 20 else ""


def _type_advice(text: object) -> str:
    name = text.lower() if isinstance(text, str) else ""
    if name in TYPES:
        return f"; write {name}"
    if name in _EXPOSURES:
        return "; exposures are not imported, leave the row out"
    for known, others in _OTHER_NAMES.items():
        if name in others:
            return f"; if it means the same, write {known}"
    return ""
