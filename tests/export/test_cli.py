"""`motrix export`: where the file goes, what is printed, and how mistakes are answered."""

import json

import pytest
from motrix_envs import registry as envs
from motrix_rl.checkpoint import Checkpoint
from motrix_rl.cli import main
from motrix_rl.contract import contract
from motrix_rl.policy import with_contract
from motrix_rl.rl_module import PPONumpyRLModule
from motrix_rl.runs import Run

pytestmark = [pytest.mark.torch, pytest.mark.jax]


@pytest.fixture
def run_folder(tmp_path):
    """A run of cartpole with a checkpoint of a policy that was never trained."""
    env = envs.make("cartpole")
    module = PPONumpyRLModule(
        observation_space=env.observation_space,
        action_space=env.action_space,
        model_config={"hidden": [8], "free_log_std": True, "seed": 1},
    )
    made = Run.create(tmp_path, "cartpole", "skrl", "torch", 1, {})
    made.save(5, Checkpoint(with_contract(module.to_content(), contract(env))))
    made.mark_best(5, {})
    env.close()
    return made


def run(*argv):
    """Run a command in this process; tyro leaves by SystemExit, as commands do."""
    try:
        return main(list(map(str, argv)))
    except SystemExit as left:
        return int(left.code or 0)


def test_by_folder_into_the_run(run_folder, capsys):
    assert run("export", run_folder.path, "--format", "torch") == 0
    path = run_folder.path / "export" / "policy.pt2"
    assert path.is_file()
    printed = capsys.readouterr().out
    assert str(path) in printed
    assert "input  obs float32 (batch, 4)" in printed
    assert "output actions float32 (batch, 1)" in printed
    assert "the largest difference is" in printed


def test_by_environment_to_a_file(run_folder, tmp_path):
    out = tmp_path / "elsewhere" / "arm.zip"
    options = ["--format", "stablehlo", "--checkpoint", "best", "--out", out]
    assert run("export", "cartpole", "--runs", tmp_path, *options) == 0
    assert out.is_file()


def test_a_policy_that_no_longer_fits_is_not_handed_out(run_folder, capsys):
    record = json.loads((run_folder.path / "run.json").read_text())
    changed = {"env_cfg": {"ctrl_dt": 0.02}, "origins": {"env_cfg": {"ctrl_dt": "user"}}}
    (run_folder.path / "run.json").write_text(json.dumps({**record, **changed}))
    assert run("export", run_folder.path) == 1
    assert "ctrl_dt: the policy has 0.01, the environment 0.02" in capsys.readouterr().err
    assert not (run_folder.path / "export").exists()


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (["export"], 1, "takes a run or an environment"),
        (["export", "cartpol"], 1, "Did you mean 'cartpole'?"),
        (["export", "no/such/run"], 1, "no run at"),
        (["export", "cartpole", "--format", "onx"], 2, "--format"),
        (["exprt"], 1, "Did you mean 'export'?"),
    ],
)
def test_mistakes_get_one_clear_message(argv, code, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*argv) == code
    printed = capsys.readouterr()
    message = " ".join((printed.err + printed.out).split())
    assert says in message
    assert "Traceback" not in message
    assert not list(tmp_path.iterdir())
