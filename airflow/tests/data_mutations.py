"""Ways in which a sound data set goes wrong, each with the check that finds it and its severity."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.demo.extracted import Extracted
from pipeline.extract.columns import SCHEMAS

END = datetime(2026, 3, 1, 12, tzinfo=UTC)
Mutate = Callable[[Extracted, np.random.Generator], Extracted]
_TIME = pa.timestamp("us", tz="UTC")


class Mutation(NamedTuple):
    """A change of the data. `needs_history`: only a comparison with earlier runs can find it."""

    name: str
    mutate: Mutate
    check: str
    severity: str
    needs_history: bool = False


def _with(tables: Extracted, table: str, column: str, values: pa.Array | pa.ChunkedArray | list[object]) -> Extracted:
    schema = SCHEMAS[table]
    place = schema.get_field_index(column)
    array = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, schema.field(place).type)
    changed = tables[table].set_column(place, schema.field(place), array.cast(schema.field(place).type))
    return tables | {table: changed}


def replaced(table: str, column: str, share: float, value: object) -> Mutate:
    """Give a share of the rows another value."""

    def mutate(tables: Extracted, rng: np.random.Generator) -> Extracted:
        old = tables[table][column].combine_chunks()
        chosen = pa.array(rng.random(len(old)) < share)
        return _with(tables, table, column, pc.if_else(chosen, pa.scalar(value, old.type), old))

    return mutate


def scaled_price(table: str, share: float, factor: float) -> Mutate:
    """Multiply a share of the prices."""

    def mutate(tables: Extracted, rng: np.random.Generator) -> Extracted:
        old = tables[table]["price"].combine_chunks()
        chosen = pa.array(rng.random(len(old)) < share)
        return _with(tables, table, "price", pc.if_else(chosen, pc.multiply(old, factor), old))

    return mutate


def scaled_everywhere(factor: float) -> Mutate:
    """Multiply all prices of both tables."""
    datasets, interactions = scaled_price("datasets", 1.1, factor), scaled_price("interactions", 1.1, factor)
    return lambda tables, rng: interactions(datasets(tables, rng), rng)


def kept(table: str, column: str, keep: Callable[[pa.ChunkedArray], pa.ChunkedArray]) -> Mutate:
    """Keep only the rows whose column passes."""
    return lambda tables, rng: tables | {table: tables[table].filter(keep(tables[table][column]))}


def kept_share(table: str, share: float) -> Mutate:
    """Keep a random share of a table's rows."""
    return lambda tables, rng: tables | {table: tables[table].filter(pa.array(rng.random(len(tables[table])) < share))}


def shifted(**shift: float) -> Mutate:
    """Move all times of the interactions."""
    delta = pa.scalar(timedelta(**shift), pa.duration("us"))
    return lambda tables, rng: _with(tables, "interactions", "ts", pc.add(tables["interactions"]["ts"], delta))


def repeated(since: timedelta, times: int, **shift: float) -> Mutate:
    """Append the interactions of the last days again, moved by a time."""
    delta = pa.scalar(timedelta(**shift), pa.duration("us"))

    def mutate(tables: Extracted, rng: np.random.Generator) -> Extracted:
        rows = tables["interactions"]
        again = rows.filter(pc.greater(rows["ts"], pa.scalar(END - since, _TIME)))
        place = rows.schema.get_field_index("ts")
        copies = [rows]
        for number in range(1, times + 1):
            ts = pc.add(again["ts"], pc.multiply(delta, number))
            copies.append(again.set_column(place, rows.schema.field(place), ts))
        return tables | {"interactions": pa.concat_tables(copies)}

    return mutate


def without_days(first: float, last: float) -> Mutate:
    """Remove the interactions from `first` to `last` days before the end."""
    start, stop = pa.scalar(END - timedelta(days=first), _TIME), pa.scalar(END - timedelta(days=last), _TIME)
    return kept("interactions", "ts", lambda ts: pc.or_(pc.less(ts, start), pc.greater(ts, stop)))


def nearly_dry_last_day(tables: Extracted, rng: np.random.Generator) -> Extracted:
    ts = tables["interactions"]["ts"]
    earlier = pc.less(ts, pa.scalar(END - timedelta(days=1), _TIME)).to_numpy()
    return tables | {"interactions": tables["interactions"].filter(pa.array(earlier | (rng.random(len(ts)) < 0.1)))}


def truncated_to_days(tables: Extracted, rng: np.random.Generator) -> Extracted:
    days = pc.floor_temporal(tables["interactions"]["ts"], unit="day")
    return _with(tables, "interactions", "ts", days)


def mojibake(tables: Extracted, rng: np.random.Generator) -> Extracted:
    titles = [f"{title[:10]}\ufffd\ufffd{title[12:]}" for title in tables["datasets"]["title"].to_pylist()]
    return _with(tables, "datasets", "title", titles)


def repeated_datasets(tables: Extracted, rng: np.random.Generator) -> Extracted:
    datasets = tables["datasets"]
    again = datasets.slice(0, len(datasets) // 3)
    ids = pc.add(again["id"], 1_000_000)
    return tables | {"datasets": pa.concat_tables([datasets, again.set_column(0, datasets.schema.field(0), ids)])}


def repeated_ids(tables: Extracted, rng: np.random.Generator) -> Extracted:
    return tables | {"datasets": pa.concat_tables([tables["datasets"], tables["datasets"].slice(0, 30)])}


def empty(table: str) -> Mutate:
    return lambda tables, rng: tables | {table: tables[table].slice(0, 0)}


_NEVER = datetime(1, 1, 1, tzinfo=UTC)
_ZERO_DATE = datetime(1900, 1, 1, tzinfo=UTC)
MUTATIONS = [
    # Prices.
    Mutation("all_prices_null", replaced("datasets", "price", 1.1, None), "datasets.null_price", "critical"),
    Mutation("half_the_prices_null", replaced("datasets", "price", 0.5, None), "datasets.null_price", "warning"),
    Mutation(
        "a_tenth_of_the_prices_times_a_million",
        scaled_price("datasets", 0.1, 1e6),
        "datasets.outlier_price",
        "critical",
    ),
    Mutation("a_few_prices_times_a_million", scaled_price("datasets", 0.02, 1e6), "datasets.outlier_price", "warning"),
    Mutation(
        "some_purchases_times_a_million",
        scaled_price("interactions", 0.1, 1e6),
        "interactions.outlier_price",
        "critical",
    ),
    Mutation("all_prices_equal", replaced("datasets", "price", 1.1, 9.9), "datasets.constant_price", "warning"),
    Mutation("all_prices_zero", replaced("datasets", "price", 1.1, 0.0), "interactions.price_mismatch", "warning"),
    Mutation(
        "prices_in_cents_in_one_table", scaled_price("datasets", 1.1, 100.0), "interactions.price_mismatch", "warning"
    ),
    Mutation("many_negative_prices", replaced("datasets", "price", 0.3, -1.0), "datasets.negative_price", "critical"),
    Mutation("a_few_negative_prices", replaced("datasets", "price", 0.02, -1.0), "datasets.negative_price", "warning"),
    Mutation(
        "many_prices_not_a_number",
        replaced("datasets", "price", 0.3, float("nan")),
        "datasets.unusable_price",
        "critical",
    ),
    # Texts.
    Mutation("all_titles_empty", replaced("datasets", "title", 1.1, ""), "datasets.blank_title", "critical"),
    Mutation(
        "many_titles_of_white_space",
        replaced("datasets", "title", 0.2, " \u3000\t"),
        "datasets.blank_title",
        "critical",
    ),
    Mutation("many_titles_null", replaced("datasets", "title", 0.2, None), "datasets.null_title", "critical"),
    Mutation(
        "all_titles_the_same", replaced("datasets", "title", 1.1, "untitled"), "datasets.repeated_title", "critical"
    ),
    Mutation(
        "half_the_titles_the_same", replaced("datasets", "title", 0.5, "untitled"), "datasets.repeated_title", "warning"
    ),
    Mutation("titles_decoded_wrongly", mojibake, "datasets.broken_text", "warning"),
    Mutation(
        "many_titles_too_long", replaced("datasets", "title", 0.2, "x" * 501), "datasets.unusable_title", "critical"
    ),
    Mutation(
        "all_descriptions_the_same",
        replaced("datasets", "description", 1.1, "TODO"),
        "datasets.repeated_description",
        "warning",
    ),
    Mutation("all_tags_the_same", replaced("datasets", "tags", 1.1, "data"), "datasets.repeated_tags", "warning"),
    Mutation(
        "many_control_characters",
        replaced("datasets", "description", 0.2, "a\x01b"),
        "datasets.unusable_description",
        "critical",
    ),
    # Rows and ids of datasets and users.
    Mutation("datasets_repeated_by_a_join", repeated_datasets, "datasets.duplicate_content", "warning"),
    Mutation("dataset_ids_repeated", repeated_ids, "datasets.duplicate_id", "critical"),
    Mutation("no_datasets", empty("datasets"), "datasets.empty", "critical"),
    Mutation("all_datasets_deleted", replaced("datasets", "is_deleted", 1.1, True), "datasets.empty", "critical"),
    Mutation("most_datasets_missing", kept_share("datasets", 0.2), "interactions.unknown_dataset", "critical"),
    Mutation("no_users", empty("users"), "interactions.unknown_user", "warning"),
    Mutation(
        "many_user_ids_null", replaced("interactions", "user_id", 0.1, None), "interactions.null_user_id", "critical"
    ),
    Mutation(
        "many_dataset_ids_zero",
        replaced("interactions", "dataset_id", 0.1, 0),
        "interactions.low_dataset_id",
        "critical",
    ),
    Mutation(
        "some_datasets_created_in_1900",
        replaced("datasets", "created_at", 0.1, _ZERO_DATE),
        "datasets.implausible_created_at",
        "warning",
    ),
    Mutation(
        "all_datasets_created_in_1900",
        replaced("datasets", "created_at", 1.1, _ZERO_DATE),
        "datasets.implausible_created_at",
        "warning",
    ),
    Mutation(
        "some_users_created_in_1900",
        replaced("users", "created_at", 0.1, _ZERO_DATE),
        "users.implausible_created_at",
        "warning",
    ),
    Mutation(
        "many_datasets_created_in_the_year_1",
        replaced("datasets", "created_at", 0.2, _NEVER),
        "datasets.unusable_created_at",
        "critical",
    ),
    # Times.
    Mutation("stopped_88_days_ago", shifted(days=-88), "interactions.freshness_days", "warning"),
    Mutation("stopped_4_days_ago", without_days(4, -1), "interactions.freshness_days", "warning"),
    Mutation("dry_for_30_days", without_days(30, -1), "interactions.freshness_days", "warning"),
    Mutation("11_days_missing", without_days(50, 39), "interactions.missing_days", "warning"),
    Mutation("30_days_missing", without_days(60, 30), "interactions.missing_days", "critical"),
    Mutation("one_day_missing", without_days(20.5, 19.4), "interactions.missing_days", "warning"),
    Mutation("last_day_nearly_dry", nearly_dry_last_day, "interactions.volume_drop", "warning"),
    Mutation(
        "last_day_read_five_times", repeated(timedelta(days=1), 5, minutes=-1), "interactions.volume_spike", "warning"
    ),
    Mutation("dates_without_times", truncated_to_days, "interactions.busiest_hour", "warning"),
    Mutation("all_times_equal", replaced("interactions", "ts", 1.1, END), "interactions.same_ts", "warning"),
    Mutation(
        "a_third_of_the_times_equal",
        replaced("interactions", "ts", 0.33, END - timedelta(days=2)),
        "interactions.same_ts",
        "warning",
    ),
    Mutation("times_of_1900", replaced("interactions", "ts", 0.3, _ZERO_DATE), "interactions.early_ts", "warning"),
    Mutation("times_of_year_1", replaced("interactions", "ts", 0.02, _NEVER), "interactions.early_ts", "warning"),
    Mutation("all_times_of_1900", replaced("interactions", "ts", 1.1, _ZERO_DATE), "interactions.empty", "critical"),
    Mutation(
        "a_few_times_of_1999",
        replaced("interactions", "ts", 0.01, datetime(1999, 5, 5, tzinfo=UTC)),
        "interactions.implausible_ts",
        "warning",
    ),
    Mutation("local_time_read_as_utc", shifted(hours=8), "interactions.future_ts", "warning"),
    Mutation("many_times_null", replaced("interactions", "ts", 0.1, None), "interactions.null_ts", "critical"),
    # Interactions.
    Mutation("no_interactions", empty("interactions"), "interactions.empty", "critical"),
    Mutation(
        "many_unknown_types", replaced("interactions", "type", 0.1, "like"), "interactions.unknown_type", "critical"
    ),
    Mutation("only_views", replaced("interactions", "type", 1.1, "view"), "interactions.one_type", "info"),
    Mutation("one_user_dominates", replaced("interactions", "user_id", 0.7, 3), "interactions.largest_user", "warning"),
    Mutation("one_user_only", replaced("interactions", "user_id", 1.1, 3), "interactions.largest_user", "critical"),
    Mutation(
        "one_dataset_dominates",
        replaced("interactions", "dataset_id", 0.7, 3),
        "interactions.largest_dataset",
        "warning",
    ),
    Mutation(
        "one_dataset_only", replaced("interactions", "dataset_id", 1.1, 3), "interactions.largest_dataset", "critical"
    ),
    Mutation("all_interactions_twice", repeated(timedelta(days=999), 1), "interactions.duplicate", "critical"),
    Mutation(
        "all_interactions_twice_in_two_time_zones",
        repeated(timedelta(days=999), 1, hours=-8),
        "interactions.shifted_duplicate",
        "critical",
    ),
    Mutation(
        "some_interactions_twice_a_millisecond_later",
        repeated(timedelta(days=20), 1, milliseconds=-3),
        "interactions.shifted_duplicate",
        "critical",
    ),
    # What only a comparison with earlier runs can find.
    Mutation(
        "stopped_88_days_ago_after_fresh_runs", shifted(days=-88), "interactions.freshness_days", "critical", True
    ),
    Mutation("a_fifth_of_the_datasets_gone", kept_share("datasets", 0.8), "drift.datasets_lost", "warning", True),
    Mutation("most_users_gone", kept_share("users", 0.3), "drift.users_lost", "critical", True),
    Mutation(
        "a_third_of_the_interactions_gone", kept_share("interactions", 0.66), "drift.interactions_lost", "warning", True
    ),
    Mutation("most_interactions_gone", kept_share("interactions", 0.3), "drift.interactions_lost", "critical", True),
    Mutation(
        "three_times_the_interactions",
        repeated(timedelta(days=999), 2, minutes=-977),
        "drift.interactions_gained",
        "warning",
        True,
    ),
    Mutation(
        "a_fifth_of_the_prices_null", replaced("datasets", "price", 0.18, None), "drift.null_price", "warning", True
    ),
    Mutation(
        "all_descriptions_null",
        replaced("datasets", "description", 1.1, None),
        "drift.null_description",
        "warning",
        True,
    ),
    Mutation("all_tags_null", replaced("datasets", "tags", 1.1, None), "drift.null_tags", "warning", True),
    Mutation("all_providers_null", replaced("datasets", "provider", 1.1, None), "drift.null_provider", "warning", True),
    Mutation("all_prices_in_cents", scaled_everywhere(100.0), "drift.price", "critical", True),
    Mutation("prices_doubled", scaled_everywhere(2.5), "drift.price", "warning", True),
    Mutation(
        "no_more_purchases_and_favourites",
        kept("interactions", "type", lambda kind: pc.equal(kind, "view")),
        "drift.type_share",
        "warning",
        True,
    ),
    Mutation("times_moved_by_8_hours", shifted(hours=-8), "drift.hour_of_day", "warning", True),
    Mutation("a_robot", replaced("interactions", "user_id", 0.35, 3), "drift.largest_user", "warning", True),
    Mutation(
        "a_popular_default", replaced("interactions", "dataset_id", 0.35, 3), "drift.largest_dataset", "warning", True
    ),
]
