"""The checks of datasets and users as a whole: columns that are empty, constant, repeated or out of range."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.quality.findings import Finding, bounded_finding
from pipeline.quality.profile import TableProfile
from pipeline.quality.profiling import Tables, utc_seconds
from pipeline.quality.rules import Bound, Rules

# Shares of fewer values say nothing.
_FEW = 20
# An outlier is this many times the median or more, and far from it in robust deviations (Iglewicz and Hoaglin, 1993).
_OUTLIER_RATIO = 1000.0
_OUTLIER_DEVIATIONS = 3.5
_MAD_TO_DEVIATION = 1.4826
# What decoders write for bytes that they can't decode, and UTF-8 that was read as Latin-1.
_BROKEN = r"\x{FFFD}|\?{3,}|[ÃÂ][\x{80}-\x{BF}]|[\x{E3}-\x{E9}][\x{80}-\x{BF}]{2}"
_GAP_SECONDS = 10 * 365 * 86_400
_EARLIEST_PLAUSIBLE = 365 * 86_400


def catalogue_findings(tables: Tables, datasets: TableProfile, rules: Rules) -> list[Finding]:
    """Return the results of all checks of datasets and users as a whole."""
    bounds = rules.datasets
    return [
        _null_price(tables, datasets, bounds.null_price),
        _constant_price(datasets, tables.datasets["price"], bounds.constant_price),
        outlier_price("datasets", tables.datasets["price"], bounds.outlier_price),
        *(
            _repeated(datasets, column, bound)
            for column, bound in (
                ("title", bounds.repeated_title),
                ("description", bounds.repeated_description),
                ("tags", bounds.repeated_tags),
            )
        ),
        _duplicate_content(tables.datasets, bounds.duplicate_content),
        _broken_text(tables.datasets["title"], bounds.broken_text),
        _implausible_created_at("datasets", tables.datasets["created_at"], bounds.implausible_created_at),
        _implausible_created_at("users", tables.users["created_at"], rules.users.implausible_created_at),
    ]


def _null_price(tables: Tables, datasets: TableProfile, bound: Bound) -> Finding:
    """Count datasets without a price, if there are purchases: else the marketplace may have none."""
    check = "datasets.null_price"
    rows = tables.interactions
    purchases = rows.filter(pc.equal(rows["type"], "purchase"))["price"]
    share = datasets.null_share("price") or 0.0
    details = f"{round(share * datasets.rows):,} of {datasets.rows:,} datasets have no price"
    if not len(purchases):
        return Finding(check, "ok", f"{details}; there are no purchases", round(share, 6), bound.warning or 0.0)
    if not pc.any(pc.greater(purchases, 0)).as_py():
        bound = Bound(warning=bound.warning, critical=None)
    return bounded_finding(check, share, bound, details, "look at the price column; a missing price counts as free")


def _constant_price(datasets: TableProfile, price: pa.ChunkedArray, bound: Bound) -> Finding:
    known = datasets.rows - datasets.columns["price"].nulls
    share = datasets.columns["price"].largest_share
    details = f"{share:.1%} of {known:,} prices are the same"
    is_free = known and pc.max(price).as_py() == 0
    if known < _FEW or is_free:
        return Finding("datasets.constant_price", "ok", details, share, bound.warning or 0.0)
    return bounded_finding("datasets.constant_price", share, bound, details, "look at the price column")


def outlier_price(table: str, price: pa.ChunkedArray, bound: Bound) -> Finding:
    """Count prices that are far from the median of the column's logarithms; zero is not a price here."""
    check = f"{table}.outlier_price"
    prices = price.drop_null().to_numpy()
    logs = np.log(prices[prices > 0])
    if len(logs) < _FEW:
        return Finding(check, "ok", f"{len(logs):,} prices are too few for this check", 0.0, bound.warning or 0.0)
    median = float(np.median(logs))
    distance = np.abs(logs - median)
    deviation = _MAD_TO_DEVIATION * float(np.median(distance))
    outliers = (distance >= np.log(_OUTLIER_RATIO)) & (distance > _OUTLIER_DEVIATIONS * deviation)
    count = int(outliers.sum())
    details = f"{count:,} of {len(logs):,} prices are far from the median {np.exp(median):,.2f}"
    if count:
        farthest = np.exp(logs[int(distance.argmax())])
        details += f", such as {farthest:,.6g}; they are kept"
    return bounded_finding(check, count / len(logs), bound, details, "are they in another unit or currency?")


def _repeated(datasets: TableProfile, column: str, bound: Bound) -> Finding:
    check = f"datasets.repeated_{column}"
    found = datasets.columns[column]
    known = datasets.rows - found.nulls
    details = f"{found.largest_share:.1%} of {known:,} datasets have the same {column}"
    if known < _FEW:
        return Finding(check, "ok", details, found.largest_share, bound.warning or 0.0)
    return bounded_finding(check, found.largest_share, bound, details, f"does the SQL select the right {column}?")


def _duplicate_content(datasets: pa.Table, bound: Bound) -> Finding:
    keys = ["title", "description", "provider", "price"]
    distinct = len(datasets.group_by(keys).aggregate([]))
    repeats = len(datasets) - distinct
    details = f"{repeats:,} of {len(datasets):,} datasets repeat another in {', '.join(keys)}, under an id of their own"
    share = repeats / len(datasets) if len(datasets) >= _FEW else 0.0
    return bounded_finding("datasets.duplicate_content", share, bound, details, "does a join repeat rows?")


def _broken_text(titles: pa.ChunkedArray, bound: Bound) -> Finding:
    broken = titles.filter(pc.match_substring_regex(titles, _BROKEN))
    details = f"{len(broken):,} of {len(titles):,} titles look wrongly decoded"
    if len(broken):
        details += f", such as {broken[0].as_py()[:40]!r}"
    share = len(broken) / len(titles) if len(titles) else 0.0
    return bounded_finding("datasets.broken_text", share, bound, details, "look at the encoding of the source")


def _implausible_created_at(table: str, created_at: pa.ChunkedArray, bound: Bound) -> Finding:
    seconds = np.sort(utc_seconds(created_at.drop_null()))
    implausible = _implausible_times(seconds)
    count = int(implausible.sum())
    details = f"{count:,} of {len(seconds):,} {table} were created years apart from the rest, or before 1971"
    if count:
        strange = seconds[implausible][0]
        details += f", such as {np.datetime64(int(strange), 's').astype('datetime64[D]')}; they are kept"
    share = count / len(seconds) if len(seconds) else 0.0
    advice = "select NULL where it is not known"
    return bounded_finding(f"{table}.implausible_created_at", share, bound, details, advice)


def _implausible_times(seconds: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return a mask over ascending times: those before 1971, and less than half that a gap of ten years cuts off."""
    implausible: NDArray[np.bool_] = seconds < _EARLIEST_PLAUSIBLE
    half = len(seconds) // 2
    gaps = np.flatnonzero(np.diff(seconds) >= _GAP_SECONDS)
    if len(low := gaps[gaps < half]):
        implausible[: int(low[-1]) + 1] = True
    if len(high := gaps[gaps >= half]):
        implausible[int(high[0]) + 1 :] = True
    return implausible
