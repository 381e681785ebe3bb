"""Where the time of a training goes."""

import time
from types import SimpleNamespace

import pytest
from motrix_rl.profiling import ENVIRONMENT, LEARNING, LOGGING, PHYSICS, Profile, advice


class Clock:
    """Time that passes only when somebody says so."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", clock)
    return clock


class Env:
    def __init__(self, clock):
        self.clock = clock

    def physics_step(self):
        self.clock.now += 3

    def step(self):
        self.clock.now += 1
        self.physics_step()


class Session:
    def __init__(self, clock):
        self.clock = clock

    def after_update(self, batch_steps, told=None):
        self.clock.now += 0.5


def profiled(clock, rollouts):
    env, session, profile = Env(clock), Session(clock), Profile()
    profile.watch(env, "physics_step", PHYSICS)
    profile.watch(env, "step", ENVIRONMENT)
    profile.watch(session, "after_update", LOGGING)
    profile.count_updates(session)
    for done in range(1, rollouts + 1):
        env.step()
        env.step()
        clock.now += 1.5 if done > 1 else 1000  # the first update compiles
        session.after_update(2 * done)
    return profile


def test_each_part_has_its_own_time_and_the_first_rollout_none(clock):
    profile = profiled(clock, rollouts=3)
    found = {one.part: (one.seconds, one.share) for one in profile.shares()}
    assert found == {
        PHYSICS: (12, 0.6),
        ENVIRONMENT: (4, 0.2),
        LOGGING: (1, 0.05),
        "other": (3, 0.15),
    }
    assert profile.batch_steps == 4


def test_one_rollout_tells_nothing(clock):
    assert profiled(clock, rollouts=1).shares() == []


def test_advice_begins_with_the_largest_part():
    def share(part, size):
        return SimpleNamespace(part=part, share=size)

    cfg = SimpleNamespace(num_envs=64)
    found = advice([share(PHYSICS, 0.3), share(ENVIRONMENT, 0.2), share(LEARNING, 0.5)], cfg)
    assert [hint.split()[0] for hint in found] == ["learning", "the"]
    assert advice([share(PHYSICS, 0.5), share(LEARNING, 0.3)], cfg) == []
