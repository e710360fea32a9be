import httpx

from testkit.openapi import check_openapi


def test_every_response_is_documented(worker: httpx.Client) -> None:
    document = worker.get("/openapi.json").json()
    headers = {"Authorization": "Bearer the-token"}
    asked = check_openapi(document, str(worker.base_url), headers=headers, examples=25)
    assert set(asked) == {
        "POST /sync",
        "GET /sync/{job}",
        "POST /datasets/{dataset_id}/withdraw",
        "DELETE /datasets/{dataset_id}/withdraw",
        "GET /datasets/withdrawn",
        "GET /health",
        "GET /metrics",
    }
