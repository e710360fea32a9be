"""The metrics of feature-sync."""

from prometheus_client import Counter, Gauge

from servicekit.metrics import ServiceMetrics


class Metrics(ServiceMetrics):
    """The worker's counters, and those of monitoring."""

    def __init__(self) -> None:
        super().__init__()
        self.events = Counter(
            "sync_events_total", "Stream entries by what became of them", ["outcome"], registry=self.registry
        )
        for outcome in ("applied", "logged", "rejected", "deleted"):
            self.events.labels(outcome)
        self.suspects = Gauge(
            "sync_suspect_entries", "Stream entries that failed alone and are tried again", registry=self.registry
        )
        self.dead_letters_dropped = Counter(
            "sync_dead_letters_dropped_total",
            "Dead letters that were pushed out by newer ones",
            registry=self.registry,
        )
        self.lag = Gauge("sync_stream_lag", "Stream entries that are not in PostgreSQL yet", registry=self.registry)
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
