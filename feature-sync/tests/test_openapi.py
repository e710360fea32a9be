import httpx

from testkit.openapi import check_openapi


def test_every_response_is_documented(worker: httpx.Client) -> None:
    document = worker.get("/openapi.json").json()
    headers = {"Authorization": "Bearer the-token"}
    # Few, because each forgotten user takes up to a second.
    asked = check_openapi(document, str(worker.base_url), headers=headers, examples=12)
    assert set(asked) == {
        "POST /sync",
        "GET /sync/{job}",
        "POST /verify",
        "GET /dead-letters",
        "POST /dead-letters/replay",
        "POST /dead-letters/drop",
        "POST /datasets/{dataset_id}/withdraw",
        "DELETE /datasets/{dataset_id}/withdraw",
        "GET /datasets/withdrawn",
        "DELETE /users/{user_id}",
        "GET /users/{user_id}/export",
        "GET /users/{user_id}/features",
        "GET /outcomes",
        "GET /audit",
        "GET /health",
        "GET /metrics",
    }
