"""Monthly partitions of the event log, its key (event_id, ts), and an index on the time of receipt.

On PostgreSQL the old table becomes the first partition, as it is: no row is moved, and events are logged meanwhile. What
takes long (indexes, the check of all rows) blocks no one, and locks that block are held for milliseconds. Each step may
be repeated after an interruption.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_COLUMNS = "event_id, type, user_id, dataset_id, request_id, position, ts, received_at, experiment_variant"
# Insertions wait behind a lock that waits.
_LOCK_SECONDS = 1.0
_LOCK_TRIES = 120
_LOCK_NOT_AVAILABLE = "55P03"


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.create_index("behavior_events_received", "behavior_events", ["received_at"], schema="events")
        return
    now = datetime.now(UTC)
    # A migration may be interrupted, and continued weeks later: until then no event is logged from here on.
    bound = _next_month(_next_month(now))
    _lock_briefly(lambda: _limit_old_table(bound))
    with op.get_context().autocommit_block():
        # No one waits for these steps, so they may wait for others.
        op.execute("SET lock_timeout = 0")
        op.execute("ALTER TABLE events.behavior_events VALIDATE CONSTRAINT behavior_events_bound")
        _index("behavior_events_before_key", "UNIQUE INDEX", "(event_id, ts)")
        _index("behavior_events_before_received", "INDEX", "(received_at)")
    _lock_briefly(lambda: _attach_old_table(bound, first=_next_month(now - timedelta(days=now.day))))


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.drop_index("behavior_events_received", "behavior_events", schema="events")
        return
    op.execute("ALTER TABLE events.behavior_events RENAME TO behavior_events_partitioned")
    op.execute(
        f"""CREATE TABLE events.behavior_events AS
        SELECT DISTINCT ON (event_id) {_COLUMNS} FROM events.behavior_events_partitioned ORDER BY event_id, ts"""
    )
    op.execute("DROP TABLE events.behavior_events_partitioned")
    op.execute(
        """ALTER TABLE events.behavior_events ADD PRIMARY KEY (event_id), ALTER type SET NOT NULL,
        ALTER user_id SET NOT NULL, ALTER dataset_id SET NOT NULL, ALTER ts SET NOT NULL,
        ALTER received_at SET NOT NULL"""
    )
    op.create_index("behavior_events_ts", "behavior_events", ["ts"], schema="events")
    op.create_index("behavior_events_user", "behavior_events", ["user_id", "ts"], schema="events")


def _next_month(moment: datetime) -> datetime:
    first = moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + timedelta(days=32)).replace(day=1)


def _limit_old_table(bound: datetime) -> None:
    """Let the old table take no event from `bound` on; those that it has (of clocks far ahead) are set aside."""
    op.execute("ALTER TABLE events.behavior_events DROP CONSTRAINT IF EXISTS behavior_events_bound")
    op.execute(f"ALTER TABLE events.behavior_events ADD CONSTRAINT behavior_events_bound CHECK (ts < '{bound}') NOT VALID")
    op.execute(
        """CREATE TABLE IF NOT EXISTS events.behavior_events_default (LIKE events.behavior_events INCLUDING DEFAULTS)"""
    )
    op.execute(
        f"""WITH moved AS (DELETE FROM events.behavior_events WHERE ts >= '{bound}' RETURNING *)
        INSERT INTO events.behavior_events_default ({_COLUMNS}) SELECT {_COLUMNS} FROM moved"""
    )


def _index(name: str, kind: str, columns: str) -> None:
    # What an interrupted migration leaves is invalid.
    is_valid = sa.text(
        "SELECT indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid "
        "WHERE relname = :name AND relnamespace = 'events'::regnamespace"
    )
    found = op.get_bind().execute(is_valid, {"name": name}).scalar()
    if found is False:
        op.execute(f"DROP INDEX CONCURRENTLY events.{name}")
    if not found:
        op.execute(f"CREATE {kind} CONCURRENTLY {name} ON events.behavior_events {columns}")


def _attach_old_table(bound: datetime, first: datetime) -> None:
    """Make the old table a partition; without a row it is replaced by those from the month `first`."""
    for statement in (
        "ALTER TABLE events.behavior_events RENAME TO behavior_events_before",
        "ALTER INDEX events.behavior_events_user RENAME TO behavior_events_before_user",
        "ALTER TABLE events.behavior_events_before DROP CONSTRAINT behavior_events_pkey",
        """ALTER TABLE events.behavior_events_before ADD CONSTRAINT behavior_events_before_key
        PRIMARY KEY USING INDEX behavior_events_before_key""",
        """CREATE TABLE events.behavior_events (LIKE events.behavior_events_before INCLUDING DEFAULTS,
        PRIMARY KEY (event_id, ts)) PARTITION BY RANGE (ts)""",
        "CREATE INDEX behavior_events_user ON events.behavior_events (user_id, ts)",
        "CREATE INDEX behavior_events_received ON events.behavior_events (received_at)",
    ):
        op.execute(statement)
    _copy_grants()
    if op.get_bind().execute(sa.text("SELECT 1 FROM events.behavior_events_before LIMIT 1")).scalar() is None:
        op.execute("DROP TABLE events.behavior_events_before")
    else:
        op.execute(
            f"""ALTER TABLE events.behavior_events
            ATTACH PARTITION events.behavior_events_before FOR VALUES FROM (MINVALUE) TO ('{bound}')"""
        )
        op.execute("ALTER TABLE events.behavior_events_before DROP CONSTRAINT behavior_events_bound")
        first = bound
    # The worker makes those that follow.
    while first <= bound:
        name, after = f"behavior_events_{first:%Y_%m}", _next_month(first)
        op.execute(
            f"""CREATE TABLE events.{name} PARTITION OF events.behavior_events
            FOR VALUES FROM ('{first}') TO ('{after}')"""
        )
        first = after
    _attach_default()


def _attach_default() -> None:
    """Attach what was set aside, now or when the migration was interrupted, without what other partitions take."""
    spans = (
        op.get_bind()
        .execute(
            sa.text(
                "SELECT pg_get_partition_constraintdef(inhrelid) FROM pg_inherits "
                "WHERE inhparent = 'events.behavior_events'::regclass"
            )
        )
        .scalars()
    )
    is_taken = " OR ".join(f"({span})" for span in spans)
    op.execute(
        f"""WITH moved AS (DELETE FROM events.behavior_events_default WHERE {is_taken} RETURNING *)
        INSERT INTO events.behavior_events ({_COLUMNS}) SELECT {_COLUMNS} FROM moved ON CONFLICT DO NOTHING"""
    )
    op.execute("ALTER TABLE events.behavior_events ATTACH PARTITION events.behavior_events_default DEFAULT")


def _copy_grants() -> None:
    """Let others read the new table who may read the old one."""
    op.execute(
        """DO $$
        DECLARE given record;
        BEGIN
          FOR given IN
            SELECT privilege_type AS privilege, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END AS role
            FROM pg_class, aclexplode(relacl)
            WHERE oid = 'events.behavior_events_before'::regclass AND grantee <> relowner
          LOOP
            EXECUTE format('GRANT %s ON events.behavior_events TO %s', given.privilege, given.role);
          END LOOP;
        END $$"""
    )


def _lock_briefly(change: Callable[[], None]) -> None:
    """Do all of a change under a lock on the log that waits for one second at most, and is tried for two minutes."""
    bind = op.get_bind()
    for attempt in range(1, _LOCK_TRIES + 1):
        # What follows must not be committed alone.
        savepoint = bind.begin_nested()
        try:
            op.execute(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS:.0f}s'")
            op.execute("LOCK TABLE events.behavior_events IN ACCESS EXCLUSIVE MODE")
            change()
        except sa.exc.OperationalError as error:
            savepoint.rollback()
            if getattr(error.orig, "pgcode", None) != _LOCK_NOT_AVAILABLE or attempt == _LOCK_TRIES:
                raise
            time.sleep(_LOCK_SECONDS / 2)
        else:
            savepoint.commit()
            return
