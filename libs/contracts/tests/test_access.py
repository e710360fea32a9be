import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from contracts.access import (
    MAX_TOKEN_LENGTH,
    Host,
    HttpUrl,
    HttpUrlOrEmpty,
    HttpUrlWithUserOrEmpty,
    SecretLine,
    SingleLine,
    Token,
    check_http_url,
    check_token,
)


@pytest.mark.parametrize(
    "token", ["", "密钥-secret", "secret\n", "\ufeffsecret", "se cret", "secret\x00", "sec\udcffret", "x" * 5000]
)
def test_a_token_is_visible_ascii_and_the_message_does_not_quote_it(token: str) -> None:
    with pytest.raises(ValueError, match=r"^a token ") as refused:
        check_token(token)
    assert "secret" not in str(refused.value)


def test_a_token_may_hold_whatever_generators_make() -> None:
    for token in ("a", "0123456789abcdef", "A-Z._~+/=", "sk_live:%!$&'()*,;@[]{}", "x" * MAX_TOKEN_LENGTH):
        assert check_token(token) == token


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8001",
        "http://[::1]:8001/",
        "https://registry.example.com/models-api",
        "http://model_registry:8001",
        "http://xn--bcher-kva.example",
        "http://registry.",
    ],
)
def test_a_usable_url_stays_as_it_is(url: str) -> None:
    assert check_http_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "registry:8001",
        "//registry:8001",
        "ftp://registry",
        "http://",
        "http://:8001",
        "http://registry:8001\n",
        " http://registry:8001",
        "http://regi\tstry",
        "http://registry:port",
        "http://registry:99999",
        "http://registry:",
        "http://[::1",
        "http://a..b",
        "http://" + "a" * 64 + ".example",
        "http://bücher.example",
        "http://xn--a-ecp.ru\u200b",
        "http://xn--0.pt-",
        "http://-a-",
        "http://user:secret@registry",
        "http://registry/?token=secret",
        "http://registry/#secret",
        "http://registry?",
        "http://regi\x00stry",
        "http://" + "a." * 2000,
    ],
)
def test_an_unusable_url_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|host") as refused:
        check_http_url(url)
    assert "secret" not in str(refused.value)


class _Settings(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    token: Token | None = None
    secret: SecretLine | None = None
    url: HttpUrl = "http://registry"
    link: HttpUrlOrEmpty = ""
    source: HttpUrlWithUserOrEmpty = ""
    line: SingleLine = ""
    host: Host = "127.0.0.1"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("token", "hush-hush\n"),
        ("secret", "hush-hush\n"),
        ("url", "http://hush-hush\n"),
        ("link", "http://hush-hush\n"),
        ("source", "http://hush-hush\n"),
        ("line", "hush-hush\n"),
        ("host", "hush..hush-hush"),
    ],
)
def test_a_field_of_these_types_refuses_a_value_and_does_not_print_it(name: str, value: str) -> None:
    with pytest.raises(ValidationError) as refused:
        _Settings(**{name: value})
    (found,) = refused.value.errors()
    assert found["loc"] == (name,)
    assert "hush-hush" not in str(refused.value)


def test_usable_values_are_taken() -> None:
    settings = _Settings(
        token="t",  # type: ignore[arg-type]
        secret="密钥 with spaces",  # type: ignore[arg-type]
        source="http://me:pw@prometheus:9090",
        line="值",
        host="::1",
    )
    assert settings.source == "http://me:pw@prometheus:9090"
