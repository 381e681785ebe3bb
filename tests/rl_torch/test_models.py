"""An RLModule as skrl's model in torch: one object, one pass, one optimiser."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("motrix_rl_torch")

from motrix_envs import registry as envs  # noqa: E402
from motrix_rl.skrl.cfg import PPOCfg  # noqa: E402
from motrix_rl.skrl.modules import build_module  # noqa: E402
from motrix_rl_torch.models import ModuleModel  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture
def make_model():
    env = envs.make("cartpole", num_envs=3, seed=0)
    sizes = {"policy_hidden_layer_sizes": (8, 6), "value_hidden_layer_sizes": (8, 6)}

    def make(**changes):
        module = build_module(PPOCfg(**{**sizes, **changes}), env, "torch", 1)
        return ModuleModel(
            module,
            observation_space=env.observation_space,
            state_space=None,
            action_space=env.action_space,
            device="cpu",
        )

    yield make
    env.close()


def test_shared_features_run_once_for_both(make_model):
    model = make_model()
    count = []
    model.module.encoder.shared.register_forward_hook(lambda *_: count.append(1))
    inputs = {"observations": torch.randn(3, 4)}
    model.act(inputs, role="policy")
    values, _ = model.act(inputs, role="value")
    assert len(count) == 1
    again, _ = model.act(inputs, role="value")
    assert len(count) == 2, "values are kept for one question only"
    torch.testing.assert_close(values, again)
    model.act(inputs, role="policy")
    other, _ = model.act({"observations": inputs["observations"] + 1}, role="value")
    assert not torch.equal(values, other)


def test_networks_have_the_configured_sizes(make_model):
    module = make_model(
        share_policy_value_features=False, value_hidden_layer_sizes=(5,), initial_log_std=-0.5
    ).module
    shapes = {name: tuple(p.shape) for name, p in module.named_parameters() if "weight" in name}
    assert shapes == {
        "encoder.actor.0.weight": (8, 4),
        "encoder.actor.1.weight": (6, 8),
        "encoder.critic.0.weight": (5, 4),
        "pi.out.weight": (1, 6),
        "vf.out.weight": (1, 5),
    }
    assert module.pi.log_std.tolist() == [-0.5]


def test_log_probabilities_of_taken_actions(make_model):
    model = make_model(share_policy_value_features=False)
    inputs = {"observations": torch.randn(3, 4)}
    actions, outputs = model.act(inputs, role="policy")
    assert actions.shape == outputs["log_prob"].shape == (3, 1)
    _, again = model.act({**inputs, "taken_actions": actions}, role="policy")
    torch.testing.assert_close(again["log_prob"], outputs["log_prob"])
    assert again["log_prob"].requires_grad
    assert model.get_entropy().shape == (3, 1)
    assert model.distribution().stddev.tolist() == [[1.0]] * 3
