"""The simulator answers as WeChat Work does, so that tests against it are valid for the real API."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from pydantic import SecretStr

from wechat_simulator.server import SimulatorServer
from wechat_simulator.settings import Settings

SETTINGS = Settings(
    weixin_corp_id="ww-test",
    weixin_corp_secret=SecretStr("a-secret"),
    weixin_agent_id=7,
    weixin_robot_key=SecretStr("a-key"),
)


class Watch:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 5, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **time: float) -> None:
        self.now += timedelta(**time)


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def wechat(watch: Watch) -> Iterator[httpx.Client]:
    with (
        SimulatorServer.on_free_port(SETTINGS, watch) as server,
        httpx.Client(base_url=server.url, timeout=5) as client,
    ):
        yield client


def token(wechat: httpx.Client) -> str:
    answer = wechat.get("/cgi-bin/gettoken", params={"corpid": "ww-test", "corpsecret": "a-secret"}).json()
    assert answer["errcode"] == 0
    return str(answer["access_token"])


def send(wechat: httpx.Client, access_token: str, content: str = "hello", **more: object) -> dict[str, object]:
    message = {"touser": "alice", "msgtype": "text", "agentid": 7, "text": {"content": content}, **more}
    return wechat.post("/cgi-bin/message/send", params={"access_token": access_token}, json=message).json()


def robot(wechat: httpx.Client, content: str = "hello", key: str = "a-key", msgtype: str = "text") -> int:
    message = {"msgtype": msgtype, msgtype: {"content": content}}
    return int(wechat.post("/cgi-bin/webhook/send", params={"key": key}, json=message).json()["errcode"])


def arrived(wechat: httpx.Client) -> list[dict[str, object]]:
    return list(wechat.get("/_control/messages").json()["messages"])


@pytest.mark.parametrize(
    ("corp", "secret", "errcode"),
    [("ww-test", "wrong", 40001), ("ww-other", "a-secret", 40013), ("", "a-secret", 41002), ("ww-test", "", 41004)],
)
def test_wrong_credentials_get_no_token(wechat: httpx.Client, corp: str, secret: str, errcode: int) -> None:
    answer = wechat.get("/cgi-bin/gettoken", params={"corpid": corp, "corpsecret": secret}).json()
    assert answer["errcode"] == errcode
    assert "access_token" not in answer


def test_a_token_is_the_same_for_two_hours_and_then_expires(wechat: httpx.Client, watch: Watch) -> None:
    first = token(wechat)
    watch.forward(seconds=7199)
    assert token(wechat) == first
    assert send(wechat, first)["errcode"] == 0
    watch.forward(seconds=1)
    assert send(wechat, first)["errcode"] == 42001
    assert token(wechat) != first


def test_made_up_and_expired_tokens_get_different_codes(wechat: httpx.Client) -> None:
    held = token(wechat)
    assert send(wechat, "made-up")["errcode"] == 40014
    assert send(wechat, "")["errcode"] == 41001
    wechat.post("/_control/expire-tokens")
    assert send(wechat, held)["errcode"] == 42001


def test_a_message_arrives_with_its_recipients_and_time(wechat: httpx.Client, watch: Watch) -> None:
    assert send(wechat, token(wechat), "你好", touser="alice|bob")["errcode"] == 0
    (message,) = arrived(wechat)
    assert (message["content"], message["recipients"], message["via"]) == ("你好", ["alice", "bob"], "app")
    assert datetime.fromisoformat(str(message["received_at"])) == watch.now


def test_some_unknown_users_are_named_beside_errcode_0_and_all_unknown_is_81013(wechat: httpx.Client) -> None:
    wechat.put("/_control/users", json={"unknown": ["bob"]})
    partly = send(wechat, token(wechat), touser="alice|bob")
    assert (partly["errcode"], partly["invaliduser"]) == (0, "bob")
    assert send(wechat, token(wechat), touser="bob")["errcode"] == 81013
    assert [message["recipients"] for message in arrived(wechat)] == [["alice"]]


@pytest.mark.parametrize(
    ("change", "errcode"),
    [
        ({"agentid": 8}, 40056),
        ({"touser": ""}, 82001),
        ({"msgtype": "song"}, 40008),
        ({"text": {"content": ""}}, 44004),
        ({"text": "hello"}, 40058),
    ],
)
def test_a_malformed_message_is_rejected(wechat: httpx.Client, change: dict[str, object], errcode: int) -> None:
    assert send(wechat, token(wechat), **change)["errcode"] == errcode
    assert arrived(wechat) == []


def test_an_app_message_is_cut_at_2048_bytes_without_an_error(wechat: httpx.Client) -> None:
    assert send(wechat, token(wechat), "数" * 700)["errcode"] == 0
    (message,) = arrived(wechat)
    assert (message["content"], message["truncated"]) == ("数" * 682, True)


def test_above_30_a_minute_a_members_messages_vanish_with_errcode_0(wechat: httpx.Client, watch: Watch) -> None:
    held = token(wechat)
    assert {send(wechat, held, str(number))["errcode"] for number in range(31)} == {0}
    assert [len(message["recipients"]) for message in arrived(wechat)] == [1] * 30 + [0]
    assert arrived(wechat)[-1]["vanished"] == ["alice"]
    watch.forward(minutes=1)
    send(wechat, held, "later")
    assert arrived(wechat)[-1]["recipients"] == ["alice"]


def test_the_duplicate_check_suppresses_the_same_message_for_its_interval(wechat: httpx.Client, watch: Watch) -> None:
    held, check = token(wechat), {"enable_duplicate_check": 1, "duplicate_check_interval": 60}
    first, again = (send(wechat, held, "once", **check) for _ in range(2))
    assert (again["errcode"], again["msgid"]) == (0, first["msgid"])
    assert len(arrived(wechat)) == 1
    assert wechat.get("/_control/messages").json()["suppressed"] == 1
    watch.forward(seconds=60)
    send(wechat, held, "once", **check)
    assert len(arrived(wechat)) == 2


def test_without_the_check_the_same_message_arrives_twice(wechat: httpx.Client) -> None:
    held = token(wechat)
    send(wechat, held, "twice")
    send(wechat, held, "twice")
    assert len(arrived(wechat)) == 2


def test_a_robot_rejects_a_wrong_key_and_texts_that_are_too_long(wechat: httpx.Client) -> None:
    assert robot(wechat, key="other") == 93000
    assert robot(wechat, "x" * 2049) == 40058
    assert robot(wechat, "x" * 4096, msgtype="markdown") == 0
    assert robot(wechat, "x" * 4097, msgtype="markdown") == 40058
    assert len(arrived(wechat)) == 1


def test_above_20_a_minute_a_robot_gets_45009(wechat: httpx.Client, watch: Watch) -> None:
    assert [robot(wechat, str(number)) for number in range(21)] == [0] * 20 + [45009]
    watch.forward(minutes=1)
    assert robot(wechat) == 0


def test_a_fault_lasts_for_its_calls(wechat: httpx.Client) -> None:
    held = token(wechat)
    wechat.post("/_control/faults", json={"operation": "message/send", "errcode": -1, "times": 2})
    assert token(wechat) == held
    assert [send(wechat, held)["errcode"] for _ in range(3)] == [-1, -1, 0]
    assert [call["errcode"] for call in wechat.get("/_control/calls").json()] == [0, 0, -1, -1, 0]


def test_a_fault_without_times_lasts_until_it_is_cleared(wechat: httpx.Client) -> None:
    held = token(wechat)
    wechat.post("/_control/faults", json={"errcode": 45009})
    assert [send(wechat, held)["errcode"] for _ in range(5)] == [45009] * 5
    wechat.delete("/_control/faults")
    assert send(wechat, held)["errcode"] == 0


def test_http_errors_and_pages_are_not_json(wechat: httpx.Client) -> None:
    wechat.post("/_control/faults", json={"http_status": 502, "times": 1})
    assert wechat.get("/cgi-bin/gettoken").status_code == 502
    wechat.post("/_control/faults", json={"html": True, "times": 1})
    page = wechat.get("/cgi-bin/gettoken")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")


def test_a_reset_breaks_the_connection(wechat: httpx.Client) -> None:
    wechat.post("/_control/faults", json={"reset": True, "times": 1})
    with pytest.raises(httpx.ReadError):
        wechat.get("/cgi-bin/gettoken")
    token(wechat)


def test_a_hang_delays_its_call_and_no_other(wechat: httpx.Client) -> None:
    wechat.post("/_control/faults", json={"operation": "gettoken", "hang_seconds": 30, "times": 1})

    async def both() -> int:
        async with httpx.AsyncClient(base_url=wechat.base_url, timeout=0.3) as client:
            hanging = asyncio.create_task(client.get("/cgi-bin/gettoken"))
            await asyncio.sleep(0.05)
            healthy = await client.get("/health")
            with pytest.raises(httpx.ReadTimeout):
                await hanging
            return healthy.status_code

    assert asyncio.run(both()) == 200


def test_a_fault_after_delivery_loses_only_the_answer(wechat: httpx.Client) -> None:
    held = token(wechat)
    wechat.post("/_control/faults", json={"operation": "message/send", "http_status": 504, "taken": True, "times": 1})
    response = wechat.post(
        "/cgi-bin/message/send",
        params={"access_token": held},
        json={"touser": "alice", "msgtype": "text", "agentid": 7, "text": {"content": "taken"}},
    )
    assert response.status_code == 504
    assert [message["content"] for message in arrived(wechat)] == ["taken"]


def test_a_fault_of_two_kinds_is_rejected(wechat: httpx.Client) -> None:
    assert wechat.post("/_control/faults", json={"errcode": -1, "html": True}).status_code == 422
    assert wechat.post("/_control/faults", json={}).status_code == 422


def test_the_page_shows_what_arrived_escaped(wechat: httpx.Client) -> None:
    send(wechat, token(wechat), "<script>alert(1)</script>")
    page = wechat.get("/").text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>" not in page


def test_a_reset_deletes_all_state(wechat: httpx.Client) -> None:
    held = token(wechat)
    send(wechat, held)
    wechat.post("/_control/faults", json={"errcode": -1})
    wechat.post("/_control/reset")
    assert arrived(wechat) == []
    assert wechat.get("/_control/faults").json() == []
    assert send(wechat, held)["errcode"] == 40014


def test_a_member_without_a_licence_gets_nothing_and_the_answer_is_still_errcode_0(wechat: httpx.Client) -> None:
    wechat.put("/_control/users", json={"unlicensed": ["alice"]}).raise_for_status()
    answer = send(wechat, token(wechat))
    assert (answer["errcode"], answer["invaliduser"], answer["unlicenseduser"]) == (0, "", "alice")
    assert wechat.get("/_control/messages").json()["messages"] == []
    wechat.put("/_control/users", json={}).raise_for_status()
    assert "unlicenseduser" not in send(wechat, token(wechat), "again")


def test_unknown_departments_and_tags_are_named_and_the_rest_get_the_message(wechat: httpx.Client) -> None:
    wechat.put("/_control/users", json={"unknown_parties": ["2"], "unknown_tags": ["9"]}).raise_for_status()
    answer = send(wechat, token(wechat), toparty="1|2", totag="9")
    assert (answer["errcode"], answer["invalidparty"], answer["invalidtag"]) == (0, "2", "9")
    assert wechat.get("/_control/messages").json()["messages"][0]["recipients"] == ["alice", "1"]
    assert send(wechat, token(wechat), touser="", toparty="2", totag="9")["errcode"] == 81013


def test_a_caller_that_is_not_trusted_is_rejected_with_its_address(wechat: httpx.Client) -> None:
    access_token = token(wechat)
    wechat.put("/_control/trusted-addresses", json={"trusted": ["192.0.2.1"]}).raise_for_status()
    refused = send(wechat, access_token)
    assert refused["errcode"] == 60020
    assert ", from ip: 127.0.0.1, more info at https://" in str(refused["errmsg"])
    wechat.put("/_control/trusted-addresses", json={"trusted": ["127.0.0.1"]}).raise_for_status()
    assert send(wechat, access_token)["errcode"] == 0


@pytest.mark.parametrize(("errcode", "text"), [(41001, "access_token missing"), (42009, "suite_access_token expired")])
def test_a_rejection_contains_the_callers_address_as_in_the_real_api(
    wechat: httpx.Client, errcode: int, text: str
) -> None:
    wechat.post("/_control/faults", json={"errcode": errcode, "times": 1}).raise_for_status()
    answer = send(wechat, "any")
    assert (answer["errcode"], str(answer["errmsg"]).partition(",")[0]) == (errcode, text)
    assert f"from ip: 127.0.0.1, more info at https://open.work.weixin.qq.com/devtool/query?e={errcode}" in str(
        answer["errmsg"]
    )
