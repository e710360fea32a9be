import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.person_names import MAX_HEADER_LENGTH, MAX_LENGTH, check_name, decode_name, encode_name
from contracts.text import is_visible

NAMES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=MAX_LENGTH).filter(is_visible)


@given(NAMES)
def test_a_name_of_any_script_arrives_as_it_was_sent(name: str) -> None:
    header = encode_name(check_name(name))
    assert header.isascii()
    assert len(header) <= MAX_HEADER_LENGTH
    assert decode_name(header) == name


@given(NAMES)
def test_bare_utf_8_arrives_too_unless_it_looks_encoded(name: str) -> None:
    as_servers_hand_it_on = name.encode().decode("latin-1")
    if not name.lower().startswith("utf-8'"):
        assert decode_name(as_servers_hand_it_on) == name


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("ci@main", "ci@main"),
        ("100%41 sure", "100%41 sure"),
        ("UTF-8''%E5%BC%A0%E4%BC%9F", "张伟"),
        ("utf-8'zh'%e5%bc%a0%e4%bc%9f", "张伟"),
        ("O'Neil's bot", "O'Neil's bot"),
        ("ISO-8859-1''%FC", "ISO-8859-1''%FC"),
    ],
)
def test_plain_ascii_stays_and_an_ext_value_is_decoded(header: str, name: str) -> None:
    assert decode_name(header) == name


def test_a_name_that_looks_encoded_is_encoded_itself() -> None:
    assert decode_name(encode_name("UTF-8''%41")) == "UTF-8''%41"


@pytest.mark.parametrize(
    "header",
    [
        "UTF-8''%E5%BC",
        "UTF-8''%zz",
        "UTF-8''a b",
        "UTF-8''%00",
        "UTF-8''%0A",
        "UTF-8''%ED%A0%80",
        "UTF-8''%E2%80%AE",
        "UTF-8''",
        "M\xfcller",
        "a\tb",
        " ",
        "x" * (MAX_LENGTH + 1),
    ],
)
def test_what_is_no_name_is_refused(header: str) -> None:
    with pytest.raises(ValueError, match="a name"):
        decode_name(header)
