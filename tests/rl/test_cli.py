"""The command line: what it prints, what it imports, and how it answers mistakes."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from motrix_rl.cli import main
from motrix_rl.runs import Run

TINY = [
    "--num-envs", "8", "--rl.rollouts", "4", "--rl.mini-batches", "2", "--rl.max-env-steps", "64",
    "--eval-episodes", "8", "--env.max-episode-seconds", "0.5", "--seed", "3",
]  # fmt: skip

HEAVY = ("numpy", "gymnasium", "tyro", "motrixsim", "torch", "jax", "skrl", "flax")


def run(*argv: str) -> int:
    """Run a command in this process; tyro leaves by SystemExit, as commands do."""
    try:
        return main(argv)
    except SystemExit as left:
        return int(left.code or 0)


@pytest.mark.parametrize("command", ["list", "plugins", "--help"])
def test_light_commands_import_nothing_heavy(command):
    code = (
        "import sys; from motrix_rl.cli import main; code = main([sys.argv[1]]);"
        "print(code, [name for name in sys.argv[2:] if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, command, *HEAVY], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "0 []"


def test_list_names_owner_and_presets(capsys):
    assert run("list") == 0
    line = next(row for row in capsys.readouterr().out.splitlines() if row.startswith("cartpole"))
    assert "motrix-envs" in line
    assert "skrl:" in line


def test_list_verbose_shows_spaces_and_fields(capsys):
    assert run("list", "-v") == 0
    printed = capsys.readouterr().out
    assert "positions (2), velocities (2)" in printed
    assert "--env.ctrl-dt 0.01" in printed


def test_list_json(capsys):
    assert run("list", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert {"cartpole", "acme-slide"} <= {row["name"] for row in rows}


def test_plugins_shows_owners_and_versions(capsys):
    assert run("plugins") == 0
    printed = capsys.readouterr().out
    assert "acme-envs" in printed
    assert "0.3.0" in printed


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (["lisst"], 1, "Did you mean 'list'?"),
        (["train"], 1, "takes an environment ENV first"),
        (["train", "cartpol"], 1, "Did you mean 'cartpole'?"),
        (["train", "cartpole", "--rllib", "skrll"], 1, "Did you mean 'skrl'?"),
        (["train", "cartpole", "--backend", "tensorflow"], 1, "'tensorflow'"),
        (["train", "cartpole", "--sim-backend", "bullet"], 1, "no simulation backend"),
        (["train", "cartpole", "--rl.learning-rat", "1"], 2, "--rl.learning-rate"),
        (["train", "cartpole", "--rl.learning-rate", "fast"], 2, "--rl.learning-rate"),
        (["train", "cartpole", "--env.ctrl-dt", "0.015"], 1, "integer multiple"),
        (["train", "cartpole", "--rl.mini-batches", "7"], 1, "must divide"),
        (["train", "cartpole", "--num-envs", "0"], 1, "must be at least 1"),
        (["eval"], 1, "takes a run or an environment"),
        (["eval", "cartpol"], 1, "Did you mean 'cartpole'?"),
        (["eval", "no/such/run"], 1, "no run at"),
    ],
)
def test_mistakes_get_one_clear_message(argv, code, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*argv) == code
    printed = capsys.readouterr()
    message = " ".join((printed.err + printed.out).split())
    assert says in message
    assert "Traceback" not in message
    assert not list(tmp_path.iterdir()), "a mistake leaves nothing behind"


def test_classes_of_the_working_folder_can_be_named(tmp_path, monkeypatch, capsys):
    """`motrix` is a script elsewhere: the folder it is called in comes last, as nothing's rival."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [path for path in sys.path if path])
    before = list(sys.path)
    for _ in range(2):
        assert run("list") == 0
        assert sys.path == [*before, str(tmp_path)]


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_train_then_eval(capsys, tmp_path):
    runs = ["--runs", str(tmp_path)]
    assert run("train", "cartpole", "--backend", "torch", *TINY, *runs) == 0
    printed = capsys.readouterr().out
    assert "next: motrix eval" in printed
    folder = next((tmp_path / "cartpole").iterdir())
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["seed"] == 3
    assert record["origins"]["env_cfg"] == {"max_episode_seconds": "user"}

    assert run("eval", "cartpole", "--episodes", "8", "--json", *runs) == 0
    by_name = json.loads(capsys.readouterr().out)
    assert run("eval", str(folder), "--episodes", "8", "--json") == 0
    by_folder = json.loads(capsys.readouterr().out)
    assert by_name == by_folder
    assert by_name["mean"] == record["evaluation"]["mean"], "same held-out starts, same result"
    assert by_name["highest"] <= 50, "the changed time limit holds in evaluation too"


@pytest.mark.torch
@pytest.mark.parametrize("rllib", ["motrix", "skrl"])
def test_a_profile_says_where_the_time_went(rllib, capsys, tmp_path):
    options = ["--rllib", rllib, "--runs", str(tmp_path), "--eval-episodes", "0", "--profile"]
    assert run("train", "cartpole", "--backend", "torch", *TINY, *options) == 0
    printed = capsys.readouterr().out
    assert "environment steps per second" in printed
    shares = [line.split() for line in printed.splitlines() if "%" in line]
    parts = {words[0]: float(words[2].rstrip("%")) for words in shares}
    assert {"physics", "environment", "logging"} < parts.keys()
    assert ("learning" in parts) == (rllib == "motrix")
    assert sum(parts.values()) == pytest.approx(100, abs=1)


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_which_checkpoint_is_evaluated(capsys, tmp_path):
    """The best one, wherever none is named; and it is said which one that was."""
    interval = ("--rl.check-point-interval", "4", "--rl.max-env-steps", "96")
    options = (*interval, "--runs", str(tmp_path))
    assert run("train", "cartpole", "--backend", "torch", *TINY, *options) == 0
    trained = Run.newest(tmp_path)
    assert trained.checkpoints() == [32, 64, 96]
    best, printed = trained.step("best"), capsys.readouterr().out
    assert f"checkpoint   {best:,} steps (best" in printed
    assert trained.record["evaluation"]["checkpoint"] == best
    other = next(step for step in trained.checkpoints() if step != best)
    folder = str(trained.path)
    for words, expected in (
        ([folder], best),
        ([folder, "--checkpoint", str(other)], other),
        ([folder, "--checkpoint", "latest"], 96),
        ([f"{folder}/checkpoints/{other}"], other),
    ):
        assert run("eval", *words, "--episodes", "2", "--json") == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["checkpoint"], found["run"]) == (expected, folder)
    trained.forget_best()
    assert run("eval", folder, "--episodes", "2") == 0
    assert "checkpoint   96 steps (latest)" in capsys.readouterr().out


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_eval_of_damaged_runs(capsys, tmp_path):
    runs = ["--runs", str(tmp_path)]
    assert run("train", "cartpole", "--backend", "torch", *TINY, "--eval-episodes", "0", *runs) == 0
    folder = next((tmp_path / "cartpole").iterdir())
    weights = next(folder.glob("checkpoints/*/module/weights.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1])
    capsys.readouterr()
    assert run("eval", str(folder)) == 1
    assert "weights.safetensors" in capsys.readouterr().err
    (folder / "run.json").write_text('{"format": 1,')
    assert run("eval", str(folder)) == 1
    assert "half-written" in capsys.readouterr().err


SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.mark.parametrize("script", ["train.py", "play.py", "view.py"])
def test_the_scripts_of_the_seed_are_the_same_door(script, tmp_path):
    done = subprocess.run(
        [sys.executable, SCRIPTS / script, "--env", "cartpol", "--num-envs=8", "--rand-seed"],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Did you mean 'cartpole'?" in done.stderr


@pytest.mark.parametrize(
    ("script", "flags", "command"),
    [
        ("train.py", "", "train cartpole"),
        ("train.py", "--env=hop --train-backend torch --render --rl.rollouts 8",
         "train hop --backend torch --render --rl.rollouts 8"),
        ("train.py", "--seed 3 --num-envs 8 --sim-backend np",
         "train cartpole --sim-backend np --num-envs 8 --seed 3"),
        ("play.py", "", "play cartpole"),
        ("play.py", "--env hop --policy runs/hop/1", "play runs/hop/1"),
        ("play.py", "--env hop --max-steps 5", "play hop --max-steps 5"),
        ("view.py", "", "view cartpole --num-envs 1"),
        ("view.py", "--env hop --num-envs 9", "view hop --num-envs 9"),
    ],
)  # fmt: skip
def test_flags_of_the_seed(script, flags, command, monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    monkeypatch.setattr(sys, "argv", [script, *flags.split()])
    assert runpy.run_path(str(SCRIPTS / script))["arguments"]() == command.split()


@pytest.mark.parametrize("script", ["train.py", "play.py", "view.py"])
def test_a_drawn_seed_beats_a_given_one(script, monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    monkeypatch.setattr(sys, "argv", [script, "--seed", "-1", "--rand-seed"])
    words = runpy.run_path(str(SCRIPTS / script))["arguments"]()
    assert 0 <= int(words[words.index("--seed") + 1]) < 2**32
