"""The small form of ``make chaos-rollouts``: swaps under load, a storm of signals, artifacts that are traps."""

from collections.abc import Iterator

import pytest

from tests.chaos import bad_artifacts, storm, swaps
from tests.e2e.harness import Gateway


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gw")
    gateway = Gateway(folder, swaps.config(folder))
    bad_artifacts.write(folder / "models", "90", "crashes")
    try:
        yield gateway.start()
    finally:
        gateway.close()


def test_swaps_under_load_fail_nobody_and_no_answer_comes_from_the_wrong_model(gateway: Gateway) -> None:
    with swaps.loaded(gateway) as load:
        took = swaps.swap_twice(gateway, 2)
    assert (load.failed, load.wrong) == ([], [])
    assert load.answers.keys() == {"1", "2"}
    assert max(took) < 2.0


def test_an_artifact_that_crashes_is_refused_under_load_and_fails_nobody(gateway: Gateway) -> None:
    with swaps.loaded(gateway, callers=1) as load:
        why, _ = bad_artifacts.refused(gateway, "90")
    assert "ended its process by signal 11" in why
    assert (load.failed, load.wrong) == ([], [])


def test_operators_who_all_talk_at_once_make_a_walk_through_the_table(gateway: Gateway) -> None:
    seen = storm.blow(gateway, seed=1, signals=5)
    assert seen.keys() <= {200, 201, 409, 422}, seen
    assert storm.illegal(gateway) == []
