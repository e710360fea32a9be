from typing import Any

import pytest

from servicekit.redis_urls import RedisTarget, parse


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("redis://", RedisTarget("server", (("localhost", 6379),))),
        ("redis://cache:7000/3", RedisTarget("server", (("cache", 7000),), 3)),
        ("redis://cache?db=3", RedisTarget("server", (("cache", 6379),), 3)),
        (
            "rediss://api:p%40ss@cache/?ssl_ca_certs=/ca.pem&health_check_interval=5",
            RedisTarget(
                "server",
                (("cache", 6379),),
                tls=True,
                credentials={"username": "api", "password": "p@ss"},
                options={"ssl_ca_certs": "/ca.pem", "health_check_interval": 5},
            ),
        ),
        (
            "redis+sentinel://:pw@a,b:5000,[::1]:5001/mymaster/2?sentinel_password=spw",
            RedisTarget(
                "sentinel",
                (("a", 26379), ("b", 5000), ("::1", 5001)),
                2,
                "mymaster",
                credentials={"password": "pw"},
                sentinel_credentials={"password": "spw"},
            ),
        ),
        ("rediss+cluster://a:1,b:2", RedisTarget("cluster", (("a", 1), ("b", 2)), tls=True)),
    ],
)
def test_a_url_says_where_redis_is_and_how_to_speak_to_it(url: str, target: RedisTarget) -> None:
    assert parse(url) == target


@pytest.mark.parametrize(
    "url",
    [
        "http://:canary@cache",
        "redis+sentinel://:canary@a:1",
        "redis+cluster://:canary@a:1/3",
        "redis://:canary@cache/canary",
        "redis://:canary@cache:canary",
        "redis://:canary@cache/1/2",
        "",
    ],
)
def test_what_is_no_redis_url_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(ValueError, match=r"^[^:]") as refused:
        parse(url)
    assert "canary" not in str(refused.value)


def test_passwords_are_known_as_secrets_and_never_shown() -> None:
    target: Any = parse("redis+sentinel://:one@a/m?sentinel_password=two")
    assert target.secrets() == ["one", "two"]
    assert "one" not in repr(target)
