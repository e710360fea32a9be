"""The checks of values: which rows or values can't be used, and the advice about them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from contracts.datasets import (
    MAX_DESCRIPTION_CHARS,
    MAX_NAME_CHARS,
    MAX_TAG_CHARS,
    MAX_TAGS,
    MAX_TITLE_CHARS,
    MAX_URL_CHARS,
    TAG_SEPARATOR,
)
from contracts.events import InteractionType
from contracts.moments import CLOCK_AHEAD, EARLIEST_CREATION, EARLIEST_ROW
from contracts.prices import MAX_PRICE
from pipeline.quality.repeated_rows import repeated_rows
from pipeline.quality.rules import RowRules
from pipeline.relational import Engine

Mask = Callable[[pa.Table], pa.ChunkedArray]

# The run continues while any row is left.
_NEVER = 1.0
_LONGEST_OFFSET = timedelta(hours=14)
_TYPES = pa.array([kind.name.lower() for kind in InteractionType])
_TIME = pa.timestamp("us", tz="UTC")
# Control characters except tab and line ends, as in `contracts.text`.
_UNSTORABLE = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x{9f}]"
_TEXT_ADVICE = "shorten it in the SQL, and remove control characters"


@dataclass(frozen=True)
class Check:
    """A check: its name, its description, a mask over the table, and the share that stops the run.

    `column` provides the example; with `only_value` the column is emptied and the row stays.
    """

    name: str
    what: str
    refuses: Mask
    critical_above: float
    column: str | None = None
    only_value: bool = False
    advice: str | Callable[[pa.Table], str] = ""
    warning_above: float = 0.0


def dataset_checks(engine: Engine, now: datetime, shares: RowRules) -> list[Check]:
    """Return the checks of the datasets table."""
    checks = _Checks("datasets", shares, engine)
    return [
        checks.null("id"),
        checks.low_id("id"),
        checks.null("title"),
        checks.blank("title"),
        checks.unusable_text("title", MAX_TITLE_CHARS, only_value=False),
        checks.repeated("id"),
        *checks.prices(only_value=False),
        checks.unusable_text("description", MAX_DESCRIPTION_CHARS),
        checks.unusable_tags(),
        checks.unusable_text("provider", MAX_NAME_CHARS),
        checks.unusable_text("cover_image", MAX_URL_CHARS),
        checks.unusable_creation("created_at", now),
        checks.unusable_creation("updated_at", now),
    ]


def user_checks(engine: Engine, now: datetime, shares: RowRules) -> list[Check]:
    """Return the checks of the users table."""
    checks = _Checks("users", shares, engine)
    return [
        checks.null("id"),
        checks.low_id("id"),
        checks.repeated("id"),
        *(checks.unusable_text(column, MAX_NAME_CHARS) for column in ("company_name", "province", "city")),
        checks.unusable_creation("created_at", now),
    ]


def interaction_checks(engine: Engine, known_datasets: pa.ChunkedArray, now: datetime, shares: RowRules) -> list[Check]:
    """Return the checks of the interactions."""
    latest = _moment(now + CLOCK_AHEAD)
    checks = _Checks("interactions", shares, engine)
    return [
        *(checks.null(column) for column in ("user_id", "dataset_id", "type", "ts")),
        checks.low_id("user_id"),
        checks.low_id("dataset_id"),
        Check(
            "interactions.unknown_type",
            "are of an unknown type",
            lambda t: pc.invert(pc.is_in(t["type"], _TYPES)),
            shares.unusable,
            "type",
            advice=f"map `type` to one of {', '.join(_TYPES.to_pylist())}",
        ),
        Check(
            "interactions.early_ts",
            f"lie before {EARLIEST_ROW:%Y-%m-%d} by `ts`",
            lambda t: pc.less(t["ts"], _moment(EARLIEST_ROW)),
            _NEVER,
            "ts",
            advice="correct them at their source",
        ),
        Check(
            "interactions.future_ts",
            "lie in the future by `ts`",
            lambda t: pc.greater(t["ts"], latest),
            _NEVER,
            "ts",
            advice=lambda t: _future_advice(t["ts"], now),
        ),
        *checks.prices(only_value=True),
        # Many rows may be affected: events before an import are about datasets that are gone, and deleted datasets keep
        # their interactions.
        Check(
            "interactions.unknown_dataset",
            "are about an unknown or deleted dataset",
            lambda t: pc.invert(pc.is_in(t["dataset_id"], known_datasets)),
            shares.unknown_dataset,
            "dataset_id",
        ),
        Check(
            "interactions.duplicate",
            "repeat another in everything",
            lambda t: repeated_rows(engine, t, ["user_id", "dataset_id", "type", "ts"]),
            1.0 if shares.duplicate.critical is None else shares.duplicate.critical,
            warning_above=1.0 if shares.duplicate.warning is None else shares.duplicate.warning,
        ),
    ]


@dataclass(frozen=True)
class _Checks:
    """Makes the checks of one table."""

    table: str
    shares: RowRules
    engine: Engine

    def null(self, column: str) -> Check:
        name = f"{self.table}.null_{column}"
        return Check(name, f"have no {column}", lambda t: t[column].is_null(), self.shares.without_key)

    def blank(self, column: str) -> Check:
        return Check(
            f"{self.table}.blank_{column}",
            f"have a {column} of white space, or an empty one",
            lambda t: pc.equal(pc.utf8_trim_whitespace(t[column]), ""),
            self.shares.without_key,
        )

    def repeated(self, column: str) -> Check:
        return Check(
            f"{self.table}.duplicate_{column}",
            f"repeat a {column}",
            lambda t: repeated_rows(self.engine, t, [column]),
            self.shares.without_key,
            column,
        )

    def low_id(self, column: str) -> Check:
        return Check(
            f"{self.table}.low_{column}",
            f"have a {column} below 1",
            lambda t: pc.less(t[column], 1),
            self.shares.without_key,
            column,
            advice="select whole numbers from 1 on, or text ids",
        )

    def prices(self, *, only_value: bool) -> list[Check]:
        return [
            Check(
                f"{self.table}.negative_price",
                "have a negative price",
                lambda t: pc.and_(pc.less(t["price"], 0), pc.is_finite(t["price"])),
                self.shares.unusable,
                "price",
            ),
            Check(
                f"{self.table}.unusable_price",
                f"have a `price` that is not a finite number up to {MAX_PRICE:.0e}",
                lambda t: pc.or_(pc.invert(pc.is_finite(t["price"])), pc.greater(t["price"], MAX_PRICE)),
                self.shares.unusable,
                "price",
                only_value,
                "correct it at its source, or select NULL",
            ),
        ]

    def unusable_creation(self, column: str, now: datetime) -> Check:
        earliest, latest = _moment(EARLIEST_CREATION), _moment(now + timedelta(days=1))
        return Check(
            f"{self.table}.unusable_{column}",
            f"have a `{column}` before {EARLIEST_CREATION:%Y} or in the future",
            lambda t: pc.or_(pc.less(t[column], earliest), pc.greater(t[column], latest)),
            self.shares.unusable,
            column,
            only_value=True,
            advice="correct it at its source, or select NULL",
        )

    def unusable_text(self, column: str, max_chars: int, *, only_value: bool = True) -> Check:
        return Check(
            f"{self.table}.unusable_{column}",
            f"have a `{column}` of more than {max_chars:,} characters, or with a control character",
            lambda t: _is_unusable(t[column], max_chars),
            self.shares.unusable,
            column,
            only_value,
            _TEXT_ADVICE,
        )

    def unusable_tags(self) -> Check:
        longest = (MAX_TAG_CHARS + 1) * MAX_TAGS
        too_long = rf"[^{TAG_SEPARATOR}]{{{MAX_TAG_CHARS + 1}}}"

        def refuses(table: pa.Table) -> pa.ChunkedArray:
            tags = table["tags"]
            too_many = pc.greater_equal(pc.count_substring(tags, TAG_SEPARATOR), MAX_TAGS)
            return pc.or_(_is_unusable(tags, longest), pc.or_(too_many, pc.match_substring_regex(tags, too_long)))

        return Check(
            f"{self.table}.unusable_tags",
            f"have `tags` with one of more than {MAX_TAG_CHARS} characters, more than {MAX_TAGS}, "
            "or a control character",
            refuses,
            self.shares.unusable,
            "tags",
            only_value=True,
            advice=f"tags are separated by {TAG_SEPARATOR}",
        )


def _is_unusable(texts: pa.ChunkedArray, max_chars: int) -> pa.ChunkedArray:
    return pc.or_(pc.greater(pc.utf8_length(texts), max_chars), pc.match_substring_regex(texts, _UNSTORABLE))


def _future_advice(ts: pa.ChunkedArray, now: datetime) -> str:
    """Return the advice for future rows, by the largest difference that a time zone could explain."""
    near = ts.filter(pc.less_equal(ts, _moment(now + _LONGEST_OFFSET)))
    if not len(near):
        return "correct them at their source"
    ahead = (pc.max(near).as_py() - now) / timedelta(hours=1)
    return f"up to {ahead:.1f} h ahead: is `ts` a local time? select it with its offset, or set TIMEZONE"


def _moment(moment: datetime) -> pa.Scalar:
    return pa.scalar(moment, _TIME)
