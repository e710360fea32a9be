"""Matches the names of a table's columns, and finds those to rename."""

import difflib
from collections.abc import Sequence

from pipeline.importers.bad_rows import BadCellError, show_value
from pipeline.importers.rows import Columns

_OTHER_NAMES = {
    "id": ("dataset", "dataset_id", "item", "item_id", "product_id", "sku", "uuid"),
    "title": ("name", "dataset_name", "product_name", "标题", "名称"),
    "tags": ("tag", "labels", "categories", "keywords", "标签"),
    "price": ("cost", "amount", "价格"),
    "provider": ("vendor", "supplier", "seller", "source"),
    "cover_image": ("image", "cover", "image_url", "picture"),
    "created_at": ("created", "create_time", "creation_time", "created_time"),
    "user_id": ("user", "uid", "customer_id", "member_id", "userid", "用户id"),
    "dataset_id": ("dataset", "item_id", "item", "product_id", "sku", "id", "datasetid"),
    "type": ("event", "event_type", "action", "behavior", "behaviour", "interaction_type", "类型"),
    "ts": ("timestamp", "time", "event_time", "date", "datetime", "created_at", "时间"),
    "company_name": ("company", "organization"),
    "city": ("town",),
    "province": ("state", "region"),
}


class HeaderError(BadCellError):
    """The table's columns can't be matched."""


def match_columns(names: Sequence[str], columns: Columns) -> tuple[list[str | None], list[BadCellError]]:
    """Return the column that each column of a file stands for (None: ignored), and the faults of the names.

    A column that seems to be misspelt is read as the one it seems to be, so that the faults of its cells are found too.
    Raises `HeaderError` if a required column can't be found.
    """
    matched: list[str | None] = [name if name in columns.known else None for name in names]
    faults: list[BadCellError] = []
    for position, name in enumerate(names):
        if matched[position] is not None:
            continue
        meant = _meant(name, [known for known in columns.known if known not in matched])
        matched[position] = meant
        advice = f"rename it to {meant}" if meant else f"known are {', '.join(columns.known)}"
        faults.append(BadCellError("unknown column", f"unknown column {show_value(name)}; {advice}"))
    repeated = {name for name in matched if name is not None and matched.count(name) > 1}
    faults += [BadCellError("repeated column", f"the column {name} appears twice") for name in sorted(repeated)]
    if missing := [name for name in columns.required if name not in matched]:
        has = ", ".join(show_value(name) for name in names) or "nothing"
        raise HeaderError("missing column", f"the header lacks {', '.join(missing)}; it has {has}")
    return matched, faults


def _meant(name: str, free: list[str]) -> str | None:
    folded = name.strip().casefold().replace(" ", "_").replace("-", "_")
    for known in free:
        if folded == known or folded in _OTHER_NAMES.get(known, ()):
            return known
    close = difflib.get_close_matches(folded[:64], free, 1, cutoff=0.8)
    return close[0] if close else None
