"""Request validation: a repeated, unknown or malformed parameter is rejected, and never ignored."""

import pytest

from testkit.running_app import RunningApp


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/similar/105?tag=health&tag=finance", "tag"),
        ("/similar/105?max_price=abc&max_price=5", "max_price"),
        ("/similar/105?limit=999&limit=3", "limit"),
        ("/similar/105?limit=3&limit=3", "limit"),
        ("/recommend/detail/105?user_id=0&user_id=7", "user_id"),
        ("/hot/trending?timeframe=1h&timeframe=24h", "timeframe"),
        ("/recommend/user/7?explain=true&explain=true", "explain"),
    ],
)
def test_a_repeated_parameter_is_rejected(api: RunningApp, path: str, field: str) -> None:
    rejected = api.http.get(path)
    assert rejected.status_code == 422
    assert rejected.json()["errors"] == [{"field": f"query.{field}", "message": "given twice"}]


@pytest.mark.parametrize("path", ["/health", "/ready", "/models/shadow", "/similar/105", "/hot/trending"])
def test_an_unknown_parameter_is_named(api: RunningApp, path: str) -> None:
    rejected = api.http.get(f"{path}?limti=3")
    assert rejected.status_code == 422
    assert rejected.json()["errors"][0]["message"].startswith("unknown; ")


def test_metrics_ignore_unknown_parameters(api: RunningApp) -> None:
    assert api.http.get("/metrics?a=1&a=2").status_code == 200


def test_exclude_may_be_repeated(api: RunningApp) -> None:
    items = api.http.get("/similar/105?exclude=106&exclude=107,108&limit=50").json()["items"]
    assert not {106, 107, 108} & {item["dataset_id"] for item in items}


@pytest.mark.parametrize("limit", ["%2B5", "1_0", "%EF%BC%95", "%205", "5%20", "5.0", "05", "5e0", "", "true"])
@pytest.mark.parametrize("path", ["/similar/105", "/hot/trending"])
def test_a_limit_is_a_whole_number(api: RunningApp, path: str, limit: str) -> None:
    assert api.http.get(f"{path}?limit={limit}").status_code == 422


@pytest.mark.parametrize("price", ["1_0", "%EF%BC%95", "%205", "nan", "inf", "-1", "1e3", "0x10", "", "9" * 400])
def test_a_price_is_digits_with_a_decimal_point_at_most(api: RunningApp, price: str) -> None:
    assert api.http.get(f"/similar/105?max_price={price}").status_code == 422


@pytest.mark.parametrize("price", ["5", "5.5", "0", "1000000000000"])
def test_a_valid_price_is_accepted(api: RunningApp, price: str) -> None:
    assert api.http.get(f"/similar/105?max_price={price}").status_code == 200


@pytest.mark.parametrize("tag", ["%00", "a%1Bb", "x" * 65])
def test_a_tag_that_cannot_be_stored_is_rejected(api: RunningApp, tag: str) -> None:
    assert api.http.get(f"/similar/105?tag={tag}").status_code == 422
