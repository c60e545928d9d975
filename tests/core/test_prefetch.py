import threading

import pytest

from asap.core.prefetch import Prefetcher


def test_without_threads_each_result_is_made_when_it_is_asked_for() -> None:
    made: list[int] = []
    ahead = Prefetcher(made.append, threads=0)
    ahead(5)
    assert made == [5]


def test_the_next_results_are_made_before_they_are_asked_for_and_each_once() -> None:
    made: list[int] = []
    begun = {step: threading.Event() for step in range(20)}

    def make(step: int) -> int:
        made.append(step)
        begun[step].set()
        return step**2

    ahead = Prefetcher(make, threads=2)
    assert ahead(3) == 9
    assert begun[4].wait(10)
    assert [ahead(step) for step in (4, 5, 9)] == [16, 25, 81]
    assert ahead(10) == 100
    assert min(made) == 3
    assert len(made) == len(set(made))


def test_what_goes_wrong_ahead_is_said_when_its_step_comes() -> None:
    def make(step: int) -> int:
        if step == 2:
            raise ValueError("two")
        return step

    ahead = Prefetcher(make, threads=1)
    assert [ahead(0), ahead(1)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        ahead(2)
