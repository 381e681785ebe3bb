"""The contract kit of backends: it passes what keeps the promises and catches what does not."""

import inspect
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from motrix_envs import registry as envs
from motrix_rl import registry
from motrix_rl.testing import BackendContract

HERE = Path(__file__).parent

PRELUDE = f"""
import sys
sys.path.insert(0, {str(HERE)!r})
from motrix_rl import registry
for algo in ("walk", "impossible", "lenient"):
    registry.default.preset("broken_trainers", "cartpole", rllib="walk", algo=algo)
registry.default.backend(
    rllib="walk", backend="numpy", algo="ALGO", trainer="broken_trainers:NAME"
)
"""

MUTANTS = [
    ("Eager", "test_declaring_imports_nothing", "['broken_trainers', 'gymnasium', 'numpy']"),
    ("UnderAnotherName", "test_preset", "calls itself ('walk', 'nympu', 'walk')"),
    ("ImpossiblePreset", "test_preset", "num_envs = 0 must be at least 1"),
    ("LenientPreset", "test_impossible_configurations", "call super().validate()"),
    ("AnyDevice", "test_impossible_configurations", "check_cfg()"),
    ("RefusesLate", "test_impossible_configurations", "there is a folder of runs already"),
    ("EndsEarly", "test_a_finished_run", "due are [40, 60]"),
    ("NeverRecords", "test_steps_are_counted", "was called 0 times for 15 steps"),
    ("CountsEnvironments", "test_steps_are_counted", "was told (steps, really made) [(20, 5)]"),
    ("ReportsTwice", "test_metrics", "lines for the steps [20, 20, 40, 40, 60, 60]"),
    ("RestlessPolicy", "test_the_policy_acts", "when it is loaded again"),
    ("IllegalPolicy", "test_the_policy_acts", "outside of Box"),
    ("MixingPolicy", "test_the_policy_does_not_mix_rows", "no mean or norm over the batch"),
    ("TrainsACopy", "test_what_is_saved_is_what_was_trained", "did not change the module"),
    ("ForgetfulPolicy", "test_what_is_saved_is_what_was_trained", "than the module after training"),
    ("StubbornPolicy", "test_the_policy_can_be_trained_on", "get_state() and set_state()"),
    ("TiringPolicy", "test_the_policy_is_evaluated_and_played", "two evaluations"),
    ("Unseeded", "test_same_seed_same_checkpoint", "makes from the seed"),
    ("OneGeneratorForAll", "test_same_seed_same_checkpoint", "keep nothing in modules or classes"),
    ("ByProcess", "test_same_seed_in_another_process", "in another process"),
    (
        "CountsItsModules",
        "test_scoring_checkpoints_leaves_the_training_alone",
        "another module of the same class is built",
    ),
    ("AlwaysTheSame", "test_other_seed_other_weights", "derived_seed(env.seed"),
    ("SeedsEverybody", "test_global_randomness_is_left_alone", "moved random or numpy.random"),
    ("NeedsCompany", "test_a_lone_environment", "num_envs = 1 ends by AssertionError()"),
    ("CannotBeStopped", "test_a_requested_stop", "do not catch the TrainingStopped"),
    ("SwallowsErrors", "test_an_error", "came out as None"),
    ("LeavesItOpen", "test_an_error", "the environment is still open"),
    ("HidesDivergence", "test_divergence", "let its DivergedError pass"),
    ("CleansItsWeights", "test_divergence", "let the session see its weights"),
]


@pytest.fixture
def contract_for(monkeypatch):
    """Return the kit for a trainer that is declared as a script would, for the length of a test."""
    for each in (envs.default, registry.default):
        each.complete_all()
        monkeypatch.setattr(each, "table", dict(each.table))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "broken_trainers", raising=False)
    shared = random.getstate(), np.random.get_state()  # noqa: NPY002

    def make(name):
        algo = name.removesuffix("Preset").lower() if name.endswith("Preset") else "walk"
        declaration = PRELUDE.replace("ALGO", algo).replace("NAME", name)
        exec(declaration, {})

        class Contract(BackendContract):
            rllib, backend = "walk", "numpy"
            tiny = {"num_envs": 4, "rollouts": 5}
            prelude = declaration + ("import broken_trainers" if name == "Eager" else "")

        return Contract()

    yield make
    random.setstate(shared[0])
    np.random.set_state(shared[1])  # noqa: NPY002


@pytest.mark.parametrize(
    ("name", "method", "says"), MUTANTS, ids=[f"{name}-{method}" for name, method, _ in MUTANTS]
)
def test_a_broken_promise_is_caught(contract_for, name, method, says):
    with pytest.raises(AssertionError) as caught:
        getattr(contract_for(name), method)()
    assert says in str(caught.value)


def promises():
    return [name for name in dir(BackendContract) if name.startswith("test_")]


def test_every_promise_has_a_mutant_and_says_what_it_demands():
    assert set(promises()) == {method for _, method, _ in MUTANTS}
    for name in promises():
        assert inspect.getdoc(getattr(BackendContract, name)).endswith(".")


def test_the_unbroken_trainer_passes_where_mutants_fail(contract_for):
    contract = contract_for("Walk")
    for method in promises():
        getattr(contract, method)()


def test_a_missing_name_is_asked_for():
    class Nameless(BackendContract):
        rllib = "skrl"

    with pytest.raises(AssertionError, match=r'write backend = "\.\.\." into Nameless'):
        Nameless().test_preset()


def test_a_backend_that_no_fresh_process_finds(contract_for):
    contract = contract_for("Walk")
    type(contract).prelude = ""
    with pytest.raises(AssertionError, match="write what declares it into `prelude`"):
        contract.test_declaring_imports_nothing()


def test_the_kit_imports_no_pytest():
    code = "import sys, motrix_rl.testing; assert 'pytest' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=HERE)
