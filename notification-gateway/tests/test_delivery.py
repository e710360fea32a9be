"""Delivery from the outbox: at least once, in order, within limits, with failover."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import Connection, literal_column, update

import monitoring.testing
from notification_gateway.delivery.channel import Delivered, FakeChannel, Outcome, Rejected
from notification_gateway.delivery.steps import Done, GiveUp, Step, TryAgain, next_step
from notification_gateway.delivery.worker import DeliveryLoop
from notification_gateway.outbox import queries as outbox
from notification_gateway.outbox.model import Claim, Kind, NewNotification
from notification_gateway.outbox.notice import Notice
from notification_gateway.policy.model import Channel
from notification_gateway.tables import notifications
from running_gateway import SteppedGateway, Watch, signal

LEASE = timedelta(seconds=20)
BUSY = Rejected("busy", retryable=True)
FINAL = Rejected("no such user", retryable=False)


class Recorder:
    """An observer that records outcomes."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.lost: list[str] = []

    def on_delivered(self, claimed: Claim, seconds: float) -> None:
        self.sent.append(claimed.dedupe_key)

    def on_partly_delivered(self, claimed: Claim, outcome: Delivered, seconds: float) -> None:
        self.sent.append(f"{claimed.dedupe_key}: {outcome.detail}")

    def on_failed(self, claimed: Claim, outcome: Rejected) -> None:
        self.lost.append(claimed.dedupe_key)


def loop_over(
    stepped: SteppedGateway, channel: FakeChannel, failover: Channel | None = None
) -> tuple[DeliveryLoop, Recorder]:
    recorder = Recorder()
    made = DeliveryLoop(
        "weixin", channel, stepped.gateway.storage, stepped.watch, recorder, lease=LEASE, failover=failover
    )
    return made, recorder


def put(stepped: SteppedGateway, key: str, kind: Kind = "notify", incident_id: int | None = None) -> None:
    new = NewNotification(key, kind, "weixin", Notice(title=key, reference=key), stepped.watch.now, incident_id)
    with stepped.gateway.storage.transaction() as connection:
        outbox.enqueue(connection, new, stepped.watch.now)


def deliver(loop: DeliveryLoop) -> int:
    return asyncio.run(loop.deliver_due())


def states(stepped: SteppedGateway) -> list[tuple[str, str, int]]:
    return [(row["channel"], row["state"], row["attempts"]) for row in stepped.rows(notifications)]


class TestSteps:
    """The next step after an attempt."""

    @staticmethod
    def claim(watch: Watch, attempts: int = 1, kind: Kind = "opened", age: timedelta = timedelta(0)) -> Claim:
        created = watch.now - age
        return Claim(1, "k", kind, "weixin", Notice(title="t", reference="r"), 1, attempts, created, watch.now)

    @pytest.mark.parametrize(
        ("outcome", "attempts", "other", "expected"),
        [
            (Delivered("x"), 1, True, Done("x")),
            (FINAL, 1, True, GiveUp("no such user", failover=True)),
            (FINAL, 1, False, GiveUp("no such user", failover=False)),
            (BUSY, 1, True, 1),
            (BUSY, 2, True, 2),
            (BUSY, 3, True, 4),
            (BUSY, 4, True, GiveUp("busy", failover=True)),
            (BUSY, 4, False, 8),
            (BUSY, 30, False, 300),
            (Rejected("limit", retryable=True, wait=timedelta(seconds=60)), 1, True, GiveUp("limit", failover=True)),
            (Rejected("limit", retryable=True, wait=timedelta(seconds=60)), 1, False, 60),
        ],
    )
    def test_a_busy_channel_is_retried_three_times_before_failover(
        self, watch: Watch, outcome: Outcome, attempts: int, other: bool, expected: Step | int
    ) -> None:
        step = next_step(self.claim(watch, attempts), outcome, watch.now, has_other_channel=other)
        if isinstance(expected, int):
            assert isinstance(step, TryAgain)
            assert step.at == watch.now + timedelta(seconds=expected)
        else:
            assert step == expected

    def test_an_alert_fails_over_within_a_minute_even_if_each_try_hangs(self, watch: Watch) -> None:
        hang, waited, attempts = timedelta(seconds=10), timedelta(0), 0
        while True:
            attempts += 1
            waited += hang
            step = next_step(self.claim(watch, attempts), BUSY, watch.now, has_other_channel=True)
            if isinstance(step, GiveUp):
                break
            assert isinstance(step, TryAgain)
            waited += step.at - watch.now
        assert waited <= timedelta(seconds=60)

    def test_without_another_channel_a_message_is_retried_for_a_day(self, watch: Watch) -> None:
        young = next_step(self.claim(watch, 99, age=timedelta(hours=23)), BUSY, watch.now, has_other_channel=False)
        old = next_step(self.claim(watch, 99, age=timedelta(hours=24)), BUSY, watch.now, has_other_channel=False)
        assert isinstance(young, TryAgain)
        assert old == GiveUp("busy", failover=False)


def test_a_notification_is_sent_once(stepped: SteppedGateway) -> None:
    channel = FakeChannel()
    loop, recorder = loop_over(stepped, channel)
    put(stepped, "a")
    put(stepped, "a")
    assert [deliver(loop), deliver(loop)] == [1, 0]
    assert [key for key, _ in channel.sent] == recorder.sent == ["a"]
    assert states(stepped) == [("weixin", "sent", 1)]


def test_a_rejected_notification_waits_and_is_retried(stepped: SteppedGateway) -> None:
    channel = FakeChannel([BUSY, BUSY])
    loop, recorder = loop_over(stepped, channel)
    put(stepped, "a")
    assert [deliver(loop), deliver(loop)] == [1, 0]
    stepped.watch.forward(seconds=1)
    assert deliver(loop) == 1
    stepped.watch.forward(seconds=1)
    assert deliver(loop) == 0
    stepped.watch.forward(seconds=1)
    assert deliver(loop) == 1
    assert (recorder.sent, recorder.lost) == (["a"], [])
    assert states(stepped) == [("weixin", "sent", 3)]


def test_a_notification_of_a_dead_process_is_sent_when_its_lease_expires(stepped: SteppedGateway) -> None:
    loop, _ = loop_over(stepped, FakeChannel())
    put(stepped, "a")
    with stepped.gateway.storage.exclusive("weixin") as connection:
        assert outbox.claim(connection, "weixin", stepped.watch.now, LEASE, limit=5)
    stepped.watch.forward(seconds=19)
    assert deliver(loop) == 0
    stepped.watch.forward(seconds=1)
    assert deliver(loop) == 1
    assert states(stepped) == [("weixin", "sent", 2)]


def test_two_processes_never_claim_the_same_notification(stepped: SteppedGateway) -> None:
    for number in range(20):
        put(stepped, str(number))
    one, _ = loop_over(stepped, first := FakeChannel())
    other, _ = loop_over(stepped, second := FakeChannel())

    async def both() -> None:
        while sum(await asyncio.gather(one.deliver_due(), other.deliver_due())):
            pass

    asyncio.run(both())
    assert sorted(int(key) for key, _ in first.sent + second.sent) == list(range(20))


def test_a_process_whose_lease_expired_does_not_overwrite_a_newer_result(stepped: SteppedGateway) -> None:
    put(stepped, "a")
    with stepped.gateway.storage.exclusive("weixin") as connection:
        (mine,) = outbox.claim(connection, "weixin", stepped.watch.now, LEASE, limit=1)
    stepped.watch.forward(seconds=20)
    loop, _ = loop_over(stepped, FakeChannel())
    deliver(loop)
    with stepped.gateway.storage.transaction() as connection:
        outbox.mark_failed(connection, mine, "too late")
        outbox.mark_waiting(connection, mine, stepped.watch.now, "too late")
    assert states(stepped) == [("weixin", "sent", 2)]


def test_messages_of_one_incident_keep_their_order(stepped: SteppedGateway) -> None:
    stepped.fire(signal())
    stepped.watch.forward(minutes=1)
    stepped.fire(signal(kind="recovered", at=stepped.watch.now))
    stepped.watch.forward(minutes=1)
    loop, _ = loop_over(stepped, channel := FakeChannel([BUSY]))
    assert deliver(loop) == 1
    assert channel.sent == []
    stepped.watch.forward(seconds=1)
    assert [deliver(loop), deliver(loop)] == [1, 1]
    assert [key.split(":")[2] for key, _ in channel.sent] == ["opened", "resolved"]


def test_a_new_alert_goes_before_summaries_and_notices(stepped: SteppedGateway) -> None:
    kinds: Sequence[Kind] = ("summary", "notify", "opened")
    for kind in kinds:
        put(stepped, kind, kind)
    with stepped.gateway.storage.exclusive("weixin") as connection:
        claimed = outbox.claim(connection, "weixin", stepped.watch.now, LEASE, limit=1)
    assert [each.kind for each in claimed] == ["opened"]


def test_attempts_per_minute_are_limited_and_the_last_ones_are_spread(
    stepped: SteppedGateway,
) -> None:
    channel = FakeChannel(per_minute=10)
    loop, _ = loop_over(stepped, channel)
    for number in range(20):
        put(stepped, str(number))
    assert [deliver(loop), deliver(loop)] == [8, 0]
    sent = []
    for _ in range(60):
        stepped.watch.forward(seconds=1)
        sent.append(deliver(loop))
    # Half a minute for each of the two that are left; then the first eight are a minute old.
    assert {number: count for number, count in enumerate(sent, start=1) if count} == {30: 1, 60: 7}
    assert [key for key, _ in channel.sent] == [str(number) for number in range(16)]


def test_an_alert_that_a_channel_rejects_fails_over_once(stepped: SteppedGateway) -> None:
    loop, recorder = loop_over(stepped, FakeChannel([FINAL]), failover="email")
    put(stepped, "a", "opened")
    deliver(loop)
    deliver(loop)
    assert states(stepped) == [("weixin", "failed", 1), ("email", "pending", 0)]
    assert recorder.lost == ["a"]


def test_a_rejected_summary_does_not_fail_over(stepped: SteppedGateway) -> None:
    loop, _ = loop_over(stepped, FakeChannel([FINAL]), failover="email")
    put(stepped, "a", "summary")
    deliver(loop)
    assert states(stepped) == [("weixin", "failed", 1)]


def test_a_hanging_send_times_out_before_the_lease_expires(stepped: SteppedGateway) -> None:
    class Hanging(FakeChannel):
        async def send(self, notice: Notice, key: str) -> Outcome:
            await asyncio.sleep(60)
            return Delivered()

    recorder = Recorder()
    loop = DeliveryLoop(
        "weixin", Hanging(), stepped.gateway.storage, stepped.watch, recorder, lease=timedelta(seconds=0.2)
    )
    put(stepped, "a")
    deliver(loop)
    (row,) = stepped.rows(notifications)
    assert (row["state"], row["detail"]) == ("pending", "no answer within 0.1 s")


class TestStorm:
    """Many incidents at once are one message, and none is lost in it."""

    FINGERPRINTS = tuple(("airflow", "daily", f"task_{number}") for number in range(20))

    @staticmethod
    def storm(stepped: SteppedGateway, channel: FakeChannel, failover: Channel | None = None) -> DeliveryLoop:
        gateway = stepped.gateway
        return DeliveryLoop(
            "weixin",
            channel,
            gateway.storage,
            stepped.watch,
            Recorder(),
            lease=LEASE,
            group=gateway.composer.compose_storm,
            failover=failover,
        )

    def test_a_storm_and_its_end_are_one_message_each(self, stepped: SteppedGateway) -> None:
        loop = self.storm(stepped, channel := FakeChannel())
        stepped.fire(*(signal(each) for each in self.FINGERPRINTS))
        assert [deliver(loop), deliver(loop)] == [1, 0]
        assert {row["state"] for row in stepped.rows(notifications)} == {"sent"}
        stepped.pass_time(minutes=15)
        stepped.watch.forward(minutes=1)
        assert [deliver(loop), deliver(loop)] == [1, 0]
        first, last = (notice for _, notice in channel.sent)
        assert "20 个事件" in first.title
        assert len(first.paragraphs) == 16
        assert "已恢复" in last.title

    def test_in_a_long_storm_each_incident_is_notified_within_seconds(self, stepped: SteppedGateway) -> None:
        loop = self.storm(stepped, channel := FakeChannel(per_minute=25))
        delays: dict[str, float] = {}
        for second in range(180):
            stepped.fire(signal(("airflow", "daily", f"task_{second}"), stepped.watch.now))
            deliver(loop)
            for row in stepped.rows(notifications):
                if row["state"] == "sent" and row["incident_id"]:
                    delays.setdefault(row["dedupe_key"], (row["sent_at"] - row["created_at"]).total_seconds())
            stepped.watch.forward(seconds=1)
        assert len(channel.sent) <= 25 * 3
        assert max(delays.values()) <= 15
        assert len(delays) >= 165

    def test_a_few_incidents_are_notified_one_by_one(self, stepped: SteppedGateway) -> None:
        loop = self.storm(stepped, channel := FakeChannel())
        stepped.fire(*(signal(each) for each in self.FINGERPRINTS[:5]))
        deliver(loop)
        assert len(channel.sent) == 5

    def test_a_rejected_storm_fails_over_with_all_its_incidents(self, stepped: SteppedGateway) -> None:
        loop = self.storm(stepped, FakeChannel([FINAL]), failover="email")
        stepped.fire(*(signal(each) for each in self.FINGERPRINTS))
        deliver(loop)
        rows = stepped.rows(notifications)
        assert [(row["channel"], row["state"]) for row in rows if row["incident_id"] is None] == [
            ("weixin", "failed"),
            ("email", "pending"),
        ]
        assert {(row["channel"], row["state"]) for row in rows if row["incident_id"]} == {("email", "grouped")}

    def test_the_end_of_an_incident_waits_for_the_storm_that_contains_it(self, stepped: SteppedGateway) -> None:
        loop = self.storm(stepped, channel := FakeChannel([BUSY]))
        stepped.fire(*(signal(each) for each in self.FINGERPRINTS))
        deliver(loop)
        stepped.fire(signal(self.FINGERPRINTS[0], stepped.watch.now, kind="recovered"))
        stepped.watch.forward(seconds=31)
        assert [deliver(loop), deliver(loop)] == [1, 1]
        assert ["storm" in key for key, _ in channel.sent] == [True, False]


@pytest.mark.parametrize("stored", ['{"title": 7}', "[]", '{"title": "a"}'])
def test_only_an_unreadable_notification_is_given_up(stepped: SteppedGateway, stored: str) -> None:
    for key in ("bad", "good"):
        put(stepped, key)
    with stepped.gateway.storage.transaction() as connection:
        connection.execute(
            update(notifications)
            .where(notifications.c.dedupe_key == "bad")
            .values(notice=literal_column(_json(connection, stored)))
        )
    channel = FakeChannel()
    loop, _ = loop_over(stepped, channel)
    with monitoring.testing.captured() as reports:
        assert deliver(loop) == 1
    assert [key for key, _ in channel.sent] == ["good"]
    assert sorted(state for _, state, _ in states(stepped)) == ["failed", "sent"]
    assert (reports.point_ids, reports[0].tags["loop"]) == (["api.background_failed"], "delivery weixin")


def _json(connection: Connection, stored: str) -> str:
    return f"'{stored}'" if connection.dialect.name == "sqlite" else f"CAST('{stored}' AS JSON)"


@pytest.mark.parametrize(
    ("error", "state"), [(UnicodeEncodeError("utf-8", "\ud83d", 0, 1, "no"), "failed"), (OSError("reset"), "pending")]
)
def test_a_channel_that_raises_for_one_notice_sends_the_others(
    stepped: SteppedGateway, error: Exception, state: str
) -> None:
    class Raising(FakeChannel):
        async def send(self, notice: Notice, key: str) -> Outcome:
            if key == "bad":
                raise error
            return await super().send(notice, key)

    for key in ("bad", "good"):
        put(stepped, key)
    channel = Raising()
    with monitoring.testing.captured() as reports:
        deliver(loop_over(stepped, channel)[0])
    assert [key for key, _ in channel.sent] == ["good"]
    assert sorted(found for _, found, _ in states(stepped)) == sorted([state, "sent"])
    assert reports.point_ids == ["api.background_failed"]


def test_an_answer_with_characters_that_the_database_rejects_is_stored(stepped: SteppedGateway) -> None:
    put(stepped, "n")
    deliver(loop_over(stepped, FakeChannel([Rejected("half \ud83d and \0", retryable=False)]))[0])
    assert states(stepped) == [("weixin", "failed", 1)]
