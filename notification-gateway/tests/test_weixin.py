"""WeChat Work against a simulator with its error codes: the right outcome for each answer."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

import monitoring
from notification_gateway import channels
from notification_gateway.delivery.channel import Channel, Delivered, Outcome, Rejected
from notification_gateway.messages.forms import CUT_NOTE, cut_bytes, markdown, plain
from notification_gateway.outbox.notice import Line, Notice
from notification_gateway.tables import notifications
from notification_gateway.weixin.errcodes import rejected
from running_gateway import MailServer, SteppedGateway, Watch, Wechat, app_of, mail_to, robot_of, settings, signal

NOTICE = Notice(title="【P0】broken", lines=(Line(label="服务 Service", value="api"),), reference="#1")
Make = Callable[..., SteppedGateway]


@asynccontextmanager
async def channel_of(watch: Watch, **configured: object) -> AsyncIterator[Channel]:
    channel = channels.weixin(settings("sqlite://", **configured), watch).channel
    try:
        yield channel
    finally:
        await channel.close()


def send(watch: Watch, times: int = 1, **configured: object) -> list[Outcome]:
    async def each() -> list[Outcome]:
        async with channel_of(watch, **configured) as channel:
            return [await channel.send(NOTICE, str(number)) for number in range(times)]

    return asyncio.run(each())


def states(stepped: SteppedGateway) -> list[tuple[str, str]]:
    return [(row["channel"], row["state"]) for row in stepped.rows(notifications)]


def test_an_application_sends_text_and_asks_for_one_token(wechat: Wechat, watch: Watch) -> None:
    assert send(watch, 3, **app_of(wechat.url)) == [Delivered()] * 3
    assert wechat.contents[0] == "【P0】broken\n服务 Service: api\n编号 Ref: #1"
    assert wechat.messages[0]["recipients"] == ["alice"]
    assert wechat.calls("gettoken") == [0]


def test_a_robot_sends_markdown(wechat: Wechat, watch: Watch) -> None:
    assert send(watch, **robot_of(wechat.url)) == [Delivered()]
    (message,) = wechat.messages
    assert (message["via"], message["msgtype"]) == ("robot", "markdown")
    assert message["content"].startswith("**【P0】broken**\n> 服务 Service: api")


@pytest.mark.parametrize("form", ["markdown", "textcard"])
def test_an_application_sends_the_form_that_is_set(wechat: Wechat, watch: Watch, form: str) -> None:
    async def send_card() -> Outcome:
        async with channel_of(watch, **app_of(wechat.url), weixin_message_type=form) as channel:
            return await channel.send(NOTICE.model_copy(update={"url": "http://gateway.test/"}), "1")

    assert asyncio.run(send_card()) == Delivered()
    assert [message["msgtype"] for message in wechat.messages] == [form]


def test_a_card_without_an_address_is_sent_as_text(wechat: Wechat, watch: Watch) -> None:
    assert send(watch, **app_of(wechat.url), weixin_message_type="textcard") == [Delivered()]
    assert [message["msgtype"] for message in wechat.messages] == ["text"]


def test_a_hundred_concurrent_sends_fetch_one_token(wechat: Wechat, watch: Watch) -> None:
    async def hundred() -> list[Outcome]:
        async with channel_of(watch, **app_of(wechat.url)) as channel:
            return await asyncio.gather(*(channel.send(NOTICE, str(number)) for number in range(100)))

    assert set(asyncio.run(hundred())) == {Delivered()}
    assert wechat.calls("gettoken") == [0]


def test_the_token_is_refreshed_before_it_expires(wechat: Wechat, watch: Watch) -> None:
    async def later() -> None:
        async with channel_of(watch, **app_of(wechat.url)) as channel:
            await channel.send(NOTICE, "1")
            watch.forward(seconds=7200 - 301)
            await channel.send(NOTICE, "2")
            assert wechat.calls("gettoken") == [0]
            watch.forward(seconds=2)
            await channel.send(NOTICE, "3")

    asyncio.run(later())
    assert wechat.calls("gettoken") == [0, 0]


@pytest.mark.parametrize("errcode", [40001, 40014, 41001, 42001, 42007, 42009])
def test_a_send_with_an_expired_token_is_retried_once_with_a_new_one(
    wechat: Wechat, watch: Watch, errcode: int
) -> None:
    wechat.fault(operation="message/send", errcode=errcode, times=1)
    assert send(watch, **app_of(wechat.url)) == [Delivered()]
    assert (wechat.calls("gettoken"), wechat.calls("message/send")) == ([0, 0], [errcode, 0])


def test_a_hundred_concurrent_sends_with_an_expired_token_fetch_one_new_one(wechat: Wechat, watch: Watch) -> None:
    async def hundred() -> list[Outcome]:
        async with channel_of(watch, **app_of(wechat.url)) as channel:
            await channel.send(NOTICE, "first")
            wechat.expire_tokens()
            return await asyncio.gather(*(channel.send(NOTICE, str(number)) for number in range(100)))

    assert set(asyncio.run(hundred())) == {Delivered()}
    assert wechat.calls("gettoken") == [0, 0]


def test_a_second_rejection_of_the_token_is_not_retried(wechat: Wechat, watch: Watch) -> None:
    wechat.fault(operation="message/send", errcode=42001)
    (outcome,) = send(watch, **app_of(wechat.url))
    assert isinstance(outcome, Rejected)
    assert (wechat.calls("gettoken"), wechat.calls("message/send")) == ([0, 0], [42001, 42001])


@pytest.mark.parametrize(("errcode", "changed"), [(40001, "weixin_corp_secret"), (40013, "weixin_corp_id")])
def test_rejected_credentials_are_reported_and_never_tried_again(
    wechat: Wechat, watch: Watch, errcode: int, changed: str
) -> None:
    with monitoring.testing.captured() as captured:
        outcomes = send(watch, 5, **(app_of(wechat.url) | {changed: "wrong"}))
    assert wechat.calls("gettoken") == [errcode]
    assert all(isinstance(each, Rejected) and each.retryable and each.wait.total_seconds() >= 60 for each in outcomes)
    (report,) = captured.of("weixin.get_access_token_failed")
    assert report.tags["errcode"] == str(errcode)


@pytest.mark.parametrize(
    ("fault", "retryable", "wait"),
    [
        ({"errcode": -1}, True, 0),
        ({"errcode": 45009}, True, 60),
        ({"errcode": 60011}, False, 0),
        ({"errcode": 81013}, False, 0),
        ({"errcode": 40058}, False, 0),
        ({"errcode": 999999}, False, 0),
        ({"http_status": 502}, True, 0),
        ({"http_status": 404}, True, 0),
        ({"html": True}, True, 0),
        ({"reset": True}, True, 0),
        ({"errcode": 60020}, True, 300),
        ({"invaliduser": "Alice"}, False, 0),
        ({"unlicenseduser": "Alice"}, False, 0),
        ({"invaliduser": "bob", "unlicenseduser": "ALICE|carol"}, False, 0),
    ],
)
@pytest.mark.parametrize("kind", ["app", "robot"])
def test_each_error_code_is_handled_as_documented(
    wechat: Wechat, watch: Watch, fault: dict[str, object], retryable: bool, wait: int, kind: str
) -> None:
    if kind == "robot" and "errcode" not in fault and any("user" in name for name in fault):
        fault, retryable = {"errcode": 93000}, False
    operation = "message/send" if kind == "app" else "webhook/send"
    wechat.fault(operation=operation, times=1, **fault)
    (outcome,) = send(watch, **(app_of if kind == "app" else robot_of)(wechat.url))
    assert isinstance(outcome, Rejected)
    assert (outcome.retryable, outcome.wait.total_seconds()) == (retryable, wait)
    assert wechat.contents == []


@pytest.mark.parametrize(
    "fault", [{"errcode": -1}, {"errcode": 45009}, {"http_status": 500}, {"html": True}, {"reset": True}]
)
def test_a_failed_token_request_is_reported_once_and_retried_later(
    wechat: Wechat, watch: Watch, fault: dict[str, object]
) -> None:
    wechat.fault(operation="gettoken", times=1, **fault)
    with monitoring.testing.captured() as captured:
        rejected, delivered = send(watch, 2, **app_of(wechat.url))
    assert isinstance(rejected, Rejected)
    assert rejected.retryable
    assert delivered == Delivered()
    assert captured.point_ids == ["weixin.get_access_token_failed"]
    assert [report.point_id for report in captured.recovered] == ["weixin.get_access_token_failed"]


def test_a_hanging_send_times_out_and_is_retried(wechat: Wechat, step_with: Make) -> None:
    stepped = step_with(**app_of(wechat.url), delivery_lease_seconds=0.6)
    wechat.fault(operation="message/send", hang_seconds=30, times=1)
    stepped.fire(signal())
    stepped.deliver()
    assert states(stepped) == [("weixin", "pending")]
    stepped.watch.forward(seconds=1)
    stepped.deliver()
    assert states(stepped) == [("weixin", "sent")]
    assert len(wechat.contents) == 1


def test_a_lost_answer_does_not_make_the_message_arrive_twice(wechat: Wechat, step_with: Make) -> None:
    stepped = step_with(**app_of(wechat.url))
    wechat.fault(operation="message/send", reset=True, taken=True, times=1)
    stepped.fire(signal())
    stepped.deliver()
    stepped.watch.forward(seconds=1)
    stepped.deliver()
    assert states(stepped) == [("weixin", "sent")]
    assert len(wechat.contents) == 1


def test_busy_is_retried_three_times_and_then_the_alert_goes_by_email(
    wechat: Wechat, mail: MailServer, step_with: Make
) -> None:
    stepped = step_with(**app_of(wechat.url), **mail_to(mail.port))
    wechat.fault(operation="message/send", errcode=-1)
    stepped.fire(signal())
    with monitoring.testing.captured() as captured:
        for _ in range(8):
            stepped.deliver()
            stepped.watch.forward(seconds=5)
    assert wechat.calls("message/send") == [-1] * 4
    assert states(stepped) == [("weixin", "failed"), ("email", "sent")]
    assert len(mail.mails) == 1
    (report,) = captured.of("weixin.send_message_failed")
    assert (report.tags["errcode"], report.tags["http_status"], report.tags["recipient_kind"]) == ("-1", "200", "user")
    assert captured.point_ids == ["weixin.send_message_failed"]


def test_a_missing_token_is_not_also_reported_as_a_failed_send(
    wechat: Wechat, mail: MailServer, step_with: Make
) -> None:
    stepped = step_with(**(app_of(wechat.url) | {"weixin_corp_secret": "wrong"}), **mail_to(mail.port))
    stepped.fire(signal())
    with monitoring.testing.captured() as captured:
        stepped.deliver()
    assert captured.point_ids == ["weixin.get_access_token_failed"]
    assert states(stepped) == [("weixin", "failed"), ("email", "sent")]


def test_when_messages_arrive_again_wechat_has_recovered(wechat: Wechat, step_with: Make) -> None:
    stepped = step_with(**robot_of(wechat.url))
    wechat.fault(errcode=93000, times=1)
    with monitoring.testing.captured() as captured:
        for fingerprint in (("model", "deployment_failed"), ("airflow", "a", "b")):
            stepped.fire(signal(fingerprint))
            stepped.deliver()
    assert captured.point_ids == ["weixin.send_message_failed"]
    assert [report.point_id for report in captured.recovered] == ["weixin.send_message_failed"]


def test_unknown_users_are_reported_and_the_others_get_the_message(wechat: Wechat, watch: Watch) -> None:
    wechat.unknown("bob")
    with monitoring.testing.captured() as captured:
        (outcome,) = send(watch, **(app_of(wechat.url) | {"weixin_to_user": "alice|bob"}))
    assert isinstance(outcome, Delivered)
    assert "bob" in outcome.detail
    assert [message["recipients"] for message in wechat.messages] == [["alice"]]
    (report,) = captured.of("weixin.send_message_failed")
    assert (report.tags["errcode"], report.tags["http_status"]) == ("0", "200")


@pytest.mark.parametrize(
    ("members", "reached", "named"),
    [
        ({"unlicensed": ["bob"]}, [["alice"]], "bob (unlicenseduser)"),
        ({"unknown": ["bob"]}, [["alice"]], "bob (invaliduser)"),
        ({"unlicensed": ["alice", "bob"]}, [], "alice, bob (unlicenseduser)"),
        ({"unlicensed": ["alice"], "unknown": ["bob"]}, [], "bob (invaliduser); alice (unlicenseduser)"),
    ],
)
def test_members_without_a_licence_count_as_not_reached(
    wechat: Wechat, watch: Watch, members: dict[str, list[str]], reached: list[list[str]], named: str
) -> None:
    wechat.members(**members)
    (outcome,) = send(watch, **(app_of(wechat.url) | {"weixin_to_user": "alice| bob |"}))
    assert isinstance(outcome, Delivered if reached else Rejected)
    assert (outcome.detail if isinstance(outcome, Delivered) else outcome.reason).endswith(named)
    assert [message["recipients"] for message in wechat.messages] == reached


@pytest.mark.parametrize("field", ["invalidparty", "invalidtag"])
def test_groups_that_were_not_reached_are_named_and_the_members_get_the_message(
    wechat: Wechat, watch: Watch, field: str
) -> None:
    wechat.fault(operation="message/send", times=1, **{field: "2|1"})
    with monitoring.testing.captured() as captured:
        (outcome,) = send(watch, **app_of(wechat.url))
    assert outcome == Delivered(f"message/send: not delivered to 1, 2 ({field})", reported=True)
    assert captured.point_ids == ["weixin.send_message_failed"]


def test_a_message_that_reached_no_licensed_member_goes_by_email(
    wechat: Wechat, mail: MailServer, step_with: Make
) -> None:
    stepped = step_with(**app_of(wechat.url), **mail_to(mail.port))
    wechat.members(unlicensed=["alice"])
    stepped.fire(signal())
    stepped.deliver()
    assert states(stepped) == [("weixin", "failed"), ("email", "sent")]
    assert len(mail.mails) == 1


def test_reaching_all_members_again_reports_the_recovery(wechat: Wechat, step_with: Make) -> None:
    stepped = step_with(**(app_of(wechat.url) | {"weixin_to_user": "alice|bob"}))
    with monitoring.testing.captured() as captured:
        for users in (["bob"], []):
            wechat.members(unlicensed=users)
            stepped.fire(signal(("airflow", "a", str(users))))
            stepped.deliver()
    assert captured.point_ids == ["weixin.send_message_failed"]
    # The first token of a process ends what an earlier process reported.
    recovered = [report.point_id for report in captured.recovered]
    assert recovered == ["weixin.get_access_token_failed", "weixin.send_message_failed"]


@pytest.mark.parametrize("operation", ["gettoken", "message/send"])
def test_an_untrusted_address_is_shown_in_health_and_the_report(
    wechat: Wechat, mail: MailServer, step_with: Make, operation: str
) -> None:
    stepped = step_with(**app_of(wechat.url), **mail_to(mail.port))
    if operation == "gettoken":
        wechat.trust("192.0.2.1")
    else:
        wechat.fault(operation=operation, errcode=60020)
    stepped.fire(signal())
    with monitoring.testing.captured() as captured:
        stepped.deliver()
    assert states(stepped) == [("weixin", "failed"), ("email", "sent")]
    (report,) = captured
    shown = [stepped.rows(notifications)[0]["detail"], str(report.context), stepped.health()["weixin"]["detail"]]
    assert all("allow 127.0.0.1 as a trusted IP" in each for each in shown)


@pytest.mark.parametrize(
    ("errmsg", "address"),
    [
        (
            "not allow to access from your ip, hint: [178_29], from ip: 203.0.113.9, more info at https://x",
            "203.0.113.9",
        ),
        ("not allow to access from your ip, from ip: 203.0.113.9", "203.0.113.9"),
        ("access denied from IP：2001:DB8::9.", "2001:db8::9"),
        ("来自IP ::1", "::1"),
        ("from ip: 999.0.113.9, from ip: 192.0.2.7", "192.0.2.7"),
        ("from ip: 203.0.113.9evil", None),
        ("from ip: <script>", None),
        ("not allow to access from your ip", None),
        ("", None),
        (None, None),
        (["from ip: 203.0.113.9"], None),
    ],
)
def test_only_an_ip_address_is_used_from_errmsg(errmsg: object, address: str | None) -> None:
    reason = rejected(60020, "message/send", errmsg).reason
    assert reason.partition(": allow ")[2] == (
        "" if address is None else f"{address} as a trusted IP of the application"
    )


def test_no_secret_is_reported_or_stored(wechat: Wechat, watch: Watch) -> None:
    wechat.fault(operation="gettoken", http_status=500, times=1)
    with monitoring.testing.captured() as captured:
        (outcome,) = send(watch, **app_of(wechat.url))
    assert "the-corp-secret" not in repr(outcome)
    assert "the-corp-secret" not in repr([(report.message, report.tags, report.context) for report in captured])


def test_a_refused_connection_is_retryable(watch: Watch) -> None:
    (outcome,) = send(watch, **robot_of("http://127.0.0.1:9"))
    assert outcome == Rejected("webhook/send: no answer (ConnectError)", retryable=True)


@pytest.mark.parametrize("kind", ["app", "robot"])
def test_a_long_message_is_cut_on_a_character_with_a_note(wechat: Wechat, watch: Watch, kind: str) -> None:
    most, configured = (2048, app_of) if kind == "app" else (4096, robot_of)

    async def long() -> Outcome:
        async with channel_of(watch, **configured(wechat.url)) as channel:
            return await channel.send(NOTICE.model_copy(update={"paragraphs": ("数" * 5000,)}), "1")

    assert asyncio.run(long()) == Delivered()
    (message,) = wechat.messages
    assert most - 3 < len(message["content"].encode()) <= most
    assert message["content"].endswith(CUT_NOTE)
    assert not message["truncated"]


@pytest.mark.parametrize("length", range(60, 80))
def test_cutting_never_splits_a_character(length: int) -> None:
    text = "a告警😀é" * 30
    cut = cut_bytes(text, length)
    assert len(cut.encode()) <= length
    assert text.startswith(cut.removesuffix(CUT_NOTE))
    assert cut_bytes("短", length) == "短"


def test_markdown_of_others_is_escaped() -> None:
    notice = Notice(title="t", lines=(Line(label="x", value="[a](http://evil.test) <b> *c* _d_"),), reference="r")
    assert r"\[a\](http://evil.test) \<b\> \*c\* \_d\_" in markdown(notice)
    assert "[a](http://evil.test)" in plain(notice)


@pytest.mark.parametrize("form", ["text", "textcard"])
def test_text_of_others_cannot_add_links_to_a_message(wechat: Wechat, watch: Watch, form: str) -> None:
    line = Line(label="x", value='<a href="http://evil.example">确认</a> 3 < 5')
    notice = NOTICE.model_copy(update={"lines": (line,), "url": "http://gateway.test/"})

    async def send_notice() -> Outcome:
        async with channel_of(watch, **app_of(wechat.url), weixin_message_type=form) as channel:
            return await channel.send(notice, "1")

    assert asyncio.run(send_notice()) == Delivered()
    (content,) = wechat.contents
    assert "＜a href" in content
    assert "<" not in content.replace("3 < 5", "")
