"""`motrix bench`: engines compared in one run."""

import json

import pytest
from motrix_envs.benchmarking import Ratio, measure
from motrix_envs.errors import MotrixError, SimBackendError
from motrix_rl.cli.bench import bench

QUICK = ["cartpole", "--num-envs", "3", "--seconds", "0.05"]


def test_table(capsys):
    assert bench([*QUICK, "--sim-backend", "motrixsim"]) == 0
    shown = capsys.readouterr().out
    assert "env to bare" in shown
    assert "motrixsim" in shown


def test_json(capsys):
    engines = ["motrixsim", "motrixsim"]
    assert bench([*QUICK, "--json", "--env.ctrl-dt", "0.02", "--sim-backend", *engines]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["engine"] for row in found["results"]] == engines
    first = found["results"][0]
    assert first["bare_to_first"]["median"] == 1
    assert first["env_steps_per_second"] > 0


def test_impossible_requests():
    with pytest.raises(MotrixError, match="at least one environment"):
        bench(["cartpole", "--num-envs", "0"])
    with pytest.raises(SimBackendError, match="Did you mean 'motrixsim'"):
        bench([*QUICK, "--sim-backend", "motrixsin"])


def test_measure_steps_both():
    (one,) = measure("cartpole", ["motrixsim"], 5, 0.05)
    assert one.env.shape == one.bare.shape == one.env_cpu.shape
    assert min(one.env.min(), one.bare.min(), one.env_cpu.min() + 1) > 0
    assert isinstance(one.efficiency, Ratio)
    assert one.efficiency.low <= one.efficiency.median <= one.efficiency.high
