"""`examples/deploy.py` runs a file with onnxruntime and NumPy alone."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from motrix_envs import registry
from motrix_rl.export import export_module
from motrix_rl_torch.rl_module import PPOTorchRLModule

SCRIPT = Path(__file__).parents[2] / "examples" / "deploy.py"

pytestmark = [pytest.mark.torch]


@pytest.fixture(scope="module")
def deploy():
    spec = importlib.util.spec_from_file_location("deploy", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def call(*argv, lines=""):
    return subprocess.run(
        [sys.executable, *map(str, argv)], input=lines, capture_output=True, text=True, check=False
    )


def test_it_imports_onnxruntime_and_numpy_alone(exported):
    path = exported(PPOTorchRLModule, "ppo", "onnx").path
    code = (
        f"import sys, runpy; sys.argv = ['deploy', {str(path)!r}, '--steps', '3'];"
        f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__');"
        "print([n for n in sys.modules if n.startswith(('motrix', 'torch', 'jax', 'gymnasium'))])"
    )
    done = call("-c", code)
    assert done.returncode == 0, done.stderr
    *described, modules = done.stdout.splitlines()
    assert modules == "[]"
    assert described[0] == "input   obs float32 ['batch', 5]"
    assert "ctrl_dt: 0.02" in described
    assert described[-1].endswith("microseconds per action")


def test_lines_in_lines_out_with_memory(exported):
    file = exported(PPOTorchRLModule, "lstm", "onnx")
    obs = np.random.default_rng(1).normal(size=(4, 1, 5)).astype(np.float32)
    lines = "".join(json.dumps(row[0].tolist()) + "\n" for row in obs)
    done = call(SCRIPT, file.path, "-", lines=lines)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    state, expected = None, []
    for row in obs:
        actions, state = file.module.act(row, state)
        expected.append(actions[0])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_wrong_observation_is_refused(deploy, exported):
    policy = deploy.Policy(exported(PPOTorchRLModule, "ppo", "onnx").path)
    with pytest.raises(ValueError, match=r"\(1, 4\), the policy takes \(1, 5\)"):
        policy.act(np.zeros((1, 4)))


def test_a_wrong_line_ends_it_with_one_message(exported):
    path = exported(PPOTorchRLModule, "ppo", "onnx").path
    for line, message in (("[0, 1]", "the policy takes (1, 5)"), ("nonsense", "Expecting value")):
        done = call(SCRIPT, path, "-", lines=line + "\n")
        assert done.returncode == 1
        assert done.stderr.startswith(f"error: {line}: ")
        assert message in done.stderr and "Traceback" not in done.stderr


def test_a_missing_file_is_named(tmp_path):
    done = call(SCRIPT, tmp_path / "policy.onnx")
    assert done.returncode == 2
    assert "there is no file" in done.stderr and "Traceback" not in done.stderr


def test_reset_begins_again(deploy, exported):
    policy = deploy.Policy(exported(PPOTorchRLModule, "lstm", "onnx").path)
    policy.reset(2)
    first, second = (policy.act(np.ones((2, 5))) for _ in range(2))
    assert np.abs(first - second).max() > 1e-3
    policy.reset(2)
    np.testing.assert_array_equal(policy.act(np.ones((2, 5))), first)


def test_other_files_are_refused(deploy, exported, tmp_path):
    with pytest.raises(SystemExit, match="nested"):
        deploy.Policy(exported(PPOTorchRLModule, "nested", "onnx").path)


def test_it_drives_the_environment(deploy, tmp_path, capsys):
    env = registry.make("cartpole", num_envs=4, seed=1)
    module = PPOTorchRLModule(
        observation_space=env.observation_space,
        action_space=env.action_space,
        model_config={"hidden": [8], "free_log_std": True, "seed": 2},
    )
    file = export_module(module, tmp_path / "policy.onnx").path
    state, alive, returns = env.init_state(), np.ones(4, bool), np.zeros(4)
    while alive.any():
        state = env.step(module.act(state.obs)[0])
        returns += state.reward * alive
        alive &= ~state.done
    env.close()
    deploy.run_in_environment(deploy.Policy(file), "cartpole", 4)
    printed = capsys.readouterr().out
    found = float(printed.split()[1])
    assert found == pytest.approx(returns.mean(), abs=0.6), printed
