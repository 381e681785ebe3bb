"""Every catalog-built module in every format does what `module.act` does."""

import json
import logging
import warnings
import zipfile
from pathlib import Path

import jax
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from motrix_rl.export import FORMATS, export_module
from motrix_rl.export.parity import observations
from motrix_rl.rl_module import PPONumpyRLModule, nested
from motrix_rl_jax.rl_module import PPOFlaxRLModule
from motrix_rl_torch.rl_module import PPOTorchRLModule

from .conftest import CASES, CONTRACT, build, start

pytestmark = [pytest.mark.torch, pytest.mark.jax]

ROOT = Path(__file__).parents[2]
TORCH, JAX, NUMPY = PPOTorchRLModule, PPOFlaxRLModule, PPONumpyRLModule

# Every case in some format, the hard ones in all, and the ways between frameworks.
FILES = [
    *((TORCH, n, "onnx") for n in ("ppo", "norm", "squashed", "half-open", "discrete", "nested")),
    *((TORCH, n, "onnx") for n in ("image", "lstm", "gru")),
    *((NUMPY, n, "stablehlo") for n in ("ppo", "clipped", "multi", "nested")),
    *((TORCH, n, "torch") for n in ("clipped", "multi", "nested", "image", "lstm")),
    (JAX, "image", "stablehlo"),
    (JAX, "lstm", "stablehlo"),
    (JAX, "discrete", "torch"),
    (JAX, "ppo", "onnx"),
    (JAX, "gru", "onnx"),
]
assert {name for _, name, _ in FILES} == set(CASES)
by_file = pytest.mark.parametrize(
    ("cls", "name", "format"), FILES, ids=[f"{c.framework}-{n}-{f}" for c, n, f in FILES]
)


def run(path, format, inputs):
    """Run a file as its user would, knowing nothing of this project."""
    if format == "onnx":
        return onnxruntime.InferenceSession(path).run(None, inputs)
    if format == "torch":
        tensors = [torch.from_numpy(np.array(x)) for x in inputs.values()]
        return [x.detach().numpy() for x in torch.export.load(path).module()(*tensors)]
    with zipfile.ZipFile(path) as archive:
        function = jax.export.deserialize(bytearray(archive.read("function.stablehlo")))
    return [np.asarray(x) for x in function.call(*inputs.values())]


def about(path, format):
    """Return the metadata of a file."""
    if format == "onnx":
        return json.loads(onnx.load(path).metadata_props[0].value)
    name = {"torch": "policy/extra/motrix.json", "stablehlo": "motrix.json"}[format]
    with zipfile.ZipFile(path) as archive:
        if format == "torch":
            name = next(n for n in archive.namelist() if "/extra/motrix" in n)
        return json.loads(archive.read(name))


def assert_close(found, expected):
    """Assert equal types and shapes, and 1e-5 relative or absolute."""
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    if expected.dtype.kind == "i":
        np.testing.assert_array_equal(found, expected)
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@by_file
def test_does_what_the_module_does(exported, cls, name, format):
    file = exported(cls, name, format)
    space, rows = CASES[name][0], 6
    space.seed(0)
    obs = np.stack([space.sample() for _ in range(rows)])
    state = start(file.module, rows)
    ports = about(file.path, format)["inputs"]
    for _ in range(2):
        given = [obs, *nested.leaves(state or {})]
        inputs = {p["name"]: x.astype(p["dtype"]) for p, x in zip(ports, given, strict=True)}
        actions, state = file.module.act(obs, state)
        found = run(file.path, format, inputs)
        expected = [*nested.leaves(actions), *nested.leaves(state)]
        for f, e in zip(found, expected, strict=True):
            assert_close(f, e)


@pytest.mark.parametrize("cls", [TORCH, JAX])
def test_onnx_over_10000_observations(exported, cls):
    file = exported(cls, "ppo", "onnx")
    obs = observations(CASES["ppo"][0], 10_000)
    assert len(obs) > 10_000
    assert np.abs(obs).max() >= 1e6
    expected = file.module.act(obs)[0]
    assert (np.abs(expected) == 1).any(), "some meet the bounds"
    assert (np.abs(expected) < 1).any()
    assert_close(run(file.path, "onnx", {"obs": obs})[0], expected)


@pytest.mark.parametrize(("cls", "format"), [(TORCH, "onnx"), (TORCH, "torch"), (JAX, "stablehlo")])
def test_metadata(exported, cls, format):
    file = exported(cls, "lstm", format)
    found = about(file.path, format)
    state = {"dtype": "float32", "shape": ["batch", 2, 7]}
    assert found["inputs"] == [
        {"name": "obs", "shape": ["batch", 5], "dtype": "float32"},
        {"name": "state_in.h", **state, "initial": 0, "next": "state_out.h"},
        {"name": "state_in.c", **state, "initial": 0, "next": "state_out.c"},
    ]
    assert found["outputs"] == [
        {"name": "actions", "shape": ["batch", 3], "dtype": "float32"},
        {"name": "state_out.h", **state},
        {"name": "state_out.c", **state},
    ]
    assert found["policy"] == CONTRACT
    assert found["tolerance"] == 1e-5
    assert found["versions"]["motrix-rl"]
    assert found["module"].endswith(f":{cls.__name__}")


def test_onnx_is_a_plain_file(exported):
    file = exported(TORCH, "lstm", "onnx")
    model = onnx.load(file.path)
    onnx.checker.check_model(model, full_check=True)
    assert [entry.domain for entry in model.opset_import] == [""], "standard operators alone"
    session = onnxruntime.InferenceSession(file.path)
    assert [port.name for port in session.get_inputs()] == ["obs", "state_in.h", "state_in.c"]
    assert session.get_outputs()[0].name == "actions"
    assert {port.shape[0] for port in (*session.get_inputs(), *session.get_outputs())} == {"batch"}


@by_file
def test_files_hold_no_path_of_this_machine(exported, cls, name, format):
    path = exported(cls, name, format).path
    contents = [path.read_bytes()]
    if format != "onnx":
        with zipfile.ZipFile(path) as archive:
            contents = [archive.read(member) for member in archive.namelist()]
    for content in contents:
        assert str(ROOT).encode() not in content
        assert b".py" not in content


@pytest.mark.parametrize("format", FORMATS)
def test_same_policy_same_bytes(exported, tmp_path, format):
    cls = JAX if format == "stablehlo" else TORCH
    first = exported(cls, "discrete", format).path.read_bytes()
    export_module(build(cls, "discrete"), tmp_path / "again", format, CONTRACT)
    assert (tmp_path / "again").read_bytes() == first


def test_critic_stays_behind(exported):
    file = exported(TORCH, "ppo", "onnx")
    names = [tensor.name for tensor in onnx.load(file.path).graph.initializer]
    sizes = sum(np.prod(t.dims) for t in onnx.load(file.path).graph.initializer)
    assert not any("vf" in name or "critic" in name for name in names)
    assert sizes < 5 * 16 + 16 + 16 * 8 + 8 + 8 * 3 + 3 + 5 * 4 + 40
    gru = exported(JAX, "gru", "onnx")
    assert [port.name for port in gru.said.signature.inputs] == ["obs", "state_in.actor.h"]


def test_exporting_leaves_everything_as_it_was(tmp_path, recwarn):
    module = build(TORCH, "discrete")
    module.train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    disabled, filters = logging.root.manager.disable, list(warnings.filters)
    export_module(module, tmp_path / "deep" / "policy.pt2", "torch")
    assert all(part.training for part in module.modules())
    assert all(torch.equal(before[name], t) for name, t in module.state_dict().items())
    assert logging.root.manager.disable == disabled
    assert warnings.filters == filters
    export_module(module, tmp_path / "policy.zip", "stablehlo")
    assert not jax.config.jax_enable_x64
    assert jax.config.jax_traceback_in_locations_limit > 0
    assert not recwarn.list
