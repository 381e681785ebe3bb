"""Networks in torch: an activation before every head, features that are computed once."""

import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("motrix_rl_torch")

from motrix_envs import registry as envs  # noqa: E402
from motrix_rl.loading import load_policy  # noqa: E402
from motrix_rl.policy import MlpPolicy  # noqa: E402
from motrix_rl.skrl.cfg import PPOCfg  # noqa: E402
from motrix_rl_torch import skrl_ppo  # noqa: E402
from motrix_rl_torch.models import make_models  # noqa: E402
from motrix_rl_torch.wrap_np import wrap_env  # noqa: E402

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings(
        "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
    ),
]


@pytest.fixture
def models():
    opened = []

    def make(**changes):
        sizes = {"policy_hidden_layer_sizes": (8, 6), "value_hidden_layer_sizes": (8, 6)}
        opened.append(envs.make("cartpole", num_envs=3, seed=0))
        return make_models(PPOCfg(**{**sizes, **changes}), wrap_env(opened[-1], device="cpu"))

    yield make
    for env in opened:
        env.close()


def order_of(model, role):
    """Return the kinds of layers in the order in which they run."""
    seen = []
    leaves = [module for module in model.modules() if not list(module.children())]
    hooks = [leaf.register_forward_hook(lambda m, *_: seen.append(type(m))) for leaf in leaves]
    model.act({"observations": torch.zeros(3, 4)}, role=role)
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("role", ["policy", "value"])
def test_no_two_linear_maps_in_a_row(models, shared, role):
    model = models(share_policy_value_features=shared)[role]
    kinds = order_of(model, role)
    assert kinds.count(torch.nn.Linear) == 3
    assert (torch.nn.Linear, torch.nn.Linear) not in itertools.pairwise(kinds)
    assert kinds[-2:] == [torch.nn.ELU, torch.nn.Linear]


def test_shared_features_run_once_for_both(models):
    model = models()["policy"]
    count = []
    model.hidden.register_forward_hook(lambda *_: count.append(1))
    inputs = {"observations": torch.randn(3, 4)}
    model.act(inputs, role="policy")
    values, _ = model.act(inputs, role="value")
    assert len(count) == 1
    again, _ = model.act(inputs, role="value")
    assert len(count) == 2, "features are kept for one question only"
    torch.testing.assert_close(values, again)
    model.act(inputs, role="policy")
    other, _ = model.act({"observations": inputs["observations"] + 1}, role="value")
    assert not torch.equal(values, other)


def test_separate_networks_are_separate(models):
    both = models(share_policy_value_features=False, value_hidden_layer_sizes=(5,))
    assert both["policy"] is not both["value"]
    assert both["value"].hidden[0].out_features == 5


def test_initial_log_std(models):
    assert models(initial_log_std=-0.5)["policy"].log_std.tolist() == [-0.5]


def test_shared_policy_in_numpy(tmp_path):
    """The policy that shares its features acts in NumPy as it does in torch."""
    kept = []

    class Spy(skrl_ppo.Trainer):
        def make_agent(self, env, session):
            kept.append(super().make_agent(env, session))
            return kept[-1]

    override = {
        "num_envs": 4,
        "rollouts": 8,
        "mini_batches": 2,
        "max_env_steps": 64,
        "share_policy_value_features": True,
        "seed": 1,
    }
    run = Spy("cartpole", cfg_override=override, runs_root=tmp_path).train()
    obs = np.random.default_rng(0).normal(0, 2, (100, 4)).astype(np.float32)
    (agent,) = kept
    seen = agent._observation_preprocessor(torch.tensor(obs))
    _, outputs = agent.policy.act({"observations": seen}, role="policy")
    mean = outputs["mean_actions"].detach().numpy()
    acted = MlpPolicy(*load_policy(run.path)).act(obs)
    np.testing.assert_allclose(acted, mean, atol=1e-6, rtol=1e-6)
    learner = run.load().learner
    assert learner["critic/value/kernel"].shape == (32, 1)
    assert "critic/0/kernel" not in learner
