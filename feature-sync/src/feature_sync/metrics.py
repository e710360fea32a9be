"""The metrics of feature-sync."""

from prometheus_client import Counter, Gauge

from servicekit.database_health import MONITOR
from servicekit.database_metrics import DatabaseCollector
from servicekit.metrics import ServiceMetrics


class Metrics(ServiceMetrics):
    """The worker's counters, and those of monitoring."""

    def __init__(self) -> None:
        super().__init__()
        self.registry.register(DatabaseCollector(MONITOR.measured))
        self.events = Counter(
            "sync_events_total", "Stream entries by what became of them", ["outcome"], registry=self.registry
        )
        for outcome in ("applied", "logged", "rejected", "deleted"):
            self.events.labels(outcome)
        self.forgotten_events = Counter(
            "sync_forgotten_events_total",
            "Events from before their user was forgotten, which were dropped",
            ["group"],
            registry=self.registry,
        )
        for group in ("live", "log"):
            self.forgotten_events.labels(group)
        self.served_features = Counter(
            "sync_served_features_total",
            "Entries of the stream of served features by what became of them",
            ["outcome"],
            registry=self.registry,
        )
        for outcome in ("stored", "rejected"):
            self.served_features.labels(outcome)
        self.unfinished_removals = Gauge(
            "sync_unfinished_removals", "Forgotten users whose removal is not finished", registry=self.registry
        )
        self.suspects = Gauge(
            "sync_suspect_entries",
            "Stream entries that failed alone and are tried again",
            ["stage"],
            registry=self.registry,
        )
        for stage in ("live features", "event log"):
            self.suspects.labels(stage)
        self.dead_letters_dropped = Counter(
            "sync_dead_letters_dropped_total",
            "Dead letters that were pushed out by newer ones",
            registry=self.registry,
        )
        self.lag = Gauge(
            "sync_stream_lag",
            "Stream entries that a consumer group has not finished; log: not in PostgreSQL yet",
            ["group"],
            registry=self.registry,
        )
        self.lag_seconds = Gauge(
            "sync_stream_lag_seconds",
            "Age of the oldest stream entry that a consumer group has not finished",
            ["group"],
            registry=self.registry,
        )
        for group in ("live", "log"):
            self.lag.labels(group)
            self.lag_seconds.labels(group)
        self.dead_letters = Gauge("sync_dead_letters", "Stored dead letters", registry=self.registry)
        self.snapshot_age = Gauge(
            "sync_snapshot_age_seconds",
            "Time since the active snapshot was made; NaN: there is none, or it is not known",
            registry=self.registry,
        )
        self.snapshot_age.set(float("nan"))
        self.memory = Gauge(
            "sync_redis_memory_bytes",
            "Memory of Redis by family of keys, estimated from samples",
            ["family"],
            registry=self.registry,
        )
        self.memory_used = Gauge("sync_redis_memory_used_bytes", "Memory that Redis uses", registry=self.registry)
        self.memory_limit = Gauge(
            "sync_redis_memory_limit_bytes", "`maxmemory` of Redis; 0: none", registry=self.registry
        )
        self.users = Gauge("sync_snapshot_users", "Users of the active snapshot", registry=self.registry)
        self.seconds = Gauge("sync_snapshot_seconds", "How long its sync took", registry=self.registry)
        self.snapshots = Counter("sync_snapshots_total", "Syncs by how they ended", ["outcome"], registry=self.registry)
        for outcome in ("done", "failed"):
            self.snapshots.labels(outcome)
        self.withdrawn = Gauge(
            "sync_withdrawn_datasets", "Datasets that no answer shows, as Redis holds them", registry=self.registry
        )
        self.followed_at = Gauge(
            "sync_deleted_read_timestamp_seconds",
            "When the business database was last asked for deleted datasets; 0: never",
            registry=self.registry,
        )
