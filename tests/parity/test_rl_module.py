"""One policy, both frameworks: the same bytes on disk, the same actions, the same densities."""

import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from gymnasium import spaces
from motrix_rl.rl_module import (
    Columns,
    PPOCatalog,
    PPONumpyRLModule,
    RLModuleSpec,
    StateMismatchError,
    states,
)
from motrix_rl.rl_module.acting import initial_states
from motrix_rl.rl_module.distributions import NumpyOps, action_dist_cls
from motrix_rl.rl_module.networks import ActorCriticEncoderConfig, below
from motrix_rl_jax.rl_module import PPOFlaxRLModule
from motrix_rl_jax.rl_module.ops import Ops as JaxOps
from motrix_rl_torch.rl_module import PPOTorchRLModule
from motrix_rl_torch.rl_module.ops import Ops as TorchOps

pytestmark = [pytest.mark.torch, pytest.mark.jax]

# Sums run in another order; float32 keeps about seven digits.
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
FLAT, IMAGE = spaces.Box(-1, 1, (5,)), spaces.Box(0, 255, (17, 20, 3), np.uint8)
MOVE = spaces.Box(-1, 1, (3,))
FILTERS = [[8, 4, 2], [4, 3, 3, "valid"], [5, [2, 3], 1]]

CASES = {
    "mlp": (FLAT, {"hidden": [16, 8]}),
    "mlp-norm": (FLAT, {"hidden": [16], "fcnet_use_layernorm": True, "free_log_std": True}),
    "mlp-normalised": (FLAT, {"hidden": [16], "normalize_observations": True}),
    "mlp-orthogonal": (FLAT, {"hidden": [16, 8], "initialiser": "orthogonal"}),
    "mlp-deep-heads": (FLAT, {"hidden": [8], "post_fcnet_hiddens": [7], "vf_share_layers": False}),
    "cnn": (IMAGE, {"conv_filters": FILTERS}),
    "cnn-default": (spaces.Box(-1, 1, (32, 32, 1)), {"vf_share_layers": False}),
    "lstm": (FLAT, {"hidden": [6], "use_lstm": True, "lstm_cell_size": 7}),
    "lstm-2": (FLAT, {"hidden": [6], "use_lstm": True, "lstm_cell_size": 7, "lstm_num_layers": 2}),
    "gru": (FLAT, {"hidden": [], "use_lstm": True, "lstm_cell": "gru", "vf_share_layers": False}),
    "gru-cnn": (IMAGE, {"conv_filters": FILTERS, "use_lstm": True, "lstm_cell": "gru"}),
}
ACTIVATIONS = ["linear", "relu", "tanh", "elu", "silu", "gelu"]

by_case = pytest.mark.parametrize("name", CASES)


def build(cls, name, **more):
    space, options = CASES[name]
    config = {"seed": 5, **options, **more}
    return cls(observation_space=space, action_space=MOVE, model_config=config)


def observations(space, *leading):
    rng = np.random.default_rng(1)
    shape = (*leading, *space.shape)
    if space.dtype == np.uint8:
        return rng.integers(0, 256, shape, np.uint8)
    return rng.normal(size=shape).astype(np.float32)


def weights(folder):
    return (Path(folder) / "weights.safetensors").read_bytes()


def stir(module):
    """Give every entry of the state a value of its own, so that no swap goes unnoticed."""
    rng = np.random.default_rng(2)
    flat = states.flatten(module.get_state())
    other = {
        k: (v + 0.3 * np.abs(rng.normal(size=v.shape))).astype(v.dtype) for k, v in flat.items()
    }
    module.set_state(states.unflatten(other))
    return module


@by_case
def test_equal_seeds_make_equal_modules(name):
    one = states.flatten(build(PPOTorchRLModule, name).get_state())
    two = states.flatten(build(PPOFlaxRLModule, name).get_state())
    assert one.keys() == two.keys()
    for path, leaf in one.items():
        assert leaf.dtype == two[path].dtype
        np.testing.assert_array_equal(leaf, two[path], err_msg=path)


@by_case
def test_the_layout_is_what_the_config_says(name):
    module = build(PPOTorchRLModule, name)
    catalog = module._ppo_catalog
    assert isinstance(catalog.actor_critic_encoder_config, ActorCriticEncoderConfig)
    wanted = {
        **below("encoder", catalog.actor_critic_encoder_config.parameters()),
        **below("pi", catalog.pi_head_config.parameters()),
        **below("vf", catalog.vf_head_config.parameters()),
    }
    found = {k: v.shape for k, v in states.flatten(module.get_state()).items()}
    found = {k: shape for k, shape in found.items() if not k.startswith("normalizer")}
    assert found == {path: parameter.shape for path, parameter in wanted.items()}


@by_case
def test_torch_disk_flax_disk_torch_is_the_same_bytes(name, tmp_path):
    start = stir(build(PPOTorchRLModule, name))
    one = start.save_to_path(tmp_path / "one")
    two = PPOFlaxRLModule.from_checkpoint(one).save_to_path(tmp_path / "two")
    three = PPOTorchRLModule.from_checkpoint(two).save_to_path(tmp_path / "three")
    assert weights(one) == weights(two) == weights(three)
    for file in ("module.json", "manifest.json"):
        assert (Path(one) / file).read_bytes() == (Path(three) / file).read_bytes()


@by_case
def test_both_compute_the_same(name, tmp_path):
    one = stir(build(PPOTorchRLModule, name))
    two = PPOFlaxRLModule.from_checkpoint(one.save_to_path(tmp_path / "m"))
    leading = (4, 6) if one.is_stateful() else (4,)
    batch = {Columns.OBS: observations(one.observation_space, *leading)}
    if one.is_stateful():
        zeros = states.flatten(initial_states(one, 4))
        rng = np.random.default_rng(3)
        start = {k: rng.normal(size=v.shape).astype(np.float32) for k, v in zeros.items()}
        batch[Columns.STATE_IN] = states.unflatten(start)
    outputs = [states.flatten(m.to_numpy(m.forward_train(m.to_tensor(batch)))) for m in (one, two)]
    jitted = jax.jit(two.functional("train"))(two.variables, two.to_tensor(batch))
    outputs.append(states.flatten(two.to_numpy(jitted)))
    for path, value in outputs[0].items():
        for other in outputs[1:]:
            np.testing.assert_allclose(value, other[path], **CLOSE, err_msg=path)
    assert np.std(outputs[0]["vf_preds"]) > 1e-4  # something depends on the input
    obs = observations(one.observation_space, 9)
    np.testing.assert_allclose(one.act(obs)[0], two.act(obs)[0], **CLOSE)


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("mlp")])
@pytest.mark.parametrize("source", [PPOTorchRLModule, PPOFlaxRLModule])
def test_numpy_acts_the_same(name, source, tmp_path):
    trained = stir(build(source, name))
    path = trained.save_to_path(tmp_path / "m")
    plain = PPONumpyRLModule.from_checkpoint(path, inference_only=True)
    obs = observations(FLAT, 50)
    np.testing.assert_allclose(plain.act(obs)[0], trained.act(obs)[0], **CLOSE)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_agree(activation):
    options = {"fcnet_activation": activation}
    modules = [
        build(cls, "mlp", **options)
        for cls in (PPOTorchRLModule, PPOFlaxRLModule, PPONumpyRLModule)
    ]
    obs = 5 * observations(FLAT, 50)
    first, *others = [m.act(obs)[0] for m in modules]
    for other in others:
        np.testing.assert_allclose(first, other, **CLOSE)


def test_acting_without_any_framework(tmp_path):
    path = build(PPOTorchRLModule, "mlp").save_to_path(tmp_path / "m")
    code = (
        "import sys, numpy as np\n"
        "from motrix_rl.rl_module import PPONumpyRLModule\n"
        f"policy = PPONumpyRLModule.from_checkpoint({path!r}, inference_only=True)\n"
        "print(policy.act(np.zeros((1, 5)))[0].shape)\n"
        "assert not {'torch', 'jax', 'flax'} & set(sys.modules), 'imported a framework'\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "(1, 3)"


def test_a_user_subclass_does_not_pass_for_its_base(tmp_path):
    class Mine(PPOTorchRLModule):
        pass

    space, options = CASES["mlp"]
    path = Mine(observation_space=space, action_space=MOVE, model_config=options).save_to_path(
        tmp_path / "m"
    )
    with pytest.raises(ValueError):
        PPOFlaxRLModule.from_checkpoint(path)


def test_float64_does_not_slip_into_float32(tmp_path):
    double = build(PPOTorchRLModule, "mlp").double()
    with pytest.raises(StateMismatchError, match="expected float32"):
        PPOFlaxRLModule.from_checkpoint(double.save_to_path(tmp_path / "m"))


# Distributions

SPACES = {
    "categorical": (spaces.Discrete(4), False),
    "gaussian": (MOVE, False),
    "squashed": (spaces.Box(np.array([-1.0, 0.5]), np.array([2.0, 0.6]), dtype=np.float64), True),
    "multi-discrete": (spaces.MultiDiscrete([2, 3]), False),
    "nested": (spaces.Dict({"a": MOVE, "b": spaces.Tuple([spaces.Discrete(3)])}), False),
}
OPS = {"numpy": NumpyOps, "torch": TorchOps, "jax": JaxOps}
TO = {"numpy": np.asarray, "torch": torch.as_tensor, "jax": jnp.asarray}


def everywhere(tree, function):
    if isinstance(tree, dict):
        return {key: everywhere(value, function) for key, value in tree.items()}
    if isinstance(tree, tuple):
        return tuple(everywhere(value, function) for value in tree)
    return function(tree)


def both_dists(kind, framework):
    space, squash = SPACES[kind]
    rng = np.random.default_rng(0)
    made = []
    for name in ("numpy", framework):
        cls = action_dist_cls(space, OPS[name], squash=squash)
        dims = cls.required_input_dim(space)
        rng = np.random.default_rng(0)
        logits = [rng.normal(size=(6, dims)).astype(np.float32) for _ in range(2)]
        made.append([cls.from_logits(TO[name](x)) for x in logits])
    return made


@pytest.mark.parametrize("framework", ["torch", "jax"])
@pytest.mark.parametrize("kind", SPACES)
def test_distributions_agree_with_numpy(kind, framework):
    (plain, plain_other), (dist, other) = both_dists(kind, framework)
    value = plain.sample(sample_shape=(3,), rng=np.random.default_rng(1))
    moved = everywhere(value, TO[framework])
    np.testing.assert_allclose(dist.logp(moved), plain.logp(value), **CLOSE)
    if kind != "squashed":
        np.testing.assert_allclose(dist.entropy(), plain.entropy(), **CLOSE)
        np.testing.assert_allclose(dist.kl(other), plain.kl(plain_other), **CLOSE)
    best, wanted = dist.to_deterministic().sample(), plain.to_deterministic().sample()
    compared = everywhere(best, np.asarray)
    for one, two in zip(jax.tree.leaves(compared), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(one, two, **CLOSE)


@pytest.mark.parametrize("framework", ["torch", "jax"])
@pytest.mark.parametrize("kind", SPACES)
def test_samples_come_with_their_density(kind, framework):
    _, (dist, _) = both_dists(kind, framework)
    rng = torch.Generator().manual_seed(0) if framework == "torch" else jax.random.key(0)
    value, logp = dist.sample(sample_shape=(5,), return_logp=True, rng=rng)
    assert logp.shape == (5, 6)
    np.testing.assert_allclose(dist.logp(value), logp, rtol=1e-3, atol=1e-3)


def test_gradients_flow_through_rsample_only():
    logits = torch.zeros(1, 6, requires_grad=True)
    dist = action_dist_cls(MOVE, TorchOps).from_logits(logits)
    assert not dist.sample().requires_grad
    value, logp = dist.rsample(return_logp=True)
    assert value.requires_grad
    assert logp.requires_grad
    straight = action_dist_cls(spaces.Discrete(3), TorchOps).from_logits(logits[:, :3])
    one_hot = straight.rsample()
    assert one_hot.sum().item() == pytest.approx(1.0)
    (one_hot * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert logits.grad.abs().sum() > 0


# The seed's three examples, against our names

CATALOG = {"catalog_class": PPOCatalog}


@pytest.fixture
def env():
    env = gym.make("CartPole-v1")
    yield env
    env.close()


def module_spec(cls, env):
    return RLModuleSpec(
        module_class=cls,
        observation_space=env.observation_space,
        action_space=env.action_space,
        model_config_dict={"hidden": [128, 128]},
        catalog_class=PPOCatalog,
    )


def test_seed_example_exploration_torch(env):
    module = module_spec(PPOTorchRLModule, env).build()
    assert module.encoder.shared.config.hidden_layer_dims == (128, 128)
    action_dist_class = module.get_inference_action_dist_cls()
    obs, _ = env.reset()
    terminated = truncated = False
    while not (terminated or truncated):
        fwd_ins = {"obs": torch.Tensor(np.array([obs]))}
        fwd_outputs = module.forward_exploration(fwd_ins)
        action_dist = action_dist_class.from_logits(fwd_outputs["action_dist_inputs"])
        action = action_dist.sample()[0].numpy()
        obs, _, terminated, truncated, _ = env.step(action)


def test_seed_example_training_torch(env):
    module = module_spec(PPOTorchRLModule, env).build()
    obs, _ = env.reset()
    fwd_outputs = module.forward_train({"obs": torch.Tensor(np.array([obs]))})
    dist = module.get_train_action_dist_cls().from_logits(fwd_outputs["action_dist_inputs"])
    loss = -dist.logp(torch.tensor([1])).mean() + fwd_outputs["vf_preds"].pow(2).mean()
    loss.backward()
    assert all(p.grad is not None for p in module.parameters())


def test_seed_example_inference_torch(env):
    module = module_spec(PPOTorchRLModule, env).build()
    action_dist_class = module.get_inference_action_dist_cls()
    obs, _ = env.reset()
    terminated = truncated = False
    while not (terminated or truncated):
        fwd_outputs = module.forward_inference({"obs": torch.Tensor(np.array([obs]))})
        action_dist = action_dist_class.from_logits(fwd_outputs["action_dist_inputs"])
        action = action_dist.to_deterministic().sample()[0].numpy()
        obs, _, terminated, truncated, _ = env.step(action)


@pytest.mark.parametrize("phase", ["exploration", "inference"])
def test_seed_example_loops_jax(env, phase):
    module = module_spec(PPOFlaxRLModule, env).build()
    forward = jax.jit(module.functional(phase))
    action_dist_class = module.get_inference_action_dist_cls()
    obs, _ = env.reset()
    terminated = truncated = False
    key = jax.random.key(0)
    while not (terminated or truncated):
        fwd_outputs = forward(module.variables, {"obs": jnp.array([obs])})
        action_dist = action_dist_class.from_logits(fwd_outputs["action_dist_inputs"])
        key, draw = jax.random.split(key)
        action = np.asarray(action_dist.sample(rng=draw)[0])
        obs, _, terminated, truncated, _ = env.step(action)


def test_seed_example_training_jax(env):
    module = module_spec(PPOFlaxRLModule, env).build()
    obs, _ = env.reset()
    forward = module.functional("train")

    def loss(params):
        out = forward({**module.variables, "params": params}, {"obs": jnp.array([obs])})
        dist = module.get_train_action_dist_cls().from_logits(out["action_dist_inputs"])
        return -dist.logp(jnp.array([1])).mean() + (out["vf_preds"] ** 2).mean()

    gradients = jax.jit(jax.grad(loss))(module.params)
    assert all(jnp.any(leaf != 0) for leaf in jax.tree.leaves(gradients["pi"]))
