"""FlaxRLModule: a thin holder around pure functions."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from gymnasium import spaces
from motrix_rl.rl_module import (
    InferenceOnlyAPI,
    RLModule,
    RLModuleConfig,
    RLModuleSpec,
    SpecCheckingError,
    StateMismatchError,
    TensorSpec,
    states,
)
from motrix_rl_jax.rl_module import FlaxRLModule, PPOFlaxRLModule

pytestmark = pytest.mark.jax

OBS, ACT = spaces.Box(-1, 1, (3,)), spaces.Discrete(2)
CONFIG = RLModuleConfig(OBS, ACT)
CONFIGS = [
    {"vf_share_layers": shared, "use_lstm": bool(cell), "lstm_cell": cell or "lstm"}
    for shared in (True, False)
    for cell in (None, "lstm", "gru")
]


class Net(FlaxRLModule, InferenceOnlyAPI):
    """Parts of one's own, buffers of types that JAX does not have, and nested value parts."""

    def setup(self):
        x = jnp.zeros((1, 3))
        self.add_part("pi", nn.Sequential([nn.Dense(4), nn.tanh, nn.Dense(2)]), x)
        self.add_part("vf", nn.Dense(1), x)
        self.params["brain"] = {"half": jnp.ones(3, jnp.bfloat16) / 3, "value": jnp.ones(2)}
        self.write_buffer("counts.steps", np.array(2**40))
        self.write_buffer("mean", np.full(3, 1 / 3))

    def get_non_inference_attributes(self):
        return ["vf", "brain.value"]

    def _forward_inference(self, batch, **kwargs):
        return {"action_dist_inputs": self.run_network("pi", batch["obs"])}

    _forward_exploration = _forward_inference

    def _forward_train(self, batch, **kwargs):
        return {**self._forward_inference(batch), "vf_preds": self.run_network("vf", batch["obs"])}


BATCH = {"obs": jnp.ones((5, 3))}


def build(model_config, **options):
    small = {"hidden": [6], "lstm_cell_size": 5, **model_config}
    return PPOFlaxRLModule(observation_space=OBS, action_space=ACT, model_config=small, **options)


def batch_of(module, rows=4):
    batch = {"obs": jax.random.normal(jax.random.key(0), (rows, 3))}
    if module.is_stateful():
        start = module.get_initial_state()
        batch["state_in"] = jax.tree.map(lambda x: jnp.zeros((rows, *x.shape)), start)
    return batch


def test_state_keeps_every_type(tmp_path):
    module = Net(observation_space=OBS, action_space=ACT)
    state = module.get_state()
    assert (state["counts"]["steps"], state["counts"]["steps"].dtype) == (2**40, np.int64)
    assert state["mean"].dtype == np.float64
    assert state["brain"]["half"].dtype.name == "bfloat16"
    path = module.save_to_path(tmp_path / "m")
    again = states.flatten(Net.from_checkpoint(path).get_state())
    for name, leaf in states.flatten(state).items():
        assert leaf.dtype == again[name].dtype
        assert leaf.tobytes() == again[name].tobytes()


def test_renamed_keys_are_refused():
    module = Net(CONFIG)
    state = module.get_state()
    state["policy"] = state.pop("pi")
    with pytest.raises(StateMismatchError, match="missing: pi/layers_0/bias"):
        module.set_state(state)


def test_inference_only_in_memory():
    module = Net(RLModuleConfig(OBS, ACT, inference_only=True))
    assert set(module.parts) == {"pi"}
    assert set(module.params) == {"pi", "brain"}
    assert set(module.params["brain"]) == {"half"}
    whole = Net(CONFIG)
    module.set_state(whole.get_state())
    np.testing.assert_array_equal(
        module.forward_inference(BATCH)["action_dist_inputs"],
        whole.forward_inference(BATCH)["action_dist_inputs"],
    )


def test_functional_is_pure_and_learns():
    module = Net(CONFIG)
    forward = jax.jit(module.functional("train"))
    before = module.params
    optimiser = optax.sgd(0.1)
    params, moments = module.params, optimiser.init(module.params)

    def loss(params):
        out = forward({**module.variables, "params": params}, BATCH)
        return jnp.mean((out["vf_preds"] - 3) ** 2)

    first = loss(params)
    for _ in range(50):
        updates, moments = optimiser.update(jax.grad(loss)(params), moments)
        params = optax.apply_updates(params, updates)
    assert loss(params) < 1e-3 * first
    assert module.params is before
    trained = module.bind({**module.variables, "params": params})
    assert trained is not module
    np.testing.assert_allclose(trained.forward_train(BATCH)["vf_preds"], 3, atol=0.1)


def test_specs_are_checked_while_tracing():
    module = Net(CONFIG)
    with pytest.raises(SpecCheckingError, match="obs is missing"):
        jax.jit(module.functional("inference"))(module.variables, {"other": jnp.ones(3)})


def test_spec_of_jax_arrays_also_when_traced():
    spec = TensorSpec("b, h", h=3, framework="jax", dtype=jnp.float32)
    jax.jit(lambda x: spec.validate(x))(jnp.zeros((2, 3)))
    assert spec.fill(1.0).shape == (1, 3)
    with pytest.raises(SpecCheckingError):
        spec.validate(np.zeros((2, 3), np.float32))


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("inference_only", [False, True])
def test_ppo_outputs(config, inference_only):
    module = build(config, inference_only=inference_only)
    batch = batch_of(module)
    names = {"action_dist_inputs"} | ({"state_out"} if config["use_lstm"] else set())
    assert set(module.forward_inference(batch)) == names
    explored = module.forward_exploration(batch)
    assert set(explored) == names | (set() if inference_only else {"vf_preds"})
    if inference_only:
        assert not [k for k in states.flatten(module.params) if "vf" in k or "critic" in k]
        for use in (module.forward_train, module.compute_values):
            with pytest.raises(RuntimeError, match="inference only"):
                use(batch)
        return
    out = jax.jit(module.functional("train"))(module.variables, batch)
    assert out["vf_preds"].shape == (4,)
    np.testing.assert_allclose(module.compute_values(batch), out["vf_preds"], rtol=1e-5, atol=1e-6)
    again = module.compute_values(batch, out["embeddings"])
    np.testing.assert_allclose(again, out["vf_preds"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_one_sequence_equals_single_steps(cell):
    module = build({"use_lstm": True, "lstm_cell": cell, "lstm_num_layers": 2})
    batch = batch_of(module)
    sequence = jax.random.normal(jax.random.key(1), (4, 6, 3))
    whole = module.forward_train({**batch, "obs": sequence})
    state, steps = batch["state_in"], []
    for t in range(6):
        out = module.forward_exploration({"obs": sequence[:, t], "state_in": state})
        state = out["state_out"]
        steps.append(out["vf_preds"])
    np.testing.assert_allclose(jnp.stack(steps, 1), whole["vf_preds"], rtol=1e-5, atol=1e-6)


def test_sampling_wants_a_key():
    module = build({})
    obs = np.zeros((6, 3))
    with pytest.raises(ValueError, match=r"jax\.random\.key"):
        module.act(obs, deterministic=False)
    action, _ = module.act(obs, deterministic=False, rng=jax.random.key(0))
    assert action.shape == (6,)
    assert module.act(obs)[0].shape == (6,)


def test_buffers_are_not_frozen_into_a_jitted_function():
    module = build({"normalize_observations": True, "seed": 1})
    forward = jax.jit(module.functional("inference"))
    before = forward(module.variables, batch_of(module))
    module.update_normalizer(np.random.default_rng(0).normal(3, 2, (100, 3)))
    after = forward(module.variables, batch_of(module))["action_dist_inputs"]
    assert not np.allclose(before["action_dist_inputs"], after)
    eager = module.forward_inference(batch_of(module))["action_dist_inputs"]
    np.testing.assert_allclose(after, eager, rtol=1e-5, atol=1e-6)


def test_batch_statistics_are_refused():
    class Odd(Net):
        def setup(self):
            self.add_part("norm", nn.BatchNorm(use_running_average=True), jnp.zeros((1, 3)))

    with pytest.raises(ValueError, match="batch_stats"):
        Odd(CONFIG)


def test_generic_loader(tmp_path):
    spec = RLModuleSpec(PPOFlaxRLModule, OBS, ACT, model_config_dict={"hidden": [3]})
    assert isinstance(
        RLModule.from_checkpoint(spec.build().save_to_path(tmp_path / "m")), PPOFlaxRLModule
    )


def test_a_part_without_parameters(tmp_path):
    class Bare(Net):
        def setup(self):
            super().setup()
            self.add_part("squash", nn.Sequential([nn.tanh]), jnp.zeros((1, 3)))

        def _forward_inference(self, batch, **kwargs):
            return {"action_dist_inputs": self.run_network("squash", batch["obs"])}

    again = Bare.from_checkpoint(Bare(CONFIG).save_to_path(tmp_path / "m"))
    assert "squash" not in again.get_state()
    np.testing.assert_allclose(
        again.forward_inference(BATCH)["action_dist_inputs"], np.tanh(BATCH["obs"]), rtol=1e-6
    )
