"""The stack restarts its programs, and a second `make up` changes nothing."""

import pytest

from harness import RunningStack


def test_a_second_up_changes_nothing(stack: RunningStack) -> None:
    before = stack.pids()
    version = stack.active_version()
    stack.programs.up()
    assert stack.pids() == before
    assert stack.active_version() == version


def test_a_killed_service_is_restarted_and_answers_as_before(stack: RunningStack) -> None:
    before = stack.pids()["recommender-api"]
    stack.kill("recommender-api")
    took = stack.wait_until(
        lambda: stack.pids()["recommender-api"] not in (0, before) and stack.answers(),
        within=60,
        what="the API is back",
    )
    stack.note("seconds from a kill of recommender-api to its next answer", took)
    stack.wait_until_normal()


@pytest.mark.timeout(300)
def test_all_programs_recover_from_a_kill_at_the_same_time(stack: RunningStack) -> None:
    before = stack.pids()
    for program in before:
        stack.kill(program)
    took = stack.wait_until(
        lambda: all(
            stack.programs.main_process(program) not in (0, process) and stack.programs.is_well(program)
            for program, process in before.items()
        ),
        within=200,
        every=1,
        what="every program is healthy again",
    )
    stack.note("seconds from a kill of everything until all are healthy", took)
    stack.wait_until_normal()
