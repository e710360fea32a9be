"""Builds the parts of monitoring for one process."""

import logging
from importlib.metadata import version

from monitoring import catalogue, tracing
from monitoring.before_send import BeforeSend, load_hook
from monitoring.coalescing import Coalescer
from monitoring.collector import CollectorPath, EventFilter, start_sdk
from monitoring.ended_requests.gateway_index import GatewayIndex
from monitoring.ended_requests.recorder import RequestRecorder
from monitoring.events import Origin
from monitoring.exported_spans import SpanExport
from monitoring.metrics import Counters
from monitoring.outbox.outbox import Outbox
from monitoring.outbox.outcomes import Deliver
from monitoring.redaction import Redactor
from monitoring.runtime import Runtime
from monitoring.settings import MonitoringSettings, split_list
from monitoring.signals import BATCH, GatewaySink, LocalSink, SignalPath, SignalSink
from monitoring.spool import DiskStore
from monitoring.store import MemoryStore, Store

_log = logging.getLogger(__name__)

# Bound of the memory for undelivered events and signals without a spool.
MEMORY_BYTES = 8 * 2**20


def build(service: str, settings: MonitoringSettings, redactor: Redactor, signal_sink: SignalSink | None) -> Runtime:
    """Return the started runtime. Without collector and gateway, reports go to the log only."""
    counters = Counters()
    collector = _collector(service, settings, redactor, counters)
    signals = _signals(service, settings, counters, signal_sink)
    if collector is None:
        _log.info("SENTRY_DSN is not set: %s sends no events to a collector", service)
    runtime = Runtime(
        service,
        catalogue.load_all(),
        coalescer=Coalescer(),
        redactor=redactor,
        counters=counters,
        collector=collector,
        signals=signals,
        requests=RequestRecorder(_index(service, settings), counters, settings.access_log_share),
        export=_export(service, settings, redactor),
    )
    runtime.start()
    return runtime


def _collector(
    service: str, settings: MonitoringSettings, redactor: Redactor, counters: Counters
) -> CollectorPath | None:
    if settings.sentry_dsn is None:
        return None
    origin = _origin(settings)
    dsn = settings.sentry_dsn.get_secret_value()
    rate = settings.sentry_traces_sample_rate
    traces_sampler = None if rate is None else tracing.sampler(rate, split_list(settings.sentry_traces_ignored))
    hook = None if settings.sentry_before_send is None else load_hook(settings.sentry_before_send)
    before_send = BeforeSend(redactor, counters, hook)
    sdk = start_sdk(dsn, service, origin, redactor, before_send, traces_sampler=traces_sampler)
    outbox = _outbox("events", settings, counters, sdk.transport.deliver)
    events = EventFilter(split_list(settings.sentry_ignored_points), settings.sentry_sample_rate)
    return CollectorPath(sdk, outbox, origin, redactor, before_send, events=events, traces=rate is not None)


def _export(service: str, settings: MonitoringSettings, redactor: Redactor) -> SpanExport | None:
    if settings.otel_exporter_otlp_endpoint is None:
        return None
    # Here and not above: see there.
    from monitoring.otlp import OtlpTraces, Receiver

    given = settings.otel_exporter_otlp_headers
    receiver = Receiver(
        settings.otel_exporter_otlp_endpoint,
        "" if given is None else given.get_secret_value(),
        settings.otel_traces_sampler_arg,
    )
    ignored = split_list(settings.sentry_traces_ignored)
    return OtlpTraces(service, _origin(settings), receiver, redactor, ignored)


def _origin(settings: MonitoringSettings) -> Origin:
    release = settings.sentry_release or f"recsys@{version('recsys-monitoring')}"
    return Origin.of(settings.sentry_environment, release, settings.gateway_public_url)


def _signals(
    service: str, settings: MonitoringSettings, counters: Counters, signal_sink: SignalSink | None
) -> SignalPath | None:
    sink: LocalSink | GatewaySink
    if signal_sink is not None:
        sink = LocalSink(signal_sink)
    elif settings.gateway_url is not None:
        sink = GatewaySink(settings.gateway_url, _gateway_token(settings))
    else:
        return None
    outbox = _outbox("signals", settings, counters, sink.deliver, BATCH)
    return SignalPath(outbox, service, settings.sentry_environment)


def _index(service: str, settings: MonitoringSettings) -> GatewayIndex | None:
    if settings.gateway_url is None:
        return None
    return GatewayIndex(settings.gateway_url, _gateway_token(settings), service, settings.sentry_environment)


def _gateway_token(settings: MonitoringSettings) -> str | None:
    return None if settings.gateway_token is None else settings.gateway_token.get_secret_value()


def _outbox(name: str, settings: MonitoringSettings, counters: Counters, deliver: Deliver, batch: int = 1) -> Outbox:
    store = _store(settings, name)
    return Outbox(
        name,
        store,
        deliver,
        counters,
        batch=batch,
        max_bytes=settings.spool_max_mb * 2**20 if store.durable else MEMORY_BYTES,
        max_age=settings.spool_max_days * 86400,
    )


def _store(settings: MonitoringSettings, name: str) -> Store:
    if settings.spool_dir is None:
        return MemoryStore()
    try:
        return DiskStore(settings.spool_dir / name)
    except OSError as error:
        _log.error("SPOOL_DIR cannot be written (%s): undelivered %s wait in memory only", error, name)
        return MemoryStore()
