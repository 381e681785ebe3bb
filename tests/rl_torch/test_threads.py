"""One thread while the physics runs, what the user asked for in updates, none left changed."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("motrix_rl_torch")

from motrix_envs.np.env import NpEnv  # noqa: E402
from motrix_rl_torch.skrl_ppo import PPO, Trainer  # noqa: E402

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings(
        "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
    ),
]

TINY = {"num_envs": 4, "rollouts": 8, "mini_batches": 2, "max_env_steps": 64, "seed": 1}


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("asked", "expected"), [("2", 2), (None, 1)])
def test_threads_follow_the_phase(two_threads, tmp_path, monkeypatch, asked, expected):
    if asked:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    else:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    stepping, updating = set(), set()
    step, update = NpEnv.step, PPO.update

    def spied_step(env, actions):
        stepping.add(torch.get_num_threads())
        return step(env, actions)

    def spied_update(agent, **clock):
        updating.add(torch.get_num_threads())
        return update(agent, **clock)

    monkeypatch.setattr(NpEnv, "step", spied_step)
    monkeypatch.setattr(PPO, "update", spied_update)
    random = torch.get_rng_state()
    run = Trainer("cartpole", cfg_override=TINY, runs_root=tmp_path).train()
    assert (stepping, updating) == ({1}, {expected})
    assert run.record["compute"]["threads"] == {"rollout": 1, "update": expected}
    assert torch.get_num_threads() == 2
    assert torch.equal(torch.get_rng_state(), random)


def test_threads_come_back_after_an_error(two_threads, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("boom")

    monkeypatch.setattr(PPO, "update", fail)
    with pytest.raises(RuntimeError, match="boom"):
        Trainer("cartpole", cfg_override=TINY, runs_root=tmp_path).train()
    assert torch.get_num_threads() == 2
