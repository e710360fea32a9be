"""The tables of the schema `gateway`; migrations/ brings a database to them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    false,
    text,
)

from notification_gateway.stored import StoredJson, StoredLongText, StoredText
from servicekit.database import UtcDateTime

SCHEMA = "gateway"
metadata = MetaData(schema=SCHEMA)

# SQLite generates ids only for columns of the type INTEGER.
_Id = BigInteger().with_variant(Integer, "sqlite")

incidents = Table(
    "incidents",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("key", String(64), nullable=False, comment="hash of environment, service and fingerprint"),
    Column("environment", StoredText(64), nullable=False),
    Column("service", StoredText(64), nullable=False),
    Column("fingerprint", StoredJson, nullable=False),
    Column("monitoring_point", StoredText(128), nullable=False),
    Column("level", String(16), nullable=False),
    Column("category", StoredText(64), nullable=False),
    Column("message", StoredLongText, nullable=False),
    Column("priority", String(4), nullable=False),
    Column("rule", StoredText(128)),
    Column("reason", StoredLongText, nullable=False),
    Column("state", String(16), nullable=False, comment="open or resolved"),
    Column("resolution", String(16), comment="recovered, quiet, closed, false_alarm or abandoned"),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("first_seen", UtcDateTime, nullable=False),
    Column("last_seen", UtcDateTime, nullable=False),
    Column("last_signal_at", UtcDateTime, nullable=False),
    Column("resolved_at", UtcDateTime),
    Column("occurrences", BigInteger, nullable=False),
    Column("signals", Integer, nullable=False),
    Column("request_ids", StoredJson, nullable=False),
    Column("tags", StoredJson, nullable=False),
    Column("event_id", String(32)),
    Column("notified", StoredJson, nullable=False, comment="channels that were notified at once"),
    Column("silence_id", _Id),
    Column("told_at", UtcDateTime, key="notified_at", comment="when people were first notified at once"),
    Column("acknowledged_at", UtcDateTime),
    Column("acknowledged_by", StoredText(128)),
    Column("escalated_at", UtcDateTime),
    Column("last_notified_at", UtcDateTime, comment="when people were notified last, at once or in a summary"),
    Column("episode", StoredText(256), nullable=False, server_default="", comment="the run, deployment or start"),
    Column("assignee", StoredText(128)),
    Column("parent_id", _Id, comment="the incident that explains this one"),
    Column("grouped_by", StoredText(128), comment="who put it under its parent; null: the catalogue"),
    Column("closed_by", StoredText(128)),
    Index("ix_incidents_parent", "parent_id"),
    Index("ix_incidents_key", "key", "id"),
    Index("ix_incidents_state", "state", "last_signal_at"),
    Index(
        "uq_incidents_open",
        "key",
        unique=True,
        sqlite_where=text("state = 'open'"),
        postgresql_where=text("state = 'open'"),
    ),
)

incident_changes = Table(
    "incident_changes",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("incident_id", ForeignKey(incidents.c.id, ondelete="CASCADE"), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("kind", String(16), nullable=False, comment="opened, acknowledged, resolved …"),
    Column("actor", StoredText(128), nullable=False, comment="who did it; empty: the gateway"),
    Column("detail", StoredLongText, nullable=False),
    Index("ix_incident_changes_incident", "incident_id"),
)

stack_changes = Table(
    "stack_changes",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("kind", String(16), nullable=False, comment="deployment, run or policy"),
    Column("environment", StoredText(64), nullable=False),
    Column("subject", StoredText(256), nullable=False),
    Column("detail", StoredLongText, nullable=False),
    Index("ix_stack_changes_at", "at"),
)

signals = Table(
    "signals",
    metadata,
    Column("signal_id", String(64), primary_key=True),
    Column("received_at", UtcDateTime, nullable=False),
    Column("incident_id", ForeignKey(incidents.c.id, ondelete="CASCADE")),
    Column("priority", String(4), nullable=False),
    Column("body", StoredJson, nullable=False, comment="the signal as it came"),
    Index("ix_signals_received_at", "received_at"),
    Index("ix_signals_incident", "incident_id"),
)

hooks = Table(
    "hooks",
    metadata,
    Column("signature", String(64), primary_key=True),
    Column("received_at", UtcDateTime, nullable=False),
    Index("ix_hooks_received_at", "received_at"),
)

occurrence_minutes = Table(
    "occurrence_minutes",
    metadata,
    Column("environment", StoredText(64), primary_key=True),
    Column("minute", UtcDateTime, primary_key=True),
    Column("subject", String(64), primary_key=True, comment="hash of service, level, category and fingerprint"),
    Column("service", StoredText(64), nullable=False),
    Column("level", String(16), nullable=False),
    Column("category", StoredText(64), nullable=False),
    Column("fingerprint", StoredJson, nullable=False),
    Column("occurrences", BigInteger, nullable=False),
)

notifications = Table(
    "notifications",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("dedupe_key", String(200), nullable=False, unique=True),
    Column("incident_id", ForeignKey(incidents.c.id, ondelete="CASCADE")),
    Column(
        "kind", String(16), nullable=False, comment="opened, repeated, reminded, escalated, resolved, summary or notify"
    ),
    Column("channel", String(16), nullable=False),
    Column("urgency", Integer, nullable=False, comment="0 goes first"),
    Column("notice", StoredJson, nullable=False),
    Column("state", String(16), nullable=False, comment="pending, sending, grouped, sent, failed or suppressed"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("next_attempt_at", UtcDateTime, nullable=False),
    Column("last_attempt_at", UtcDateTime),
    Column("lease_until", UtcDateTime),
    Column("sent_at", UtcDateTime),
    Column(
        "detail", StoredLongText, nullable=False, server_default="", comment="the last answer of the channel's service"
    ),
    Column("latency_seconds", Float, comment="from creation to delivery"),
    Column("group_id", _Id, comment="the notification that carries this one, too"),
    Index("ix_notifications_due", "channel", "state", "next_attempt_at"),
    Index("ix_notifications_incident", "incident_id"),
    Index("ix_notifications_group", "group_id"),
)

summary_entries = Table(
    "summary_entries",
    metadata,
    Column("alert", String(16), primary_key=True),
    Column("channel", String(16), primary_key=True),
    Column("period_start", UtcDateTime, primary_key=True),
    Column("incident_id", ForeignKey(incidents.c.id, ondelete="CASCADE"), primary_key=True),
    Column("minute", UtcDateTime, primary_key=True, comment="when it was last seen"),
    Column("occurrences", BigInteger, nullable=False),
    Column(
        "silenced",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="silenced occurrences, not part of `occurrences`",
    ),
)

rate_misses = Table(
    "rate_misses",
    metadata,
    Column("incident_id", ForeignKey(incidents.c.id, ondelete="CASCADE"), primary_key=True),
    Column("minute", UtcDateTime, primary_key=True, comment="when it was last seen"),
    Column("group_key", String(64), primary_key=True, comment="hash of conditions and routes"),
    Column("conditions", StoredJson, nullable=False, comment="hashes of the conditions whose rate was not exceeded"),
    Column("routes", StoredJson, nullable=False, comment="summaries that count it already"),
    Column("occurrences", BigInteger, nullable=False),
    Column("silenced", BigInteger, nullable=False),
    Index("ix_rate_misses_minute", "minute"),
)

digests = Table(
    "digests",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("alert", String(16), nullable=False),
    Column("channel", String(16), nullable=False),
    Column("period_start", UtcDateTime, nullable=False),
    Column("part", Integer, nullable=False, server_default="0", comment="0, or how many of the period came before it"),
    Column("since", UtcDateTime, comment="when the part before it ended; null: the period's start"),
    Column("period_end", UtcDateTime, nullable=False),
    Column("is_manual", Boolean, nullable=False, server_default=false(), comment="sent before the period's end"),
    Column("content", StoredJson, comment="counts and rows; null: stored by a release before 0005"),
    Column("notice", StoredJson, nullable=False),
    Column("notification_id", _Id, comment="the message that went out; null: none did"),
    Index("uq_digests_part", "alert", "channel", "period_start", "part", unique=True),
)

pipeline_runs = Table(
    "pipeline_runs",
    metadata,
    Column("environment", StoredText(64), primary_key=True),
    Column("good_at", UtcDateTime, nullable=False, comment="end of the last good run; at first, the gateway's start"),
    Column("reported_at", UtcDateTime, comment="when it was reported that none has followed"),
)

silences = Table(
    "silences",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("matcher", StoredJson, nullable=False),
    Column("reason", StoredLongText, nullable=False),
    Column("created_by", StoredText(128), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("starts_at", UtcDateTime, nullable=False),
    Column("ends_at", UtcDateTime, nullable=False),
    Index("ix_silences_ends_at", "ends_at"),
)

heartbeats = Table(
    "heartbeats",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("written_at", UtcDateTime, nullable=False),
)

run_reports = Table(
    "run_reports",
    metadata,
    Column("run", String(128), primary_key=True),
    Column("run_id", StoredText(256), comment="the tag run_id of the run's alerts; null: the name"),
    Column("outcome", String(16), nullable=False, comment="succeeded or failed"),
    Column("posted_at", UtcDateTime, nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("page", LargeBinary, nullable=False, comment="HTML, compressed by zlib"),
    Column("checks", StoredJson, comment="results of the data checks; null: none were posted"),
    Index("ix_run_reports_run_id", "run_id"),
)

requests = Table(
    "requests",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("request_id", StoredText(128), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("service", StoredText(64), nullable=False),
    Column("environment", StoredText(64), nullable=False),
    Column("endpoint", StoredText(128), nullable=False),
    Column("status", Integer, nullable=False),
    Column("level", Integer, comment="fallback level; null: no recommendation"),
    Column("reason", StoredText(64)),
    Column("model_version", StoredText(64)),
    Column("duration_ms", Float, nullable=False),
    Column("items", Integer),
    Column("points", StoredJson, nullable=False, comment="monitoring points with their fingerprints"),
    # A batch that is sent twice is stored once.
    Index("uq_requests", "request_id", "at", "service", unique=True),
    Index("ix_requests_at", "at"),
)

requests_left_out = Table(
    "requests_left_out",
    metadata,
    Column("minute", UtcDateTime, primary_key=True, comment="when the sender said so"),
    Column("service", StoredText(64), primary_key=True),
    Column("requests", BigInteger, nullable=False),
)
