"""Computes a report from the records of a run, complete or so far: verdicts with goals, and what explains them."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from statistics import median

from bench.results import Goal, Result
from soak.drift import STORES, ProgramDrift, cpu_growth, drift_of, growth_per_event
from soak.progress import Record
from soak.script import FAILED_RUN, SLACK_SECONDS

P0_SECONDS = 60.0
MAX_CPU_GROWTH = 1.05
MAX_MEMORY_PERCENT = 2.0
# An event and its user, if nobody has seen the user before; the events of known users take 40.
MAX_BYTES_PER_EVENT = 150.0
# Of less time, the noise of a busy machine is more than the growth that is looked for.
MIN_JUDGED_SECONDS = 1_800.0
_CLOCKS_SECONDS = 2.0
_NONE = Goal(most=0)


@dataclass(frozen=True)
class FaultOutcome:
    """A fault, the points of which an incident or a message is missing, and when (s after it) a P0 reached people."""

    name: str
    begins: float
    ends: float
    missing: tuple[str, ...] = ()
    incidents: tuple[int, ...] = ()
    alerted_after: float | None = None


@dataclass(frozen=True)
class Report:
    """The verdicts, and the parts that explain them."""

    seed: int
    seconds: float
    is_complete: bool
    results: tuple[Result, ...]
    faults: tuple[FaultOutcome, ...] = ()
    false_alarms: tuple[Record, ...] = ()
    incidents: tuple[Record, ...] = ()
    drifts: tuple[ProgramDrift, ...] = ()
    bounds: tuple[Record, ...] = ()
    rows: dict[str, int] = field(default_factory=dict)
    errors: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the run came to its end and every goal is met."""
        return self.is_complete and all(each.ok for each in self.results)


def compute(records: Sequence[Record]) -> Report:
    """Return the report of these records; it may be the beginning of a run."""
    kinds = _by_kind(records)
    began: Record = kinds["began"][0] if kinds["began"] else {"at": records[-1]["at"] if records else 0.0, "seed": 0}
    seconds = records[-1]["at"] - began["at"] if records else 0.0
    # What opened before the first model served belongs to the start.
    newest = {each["id"]: each for each in kinds["incident"] if each["opened"] >= began["at"]}
    incidents = list(newest.values())
    # The mail of an hour comes at its end.
    mails = kinds["mail"] if kinds["arrived"] else None
    faults = [_judge(each, incidents, kinds["message"], mails) for each in kinds["fault"]]
    false_alarms = [each for each in incidents if not _is_explained(each, kinds["fault"])]
    drifts = drift_of(kinds["sample"], began["at"])
    bounds = _highest(kinds["sample"])
    is_judged = seconds >= MIN_JUDGED_SECONDS
    results = [
        *_lost_events(kinds),
        Result("alerts lost", sum(len(each.missing) for each in faults), "alerts", _NONE),
        Result("false alarms", len(false_alarms), "incidents", _NONE),
        *_alert_times(faults),
        *_answers(kinds["sample"]),
        *_cpu(kinds["sample"], is_judged=is_judged),
        *(_memory(each, is_judged=is_judged) for each in drifts if each.memory_percent is not None),
        *_store_growth(kinds["sample"], began["at"], is_judged=is_judged),
        Result("things above their bound", sum(each["value"] > each["bound"] for each in bounds), "things", _NONE),
    ]
    return Report(
        seed=began["seed"],
        seconds=seconds,
        is_complete=bool(kinds["arrived"]),
        results=tuple(results),
        faults=tuple(faults),
        false_alarms=tuple(false_alarms),
        incidents=tuple(incidents),
        drifts=tuple(drifts),
        bounds=tuple(bounds),
        rows=next((each["rows"] for each in reversed(kinds["sample"]) if "rows" in each), {}),
        errors=tuple(
            f"{each['command']} {each['run_id']}: {each['error']}" for each in kinds["night"] if each["error"]
        ),
    )


def _by_kind(records: Iterable[Record]) -> defaultdict[str, list[Record]]:
    kinds: defaultdict[str, list[Record]] = defaultdict(list)
    for record in records:
        kinds[record["kind"]].append(record)
    return kinds


def _judge(
    fault: Record, incidents: Sequence[Record], messages: Sequence[Record], mails: Sequence[Record] | None
) -> FaultOutcome:
    """Compare a fault with what followed; without `mails`, it is too early to miss one."""
    missing: list[str] = []
    found: list[int] = []
    alerted_after = None
    begins = fault["begins"] - _CLOCKS_SECONDS
    for point in fault["must_raise"]:
        incident = next((each for each in incidents if each["point"] == point and _covers(each, fault)), None)
        if incident is None:
            missing.append(f"{point}: no incident")
            continue
        found.append(incident["id"])
        is_urgent = incident["priority"] == "P0"
        if not is_urgent and mails is None:
            continue
        received = [
            each["received"]
            for each in (messages if is_urgent else mails or ())
            if each["received"] >= begins and _names(each["text"], incident, fault)
        ]
        if not received:
            missing.append(f"{point}: no message")
        elif is_urgent:
            alerted_after = max(0.0, min(received) - fault["begins"])
    return FaultOutcome(fault["name"], fault["begins"], fault["ends"], tuple(missing), tuple(found), alerted_after)


def _names(text: str, incident: Record, fault: Record) -> bool:
    """Return whether a message is about the fault: it announces its incident, or it is a summary that names the point.

    A failed run is named after its fault, so that the message of an earlier run of the same incident doesn't count.
    """
    if incident["priority"] != "P0":
        return incident["point"] in text
    announces = f"/acknowledge/{incident['id']}?" in text
    return announces and (incident["point"] != FAILED_RUN or fault["name"] in text)


def _covers(incident: Record, fault: Record) -> bool:
    begins, ends = fault["begins"] - _CLOCKS_SECONDS, fault["ends"] + SLACK_SECONDS
    return bool(incident["last_seen"] >= begins and incident["opened"] <= ends)


def _is_explained(incident: Record, faults: Sequence[Record]) -> bool:
    # Information notifies no one.
    return incident["priority"] == "none" or any(
        fault["begins"] - _CLOCKS_SECONDS <= incident["opened"] <= fault["ends"] + SLACK_SECONDS
        and any(fnmatchcase(incident["point"], each) for each in (*fault["must_raise"], *fault["may_raise"]))
        for fault in faults
    )


def _lost_events(kinds: dict[str, list[Record]]) -> list[Result]:
    counted = _counted(kinds["sample"], kinds["night"])
    captured = sum(counted[f"events_{name}"] for name in ("delivered", "rejected", "dropped", "waiting"))
    dropped = counted["events_dropped"] + counted["events_rejected"]
    found = [
        Result("events captured, by the services' counters", captured, "events"),
        Result("events filtered on purpose", counted["events_filtered"], "events"),
        Result("events dropped or rejected, as counted", dropped, "events"),
        Result(
            "alert signals dropped or rejected, as counted",
            counted["signals_dropped"] + counted["signals_rejected"],
            "signals",
            _NONE,
        ),
    ]
    if not kinds["arrived"]:
        return found
    arrived = kinds["arrived"][-1]
    # A process that is killed takes its counts since the last sample with it; the gateway's signals name events, too.
    short = max(0.0, counted["events_delivered"] - arrived["received"])
    behaviour = arrived["behaviour_accepted"] - arrived["behaviour_stored"]
    return [
        *found,
        Result("events in the collector", arrived["received"], "events"),
        Result("events lost", max(short, len(arrived["missing"])) + dropped, "events", _NONE),
        Result("behaviour events accepted", arrived["behaviour_accepted"], "events"),
        Result("behaviour events lost", max(0, behaviour), "events", _NONE),
    ]


def _counted(samples: Sequence[Record], nights: Sequence[Record]) -> defaultdict[str, float]:
    """Return the sums of the counters over all processes, and over what the last ones have not delivered yet."""
    last: dict[tuple[str, float], dict[str, float]] = {}
    for sample in samples:
        for program, values in sample["monitoring"].items():
            last[program, values["pid"]] = values
    if nights:
        last["night", 0] = nights[-1]["counters"]
    total: defaultdict[str, float] = defaultdict(float)
    newest = dict(last.keys())
    for (program, pid), values in last.items():
        for name, value in values.items():
            # What a dead process had not delivered, another one has taken over.
            if not name.endswith("_waiting") or newest[program] == pid:
                total[name] += value
    return total


def _alert_times(faults: Sequence[FaultOutcome]) -> list[Result]:
    times = [each.alerted_after for each in faults if each.alerted_after is not None]
    if not times:
        return []
    return [
        Result("P0 after, worst", max(times), "s", Goal(most=P0_SECONDS)),
        Result("P0 after, median", median(times), "s"),
    ]


def _answers(samples: Sequence[Record]) -> list[Result]:
    if not samples:
        return []
    counts = samples[-1]["requests"]
    return [
        Result("requests answered", counts["answered"], "requests"),
        Result("requests answered from a fallback", counts["degraded"], "requests"),
        Result("requests that failed", counts["failed"], "requests", _NONE),
    ]


def _cpu(samples: Sequence[Record], *, is_judged: bool) -> list[Result]:
    growth = cpu_growth(samples)
    if growth is None:
        return []
    goal = Goal(most=MAX_CPU_GROWTH) if is_judged else None
    return [
        Result("CPU per request, first quarter", growth.first * 1e6, "µs"),
        Result("CPU of fixed work, last quarter to first", growth.last_work, "times"),
        Result("CPU per request, last quarter to first, against fixed work", growth.times, "times", goal),
    ]


def _memory(drift: ProgramDrift, *, is_judged: bool) -> Result:
    percent = drift.memory_percent or 0.0
    is_long = is_judged and drift.judged_seconds >= MIN_JUDGED_SECONDS and drift.program not in STORES
    return Result(f"memory of {drift.program}", percent, "%/h", Goal(most=MAX_MEMORY_PERCENT) if is_long else None)


def _store_growth(samples: Sequence[Record], began: float, *, is_judged: bool) -> list[Result]:
    growth = growth_per_event(samples, began)
    goal = Goal(most=MAX_BYTES_PER_EVENT) if is_judged else None
    return [] if growth is None else [Result("memory of Redis a behaviour event", growth, "B", goal)]


def _highest(samples: Sequence[Record]) -> list[Record]:
    highest: dict[str, Record] = {}
    for sample in samples:
        for each in sample.get("bounds", ()):
            if each["name"] not in highest or each["value"] > highest[each["name"]]["value"]:
                highest[each["name"]] = each
    return list(highest.values())
