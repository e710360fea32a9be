"""A time zone is an IANA name; whatever else is typed is refused by one sentence."""

import pytest

from contracts.time_zones import check_time_zone


@pytest.mark.parametrize("name", ["UTC", "Asia/Shanghai", "Europe/Berlin"])
def test_an_iana_name_is_taken(name: str) -> None:
    assert check_time_zone(name) == name


@pytest.mark.parametrize(
    "name", ["", ".", "Mars/Base", "Europe", "../../etc/passwd", "/etc/passwd", "a\0b", "x" * 5000]
)
def test_what_is_no_name_is_refused_and_shown_in_short(name: str) -> None:
    with pytest.raises(ValueError, match="is no time zone; use an IANA name") as refused:
        check_time_zone(name)
    assert len(str(refused.value)) < 400
