"""Messages mention people by user id or phone number, as far as each format of WeChat Work allows."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from notification_gateway.policy.loading import PolicyError, parse_policy
from running_gateway import SteppedGateway, Wechat, app_of, robot_of, settings, signal

Make = Callable[..., SteppedGateway]
POLICY = """defaults: {{error: P2, warning: P2, info: none}}
rules:
  - name: urgent
    priority: P0
    conditions: [{{category: model}}, {{category: airflow}}]
    actions:
      - {{alert: {alert}, channel: weixin, mention: {mention}}}
"""


def with_mention(step_with: Make, folder: Path, mention: str, **more: object) -> SteppedGateway:
    path = folder / "alerts.yaml"
    path.write_text(POLICY.format(alert="immediate", mention=mention), encoding="utf-8")
    return step_with(alert_policy=path, **more)


def test_a_robot_mentions_members_in_markdown(wechat: Wechat, step_with: Make, tmp_path: Path) -> None:
    stepped = with_mention(step_with, tmp_path, "[zhangsan, li.si]", **robot_of(wechat.url))
    stepped.fire(signal())
    stepped.deliver()
    (message,) = wechat.messages
    assert (message["msgtype"], message["mentioned"]) == ("markdown", ["zhangsan", "li.si"])


@pytest.mark.parametrize("mention", ['["13800138000", zhangsan]', '["@all"]', '["+8613800138000"]'])
def test_a_robot_mentions_phones_and_everybody_in_text(
    wechat: Wechat, step_with: Make, tmp_path: Path, mention: str
) -> None:
    stepped = with_mention(step_with, tmp_path, mention, **robot_of(wechat.url))
    stepped.fire(signal())
    stepped.deliver()
    (message,) = wechat.messages
    assert message["msgtype"] == "text"
    assert sorted(message["mentioned"]) == sorted(name.strip('" ') for name in mention.strip("[]").split(","))


def test_a_cut_message_still_mentions(wechat: Wechat, step_with: Make, tmp_path: Path) -> None:
    stepped = with_mention(step_with, tmp_path, "[zhangsan]", **robot_of(wechat.url))
    stepped.fire(signal(service="数" * 64, request_ids=["r" * 128] * 3, message="_*" * 2000, tags={"a": "b"}))
    stepped.deliver()
    (message,) = wechat.messages
    assert message["mentioned"] == ["zhangsan"]
    assert len(message["content"].encode()) <= 4096


def test_a_text_of_others_mentions_no_one(wechat: Wechat, step_with: Make) -> None:
    stepped = step_with(**robot_of(wechat.url))
    stepped.fire(signal(message="<@everyone> <@all>"))
    stepped.deliver()
    assert wechat.messages[0]["mentioned"] == []


def test_an_application_sends_to_the_mentioned_members_too(wechat: Wechat, step_with: Make, tmp_path: Path) -> None:
    stepped = with_mention(step_with, tmp_path, '[zhangsan, alice, "13800138000"]', **app_of(wechat.url))
    stepped.fire(signal())
    stepped.deliver()
    assert wechat.messages[0]["recipients"] == ["alice", "zhangsan"]


def test_the_default_mention_is_used_without_one_of_the_action_and_not_for_the_end(
    wechat: Wechat, step_with: Make, tmp_path: Path
) -> None:
    stepped = with_mention(step_with, tmp_path, "[]", weixin_mention="wang | ", **robot_of(wechat.url))
    stepped.fire(signal())
    stepped.deliver()
    stepped.fire(signal(kind="recovered"))
    stepped.watch.forward(minutes=1)
    stepped.deliver()
    assert [message["mentioned"] for message in wechat.messages] == [["wang"], []]


def test_a_storm_mentions_everyone_whom_its_members_mention(wechat: Wechat, step_with: Make, tmp_path: Path) -> None:
    stepped = with_mention(step_with, tmp_path, "[zhangsan]", **robot_of(wechat.url))
    stepped.fire(*(signal(("airflow", "a", str(number))) for number in range(8)))
    stepped.deliver()
    assert [message["mentioned"] for message in wechat.messages] == [["zhangsan"]]


@pytest.mark.parametrize(
    ("alert", "mention", "advice"),
    [
        ("immediate", "[13800138000]", "put it in quotes"),
        ("immediate", '["a|b"]', "a mention is a user id"),
        ("immediate", '["<@x>"]', "a mention is a user id"),
        ("immediate", '[""]', "a mention is a user id"),
        ("immediate", '["a\\nb"]', "unacceptable character"),
        ("immediate", "zhangsan", "mention"),
        ("immediate", str([f"u{number}" for number in range(21)]), "mention"),
        ("hourly_summary", "[zhangsan]", "only an immediate message mentions people"),
    ],
)
def test_an_invalid_mention_is_rejected_with_its_line(alert: str, mention: str, advice: str) -> None:
    with pytest.raises(PolicyError) as error:
        parse_policy(POLICY.format(alert=alert, mention=mention), "p.yaml")
    assert {problem.line for problem in error.value.problems} == {7}
    assert advice in str(error.value)


@pytest.mark.parametrize("value", ["a b", "<@x>", "|".join(f"u{number}" for number in range(21))])
def test_an_invalid_default_mention_is_rejected(value: str) -> None:
    with pytest.raises(ValidationError, match="weixin_mention"):
        settings("sqlite://", weixin_mention=value)
