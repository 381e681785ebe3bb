"""A crew: what is found does not depend on who works."""

import threading

import pytest
from motrix_rl.engine.threads import Crew


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("count", [1, 2, 9])
def test_results_come_in_order(size, count):
    crew = Crew(size)
    for _ in range(3):
        assert crew.each(lambda part: part * 10, range(count)) == [10 * n for n in range(count)]


def test_all_of_them_work_at_once():
    """Each of three parts waits for the other two; the caller has one of them."""
    together = threading.Barrier(3, timeout=60)

    def work(part):
        together.wait()
        return threading.current_thread()

    workers = set(Crew(3).each(work, range(3)))
    assert len(workers) == 3
    assert threading.current_thread() in workers


@pytest.mark.parametrize("broken", [0, 3])
def test_an_error_reaches_the_caller_when_nobody_works_any_more(broken):
    working = set()

    def work(part):
        working.add(part)
        try:
            if part == broken:
                raise ValueError("no")
        finally:
            working.remove(part)

    with pytest.raises(ValueError, match="no"):
        Crew(3).each(work, range(6))
    assert not working


def test_helpers_are_prepared_before_they_work():
    prepared, together = set(), threading.Barrier(2, timeout=60)

    def work(part):
        together.wait()
        return threading.current_thread()

    crew = Crew(2, lambda: prepared.add(threading.current_thread()))
    assert set(crew.each(work, range(2))) == prepared | {threading.current_thread()}
