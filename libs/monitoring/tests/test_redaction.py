"""No secret leaves: not in events, not in signals, not in logs."""

import io
import logging

import pytest

import monitoring
from monitoring import MonitoringSettings
from monitoring.redaction import MARK, MAX_SEARCHED, MAX_TEXT, Redactor
from testkit.fake_server import FakeServer

# Module globals are not in events, so only the tested ways can carry them.
CONFIGURED = [f"canary{number:02d}xK7q" for number in range(20)]
PATTERNED = [f"canary{number:02d}xK7q" for number in range(20, 30)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("redis://:pw@h:6379/0", "redis://[redacted]@h:6379/0"),
        ("postgresql+psycopg2://u:p@ss@h/db", "postgresql+psycopg2://[redacted]@h/db"),
        ("smtp://u:p/w?x@mail:25", "smtp://[redacted]@mail:25"),
        ("see http://host:8080/a@b and go", "see http://host:8080/a@b and go"),
        ("https://key@sentry.example/1", "https://[redacted]@sentry.example/1"),
        ("/cgi-bin/gettoken?corpid=ww1&corpsecret=abc&x=1", "/cgi-bin/gettoken?corpid=ww1&corpsecret=[redacted]&x=1"),
        ("/message/send?access_token=a.b-c", "/message/send?access_token=[redacted]"),
        ("/webhook/send?key=12-34", "/webhook/send?key=[redacted]"),
        ("primary_key=7", "primary_key=7"),
        ("host=h password='a b' user=u", "host=h password=[redacted] user=u"),
        ("Authorization: Bearer abc.def", "Authorization: [redacted]"),
        ("{'authorization': 'Token abc', 'accept': '*'}", "{'authorization': '[redacted]', 'accept': '*'}"),
        ("(b'authorization', b'Bearer abcdef')", "(b'authorization', b'[redacted]')"),
        ('curl -H "X-Sentry-Auth: Sentry sentry_key=1"', 'curl -H "X-Sentry-Auth: [redacted]"'),
        ("sent with bearer abcdef123", "sent with bearer [redacted]"),
        ('{"access_token": "abc", "n": 1}', '{"access_token": "[redacted]", "n": 1}'),
        ('{\\"api_key\\": \\"abc\\"}', '{\\"api_key\\": \\"[redacted]\\"}'),
        ("SecretStr('abc')", "SecretStr([redacted])"),
        ("[type=x, input_value='abc', input_type=str]", "[type=x, input_value=[redacted], input_type=str]"),
        ("a basic training of the token ring", "a basic training of the token ring"),
        ("nothing to hide: a/b?page=2", "nothing to hide: a/b?page=2"),
    ],
)  # fmt: skip
def test_what_looks_like_a_credential_is_redacted_and_only_that(text: str, expected: str) -> None:
    redactor = Redactor()
    assert redactor.text(text) == expected
    assert redactor.text(expected) == expected


@pytest.mark.parametrize(
    "secret", ["s3cr3t-value", 'with "quotes"', "back\\slash\nline", "per%cent/slash", "密码密码密"]
)
def test_a_configured_secret_is_found_in_every_spelling(secret: str) -> None:
    import json
    from urllib.parse import quote, quote_plus

    redactor = Redactor([secret])
    spellings = [secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], quote(secret, safe=""), quote_plus(secret)]
    spellings.append(repr(secret.encode())[2:-1])
    for spelling in spellings:
        assert redactor.text(f"before {spelling} after") == f"before {MARK} after"


def test_the_password_of_a_configured_url_is_redacted_alone_too_and_its_host_stays() -> None:
    redactor = Redactor(["redis://user:hunter%2F22@redis.internal:6379/0"])
    text = redactor.text("AUTH hunter/22 at redis.internal failed for hunter%2F22")
    assert text == f"AUTH {MARK} at redis.internal failed for {MARK}"


def test_the_key_of_a_dsn_is_a_secret_and_the_user_of_a_database_without_password_is_none() -> None:
    redactor = Redactor(["https://0123abcd@sentry.example/1", "postgresql://recsys@db/business"])
    assert redactor.text("0123abcd of recsys@1.2.3") == f"{MARK} of recsys@1.2.3"


def test_what_a_telling_name_holds_is_redacted_whatever_it_is() -> None:
    scrubbed = Redactor().scrub(
        {
            "gateway_token": "x",
            "'password'": "'y'",
            "nested": [{"X-Api-Key": "z"}],
            "headers": [["authorization", "opaque"], ["accept", "text"]],
            "token_count": "5",
            "token": 5,
        }
    )
    assert scrubbed == {
        "gateway_token": MARK,
        "'password'": MARK,
        "nested": [{"X-Api-Key": MARK}],
        "headers": [["authorization", MARK], ["accept", "text"]],
        "token_count": "5",
        "token": 5,
    }


def test_text_is_cut_after_redaction_so_no_half_of_a_secret_is_left() -> None:
    secret = "long-secret-" * 10
    redactor = Redactor([secret])
    for limit in (MAX_TEXT, MAX_SEARCHED):
        text = "a" * (limit - 30) + secret + "b" * 200
        assert "long-secret" not in redactor.text(text)
        assert "long-secret" not in str(redactor.scrub(text))


class Holder:
    def __repr__(self) -> str:
        return f"<Holder {CONFIGURED[0]}>"


def inner(argument: str) -> None:
    holder = Holder()
    nested = {"list": [{CONFIGURED[2]: CONFIGURED[3].encode()}], "tuple": (CONFIGURED[4],)}
    password = PATTERNED[0]
    headers = {"Authorization": f"Bearer {PATTERNED[1]}"}
    url = f"smtp://mail:{PATTERNED[2]}@host:25"
    assert all([holder, nested, password, headers, url])
    raise ValueError(f"gettoken?corpsecret={PATTERNED[3]} {CONFIGURED[5]} {argument}")


def outer() -> None:
    try:
        inner(CONFIGURED[1])
    except ValueError as error:
        error.add_note(CONFIGURED[6])
        raise ConnectionError(f"redis://:{PATTERNED[4]}@h AUTH {CONFIGURED[19]}") from error


def test_no_canary_reaches_collector_or_gateway(fake_server: FakeServer, settings: MonitoringSettings) -> None:
    """Secrets in messages, chains, locals, breadcrumbs, tags, contexts, facts, keys and URLs."""
    monitoring.init("tested", settings, secrets=[*CONFIGURED[:-1], f"redis://u:{CONFIGURED[19]}@h/0"])

    for point in ("pipeline.critical_step_failed", "pipeline.step_failed"):
        with monitoring.bound_context(request_id=CONFIGURED[7], endpoint=f"/x?access_token={PATTERNED[5]}"):
            monitoring.breadcrumb(f"asked {CONFIGURED[8]}", category="http", url=f"https://h/send?key={PATTERNED[6]}")
            monitoring.breadcrumb("nested", category="http", data={"token": PATTERNED[7], "deep": [CONFIGURED[9]]})
            for _ in range(2):
                try:
                    outer()
                except ConnectionError as error:
                    monitoring.report(
                        point,
                        error=error,
                        step_name=f"step {CONFIGURED[10]}",
                        details={CONFIGURED[11]: [CONFIGURED[12], {"x": CONFIGURED[13]}]},
                        api_key=PATTERNED[8],
                        query=f"password={PATTERNED[9]} {CONFIGURED[14]}",
                        raw=CONFIGURED[15].encode(),
                        secrets={CONFIGURED[16]},
                        critical=CONFIGURED[17],
                        note=f"é{CONFIGURED[18]}é",
                    )
    monitoring.recovered("pipeline.step_failed", step_name=f"step {CONFIGURED[10]}")
    monitoring.flush(10)
    assert len(fake_server.events) == 4
    assert len(fake_server.signals) >= 5
    sent = b"".join(fake_server.bodies).decode()
    assert {canary for canary in CONFIGURED + PATTERNED if canary in sent} == set()
    assert "/x?access_token=[redacted]" in sent
    assert fake_server.dsn.split("//")[1].split("@")[0] not in sent


def test_no_canary_reaches_a_log_line(fake_server: FakeServer, settings: MonitoringSettings) -> None:
    monitoring.init("tested", settings, secrets=["configured-canary"])
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.addFilter(monitoring.log_redaction())
    handler.setFormatter(logging.Formatter("%(message)s %(extra)s"))
    logger = logging.getLogger("test_redaction.child")
    logger.propagate = False
    logger.addHandler(handler)
    try:
        int("configured-canary in redis://:pattern-canary@h")
    except ValueError:
        logger.exception("%s and %s", "configured-canary", 7, extra={"extra": {"token": "name-canary"}})
    finally:
        logger.removeHandler(handler)
    text = lines.getvalue().replace("test_no_canary_reaches_a_log_line", "")
    assert "canary" not in text
    assert "[redacted] and 7" in lines.getvalue()
    assert "base 10: '[redacted] in redis://[redacted]@h'" in lines.getvalue()
