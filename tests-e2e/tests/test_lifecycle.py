"""The stack keeps itself up, and starting it again changes nothing."""

from harness import RunningStack


def test_a_second_up_changes_nothing(stack: RunningStack) -> None:
    before = stack.pids()
    version = stack.active_version()
    stack.programs.up()
    assert stack.pids() == before
    assert stack.active_version() == version


def test_a_killed_service_comes_back_and_answers_as_before(stack: RunningStack) -> None:
    before = stack.pids()["recommender-api"]
    stack.kill("recommender-api")
    took = stack.wait_until(
        lambda: stack.pids()["recommender-api"] not in (0, before) and stack.answers(),
        within=15,
        what="the API is back",
    )
    stack.note("seconds from a kill of recommender-api to its next answer", took)
    assert stack.api.get(f"/similar/{stack.dataset_id}").json()["fallback_level"] == 0
