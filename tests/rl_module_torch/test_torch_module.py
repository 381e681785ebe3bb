"""TorchRLModule: a torch module and an RLModule at once."""

import copy
import inspect

import numpy as np
import pytest
import torch
from gymnasium import spaces
from motrix_rl.rl_module import (
    InferenceOnlyAPI,
    RLModule,
    RLModuleConfig,
    RLModuleSpec,
    SpecCheckingError,
    StateMismatchError,
    TensorSpec,
    convert_to_canonical_format,
    states,
)
from motrix_rl_torch.rl_module import PPOTorchRLModule, TorchRLModule
from torch import nn

pytestmark = pytest.mark.torch

OBS, ACT = spaces.Box(-1, 1, (3,)), spaces.Discrete(2)
CONFIG = RLModuleConfig(OBS, ACT)
CONFIGS = [
    {"vf_share_layers": shared, "use_lstm": bool(cell), "lstm_cell": cell or "lstm"}
    for shared in (True, False)
    for cell in (None, "lstm", "gru")
]


class Net(TorchRLModule, InferenceOnlyAPI):
    """Layers of many kinds, a buffer that counts, and value parts, one of them nested."""

    def setup(self):
        self.trunk = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Dropout(0.5))
        self.trunk.value = nn.Linear(4, 1)
        self.pi, self.vf = nn.Linear(4, 2), nn.Linear(4, 1)
        self.register_buffer("steps", torch.tensor(2**40))
        self.register_buffer("mean", torch.zeros(3, dtype=torch.float64))
        self.brain = nn.Parameter(torch.ones(3, dtype=torch.bfloat16) / 3)

    def get_non_inference_attributes(self):
        return ["vf", "trunk.value"]

    def _forward_inference(self, batch, **kwargs):
        x = batch["obs"]
        for layer in list(self.trunk)[:3]:
            x = layer(x)
        return {"action_dist_inputs": self.pi(x)}

    _forward_exploration = _forward_train = _forward_inference


BATCH = {"obs": torch.ones(5, 3)}


def build(model_config, **options):
    small = {"hidden": [6], "lstm_cell_size": 5, **model_config}
    return PPOTorchRLModule(observation_space=OBS, action_space=ACT, model_config=small, **options)


def batch_of(module, rows=4):
    batch = {"obs": torch.randn(rows, 3)}
    if module.is_stateful():
        start = states.flatten(module.to_numpy(module.get_initial_state()))
        wide = {k: torch.zeros(rows, *v.shape) for k, v in start.items()}
        batch["state_in"] = states.unflatten(wide)
    return batch


def test_both_constructor_styles_and_signature():
    assert Net(observation_space=OBS, action_space=ACT).config == CONFIG
    assert isinstance(Net(CONFIG), nn.Module)
    assert list(inspect.signature(PPOTorchRLModule).parameters) == ["config", "kwargs"]


def test_state_keeps_every_type(tmp_path):
    module = Net(CONFIG)
    with torch.no_grad():
        module.mean += 1 / 3
    state = module.get_state()
    assert state["steps"] == 2**40
    assert (state["steps"].dtype, state["steps"].shape) == (np.int64, ())
    assert state["mean"].dtype == np.float64
    assert state["brain"].dtype.name == "bfloat16"
    assert state["pi"]["kernel"].shape == (4, 2)  # (inputs, outputs)
    path = module.save_to_path(tmp_path / "m")
    again = Net.from_checkpoint(path)
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
        assert tensor.dtype == again.state_dict()[name].dtype


def test_loading_keeps_the_parameters_that_an_optimiser_holds():
    module, other = Net(CONFIG), Net(CONFIG)
    held = list(module.parameters())
    module.set_state(other.get_state())
    assert all(a is b for a, b in zip(held, module.parameters(), strict=True))
    assert torch.equal(module.pi.weight, other.pi.weight)
    state = module.get_state()
    state["pi"]["kernel"][:] = 0  # a copy
    assert module.pi.weight.abs().sum() > 0


def test_renamed_keys_are_refused():
    module = Net(CONFIG)
    state = module.get_state()
    state["policy"] = state.pop("pi")
    with pytest.raises(
        StateMismatchError, match=r"missing: pi/bias, pi/kernel; unexpected: policy"
    ):
        module.set_state(state)


@pytest.mark.parametrize("layer", [nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.LSTM, nn.GRU, nn.LayerNorm])
def test_layers_come_back_from_the_layout(layer):
    class One(Net):
        def setup(self):
            super().setup()
            self.layer = layer(3, 4, 2) if layer is not nn.LayerNorm else layer(3)

    one, two = One(CONFIG), One(CONFIG)
    two.set_state(one.get_state())
    for a, b in zip(one.layer.parameters(), two.layer.parameters(), strict=True):
        assert torch.equal(a, b)


def test_inference_only_in_memory():
    module = Net(RLModuleConfig(OBS, ACT, inference_only=True))
    assert not hasattr(module, "vf")
    assert not hasattr(module.trunk, "value")
    assert not [name for name, _ in module.named_parameters() if "v" in name]
    whole = Net(CONFIG)
    assert states.flatten(whole.get_state(inference_only=True)).keys() == (
        states.flatten(module.get_state()).keys()
    )
    module.set_state(whole.get_state())  # a whole state is cut down
    assert torch.equal(module.pi.weight, whole.pi.weight)
    with pytest.raises(StateMismatchError, match="missing: trunk/value/bias"):
        whole.set_state(module.get_state())


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("inference_only", [False, True])
def test_ppo_outputs(config, inference_only):
    module = build(config, inference_only=inference_only)
    batch = batch_of(module)
    assert module.is_stateful() == config["use_lstm"]
    names = {"action_dist_inputs"} | ({"state_out"} if config["use_lstm"] else set())
    assert set(module.forward_inference(batch)) == names
    explored = module.forward_exploration(batch)
    assert set(explored) == names | (set() if inference_only else {"vf_preds"})
    dist = module.get_exploration_action_dist_cls().from_logits(explored["action_dist_inputs"])
    assert dist.sample().shape == (4,)
    if inference_only:
        assert not [
            name for name, _ in module.named_parameters() if "vf" in name or "critic" in name
        ]
        for use in (module.forward_train, module.compute_values):
            with pytest.raises(RuntimeError, match="inference only"):
                use(batch)
        return
    out = module.forward_train(batch)
    assert out["vf_preds"].shape == (4,)
    torch.testing.assert_close(module.compute_values(batch), out["vf_preds"])
    torch.testing.assert_close(module.compute_values(batch, out["embeddings"]), out["vf_preds"])
    out["vf_preds"].sum().backward()
    assert module.vf.out.weight.grad is not None


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("shared", [True, False])
def test_one_sequence_equals_single_steps(cell, shared):
    module = build({"use_lstm": True, "lstm_cell": cell, "vf_share_layers": shared})
    batch = batch_of(module)
    sequence = torch.randn(4, 6, 3)
    whole = module.forward_train({**batch, "obs": sequence})
    assert whole["action_dist_inputs"].shape == (4, 6, 2)
    assert module.compute_values({**batch, "obs": sequence}).shape == (4, 6)
    state, steps = batch["state_in"], []
    for t in range(6):
        out = module.forward_exploration({"obs": sequence[:, t], "state_in": state})
        state = out["state_out"]
        steps.append(out["vf_preds"])
    torch.testing.assert_close(torch.stack(steps, 1), whole["vf_preds"])


def test_inference_has_no_gradients_and_no_dropout():
    module = Net(CONFIG)
    one, two = (module.forward_inference(BATCH)["action_dist_inputs"] for _ in range(2))
    assert torch.equal(one, two)
    assert not one.requires_grad
    assert module.training
    module.trunk.eval()
    module.forward_inference(BATCH)
    assert [module.training, module.trunk.training] == [True, False]
    assert not module.forward_exploration(BATCH)["action_dist_inputs"].requires_grad
    assert module(BATCH)["action_dist_inputs"].requires_grad


def test_seeds():
    one, two = build({"seed": 3}), build({"seed": 3})
    assert torch.equal(one.pi.out.weight, two.pi.out.weight)
    torch.manual_seed(0)
    three = build({})
    torch.manual_seed(0)
    assert torch.equal(build({}).pi.out.weight, three.pi.out.weight)
    assert not torch.equal(build({}).pi.out.weight, three.pi.out.weight)


def test_spec_of_torch_tensors():
    spec = TensorSpec("b, h", h=3, framework="torch", dtype=torch.float32)
    spec.validate(torch.zeros(2, 3))
    assert spec.fill(2.0).tolist() == [[2.0, 2.0, 2.0]]
    assert spec == TensorSpec("b, h", h=3, dtype=np.float32)
    for wrong in (np.zeros((2, 3), np.float32), torch.zeros(2, 3, dtype=torch.float64)):
        with pytest.raises(SpecCheckingError):
            spec.validate(wrong)


def test_a_module_with_tensor_specs():
    class Strict(Net):
        def input_specs_inference(self):
            return {"obs": TensorSpec("b, d", d=3, framework="torch")}

    module = Strict(CONFIG)
    assert module._input_specs_inference == convert_to_canonical_format(
        {"obs": TensorSpec("b, d", d=3)}
    )
    module.forward_inference(BATCH)
    with pytest.raises(SpecCheckingError, match="the input of forward_inference of Strict: obs"):
        module.forward_inference({"obs": torch.ones(5, 4)})


def test_copies_and_threads_of_acting():
    module = build({"normalize_observations": True})
    again = copy.deepcopy(module)
    obs = np.random.default_rng(0).normal(size=(7, 3))
    obs.setflags(write=False)
    np.testing.assert_array_equal(module.act(obs)[0], again.act(obs)[0])
    rng = torch.Generator().manual_seed(1)
    assert module.act(obs, deterministic=False, rng=rng)[0].shape == (7,)
    state = None
    recurrent = build({"use_lstm": True})
    for _ in range(3):
        action, state = recurrent.act(obs, state)
    assert action.shape == (7,)
    assert state["h"].shape == (7, 1, 5)


def test_generic_loader(tmp_path):
    spec = RLModuleSpec(PPOTorchRLModule, OBS, ACT, model_config_dict={"hidden": [3]})
    path = spec.build().save_to_path(tmp_path / "m")
    assert isinstance(RLModule.from_checkpoint(path), PPOTorchRLModule)
    assert RLModuleSpec.from_dict(spec.to_dict()) == spec
