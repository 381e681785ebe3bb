"""Whoever watches sees real time: slow drawing leaves pictures out, not time."""

import pytest
from motrix_envs.np.pace import LONGEST_PAUSE, MADE_UP, RealTime


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 0.0

        def sleep(self, seconds):
            assert seconds > 0
            self.now += seconds

    made = Clock()
    monkeypatch.setattr("time.monotonic", lambda: made.now)
    monkeypatch.setattr("time.sleep", made.sleep)
    return made


def run(clock, pace, steps, drawing, stepping=0.0):
    """Return at which steps a picture was drawn; pictures and steps take some time."""
    drawn = []
    for step in range(steps):
        clock.now += stepping
        if pace.step():
            drawn.append(step)
            clock.now += drawing
    return drawn


def test_a_fast_picture_is_drawn_for_every_step(clock):
    assert run(clock, RealTime(0.01), 100, drawing=0.004) == list(range(100))
    assert clock.now == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("drawing", [0.04, 0.3])
def test_a_slow_picture_does_not_slow_the_robot(clock, drawing):
    drawn = run(clock, RealTime(0.01), 1000, drawing)
    assert clock.now == pytest.approx(10.0, abs=2 * drawing)
    assert len(drawn) == pytest.approx(10 / drawing, rel=0.3)


def test_however_slow_there_is_something_to_see(clock):
    drawn = run(clock, RealTime(0.01), 100, drawing=0.01, stepping=LONGEST_PAUSE / 4)
    assert len(drawn) >= 15


def test_a_long_pause_is_not_made_up_for(clock):
    pace = RealTime(0.01)
    run(clock, pace, 10, drawing=0)
    clock.now += 60
    before = clock.now
    run(clock, pace, 100, drawing=0)
    assert clock.now - before == pytest.approx(1.0, abs=MADE_UP + 0.02)
