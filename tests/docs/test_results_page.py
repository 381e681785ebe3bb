"""docs/results.md says what lies in results/, and every policy there can still act."""

import json
import re
import runpy
from pathlib import Path

import pytest
from motrix_envs import registry
from motrix_envs.base import describe_fields
from motrix_rl import registry as rl
from motrix_rl.checkpoint import read_hash
from motrix_rl.cli.evaluate import evaluate_run
from motrix_rl.contract import check_contract
from motrix_rl.policy import load_policy
from motrix_rl.runs import Run

ROOT = Path(__file__).parents[2]
TOOL = runpy.run_path(str(ROOT / "tools" / "write_results.py"))
RUNS = sorted(path.parent for path in (ROOT / "results").glob("*/*/run.json"))


def test_the_page_is_what_the_tool_writes():
    written = TOOL["PAGE"].read_text(encoding="utf-8")
    assert TOOL["page"](TOOL["results"]()) == written, "run tools/write_results.py"


@pytest.mark.parametrize("folder", RUNS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_result_is_whole(folder):
    run = Run.open(folder)
    assert run.path.parent.name == run.record["env"]
    assert {"measured.json", "curve.json"} <= {path.name for path in folder.iterdir()}
    env = registry.make(run.record["env"], num_envs=2, seed=1)
    policy = load_policy(folder)
    check_contract(policy.contract, env)
    state = env.init_state()
    assert policy.act(state.obs).shape == (2, *env.action_space.shape)
    env.close()


@pytest.mark.parametrize("folder", RUNS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_result_names_no_place_on_the_machine_it_was_made_on(folder):
    for file in folder.glob("*.json"):
        assert not re.search(r'"(/|[A-Z]:\\)', file.read_text(encoding="utf-8")), file


@pytest.mark.parametrize("folder", RUNS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_result_was_trained_as_its_preset_says(folder):
    """A preset that changes needs new results; what somebody set otherwise is in the record."""
    record = Run.open(folder).record
    preset = rl.default_rl_cfg(record["env"], record["rllib"], record["backend"])
    now = json.loads(json.dumps(describe_fields(preset)))
    by_hand = record["origins"]["rl"]
    for name, value in now.items():
        assert name in by_hand or record["rl"][name] == value, name


@pytest.mark.parametrize("folder", RUNS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_a_result_began_with_is_there(folder):
    if source := Run.open(folder).record.get("lineage"):
        assert read_hash(ROOT / source["init_from"]) == source["hash"]


def test_a_policy_earns_what_its_record_says():
    run = Run.open(ROOT / "results" / "dm-cartpole-balance" / "motrix-jax")
    expected = run.record["evaluation"]["mean"]
    assert evaluate_run(run, episodes=4).mean == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("column", ["GOALS", "ELSEWHERE"])
def test_tables_name_environments_that_are_there(column):
    for name in TOOL[column]:
        assert registry.contains(name)
