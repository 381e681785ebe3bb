"""Exporting: modules of one's own, and what is said when it cannot be done."""

import importlib.util
import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import onnxruntime
import pytest
import torch
from flax import linen
from gymnasium import spaces
from motrix_rl import registry
from motrix_rl.errors import RunError
from motrix_rl.export import ExportError, export_module, policy
from motrix_rl.rl_module import PPONumpyRLModule, RLModule
from motrix_rl_jax.rl_module import FlaxRLModule
from motrix_rl_jax.rl_module.distributions import Deterministic as FlaxDeterministic
from motrix_rl_torch.rl_module import PPOTorchRLModule, TorchRLModule
from motrix_rl_torch.rl_module import export as torch_export
from motrix_rl_torch.rl_module.distributions import Deterministic

from .conftest import CONTRACT, FLAT, MOVE, build

pytestmark = [pytest.mark.torch, pytest.mark.jax]

PAGE = Path(__file__).parents[2] / "docs" / "deploy.md"
SENSES = spaces.Dict({"joints": FLAT, "gait": spaces.Discrete(3)})


class Walker(TorchRLModule):
    """A module of a user's own: nested observations, a memory, something random in training."""

    def setup(self):
        self.body, self.drop = torch.nn.Linear(5, 3), torch.nn.Dropout(0.5)
        self.gaits = torch.nn.Embedding(3, 3)

    def get_initial_state(self):
        return {"phase": torch.full((3,), 0.25)}

    def get_inference_action_dist_cls(self):
        return Deterministic

    def _forward_inference(self, batch, **kwargs):
        phase, obs = batch["state_in"]["phase"], batch["obs"]
        x = self.drop(self.body(obs["joints"])) + self.gaits(obs["gait"])
        return {"action_dist_inputs": torch.sin(x + phase), "state_out": {"phase": phase + 0.1}}

    _forward_exploration = _forward_train = _forward_inference


class Swimmer(FlaxRLModule):
    """A module of a user's own that relies on JAX's default of 32 bits."""

    def setup(self):
        self.add_part("body", linen.Dense(3), jnp.zeros((1, 5)))

    def get_inference_action_dist_cls(self):
        return FlaxDeterministic

    def _forward_inference(self, batch, **kwargs):
        bias = jnp.zeros(3) + jnp.asarray(np.full(3, 0.1))
        return {"action_dist_inputs": self.run_network("body", batch["obs"]) + bias}

    _forward_exploration = _forward_train = _forward_inference


class Branching(TorchRLModule):
    """A module whose path depends on what it sees: no function of tensors."""

    def setup(self):
        self.body = torch.nn.Linear(5, 3)

    def get_inference_action_dist_cls(self):
        return Deterministic

    def _forward_inference(self, batch, **kwargs):
        x = self.body(batch["obs"])
        return {"action_dist_inputs": x if x.sum().item() > 0 else -x}

    _forward_exploration = _forward_train = _forward_inference


def own(cls, obs=FLAT):
    return cls(observation_space=obs, action_space=MOVE)


@pytest.mark.parametrize("format", ["onnx", "torch"])
def test_own_torch_module(tmp_path, format):
    module = own(Walker, SENSES).train()
    said = export_module(module, tmp_path / "walker", format)
    assert all(part.training for part in module.modules()), "the caller's module is left alone"
    assert [port.name for port in said.signature.inputs] == [
        "obs.gait", "obs.joints", "state_in.phase",
    ]  # fmt: skip
    assert said.signature.inputs[0].dtype == "int64"
    assert said.signature.to_dict()["inputs"][2]["initial"] == [0.25] * 3
    assert said.size == said.path.stat().st_size


def test_own_flax_module(tmp_path):
    said = export_module(own(Swimmer), tmp_path / "swimmer", "stablehlo")
    assert said.agreement.difference < 1e-6


@pytest.mark.parametrize(
    ("make", "format", "says"),
    [
        (lambda: own(Swimmer), "onnx", "exists in jax alone. Formats for it: stablehlo"),
        (lambda: own(Swimmer), "torch", "Formats for it: stablehlo"),
        (lambda: own(Walker, SENSES), "stablehlo", "in torch alone. Formats for it: onnx, torch"),
        (lambda: build(PPONumpyRLModule, "ppo"), "onx", "Did you mean 'onnx'"),
        (lambda: build(PPONumpyRLModule, "ppo").as_multi_rl_module(), "onnx", "one by one"),
        (lambda: own(Branching), "torch", "torch cannot write Branching as torch"),
        (lambda: Walker(action_space=MOVE), "torch", "no observation space"),
    ],
)
def test_what_cannot_be_exported_is_said_in_one_line(tmp_path, make, format, says):
    with pytest.raises(ExportError) as error:
        export_module(make(), tmp_path / "policy", format)
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_subclass_is_a_module_of_its_own(tmp_path):
    class Sine(PPONumpyRLModule):
        def _forward_inference(self, batch, **kwargs):
            output = super()._forward_inference(batch, **kwargs)
            return {**output, "action_dist_inputs": np.sin(output["action_dist_inputs"])}

    with pytest.raises(ExportError, match="Sine exists in NumPy alone"):
        export_module(build(Sine, "ppo"), tmp_path / "policy", "onnx")


def test_a_wrong_file_is_not_written(tmp_path, monkeypatch):
    """The exporter errs: it writes other weights than the module has."""
    path = tmp_path / "policy.pt2"
    path.write_bytes(b"the old one")
    right = torch_export.write

    def wrong(format, module, signature, metadata):
        with torch.no_grad():
            module.get_parameter("pi.out.bias")[0] += 1e-3
        return right(format, module, signature, metadata)

    monkeypatch.setattr(torch_export, "write", wrong)
    with pytest.raises(ExportError, match=r"actions differs by .* Nothing was written"):
        # From NumPy: the torch twin is changed, the reference is not.
        export_module(build(PPONumpyRLModule, "ppo"), path, "torch")
    assert path.read_bytes() == b"the old one"
    assert [entry.name for entry in tmp_path.iterdir()] == ["policy.pt2"]


def test_lost_metadata_is_noticed(tmp_path, monkeypatch):
    right = torch_export.write
    monkeypatch.setattr(torch_export, "write", lambda f, m, s, _: right(f, m, s, "{}"))
    with pytest.raises(ExportError, match="metadata"):
        export_module(build(PPOTorchRLModule, "discrete"), tmp_path / "policy", "torch", CONTRACT)
    assert not list(tmp_path.iterdir())


def test_a_missing_library_names_the_extra(tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: n != "onnxruntime" and find(n))
    with pytest.raises(ExportError, match=r'need onnxruntime: pip install "motrix-rl\[export\]=='):
        export_module(build(PPONumpyRLModule, "ppo"), tmp_path / "policy", "onnx")


def test_a_missing_framework_says_why_it_is_needed(tmp_path, monkeypatch):
    left = tuple(r for r in registry.default.backends() if r.name[1] != "torch")
    monkeypatch.setattr(registry.default, "backends", lambda: left)
    with pytest.raises(ExportError, match=r'written by torch, .* "motrix-rl\[torch\]=='):
        export_module(build(PPONumpyRLModule, "ppo"), tmp_path / "policy", "onnx")


def test_a_contract_is_json(tmp_path):
    module = build(PPONumpyRLModule, "ppo")
    with pytest.raises(ExportError, match="the contract: env is of type object"):
        export_module(module, tmp_path / "policy", "torch", {"env": object()})


def test_a_disk_that_refuses(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match="cannot write"):
        export_module(build(PPOTorchRLModule, "discrete"), tmp_path / "file" / "policy", "torch")


def test_a_twin_has_the_same_numbers():
    module = build(PPONumpyRLModule, "ppo").for_inference()
    twin = policy.in_framework(module, policy.find_format("torch"))
    assert type(twin) is PPOTorchRLModule
    obs = np.linspace(-3, 3, 40, dtype=np.float32).reshape(8, 5)
    np.testing.assert_allclose(twin.act(obs)[0], module.act(obs)[0], atol=1e-5)


def test_a_name_cannot_stand_for_two_tensors(tmp_path):
    twice = spaces.Dict({"a.b": FLAT, "a": spaces.Dict({"b": FLAT})})

    class Sum(RLModule):
        def get_inference_action_dist_cls(self):
            return PPONumpyRLModule.get_inference_action_dist_cls

        def act(self, obs, state=None, **kwargs):
            return obs["a.b"][:, :3], {}

        def _forward_inference(self, batch, **kwargs):
            raise NotImplementedError

        _forward_exploration = _forward_train = _forward_inference

    with pytest.raises(ExportError, match=r"'obs\.a\.b'"):
        policy.Signature.of(own(Sum, twice), policy.parity.observations(twice, 2))


def test_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(block, str(PAGE), "exec"), {})
    assert float(capsys.readouterr().out) <= 1e-5
    assert (tmp_path / "walker.onnx").is_file()


def test_onnx_needs_no_motrix_to_run(exported):
    path = exported(PPOTorchRLModule, "ppo", "onnx").path
    session = onnxruntime.InferenceSession(path)
    actions = session.run(["actions"], {"obs": np.full((2, 5), 1e6, np.float32)})[0]
    assert np.isfinite(actions).all()
