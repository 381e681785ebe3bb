"""Same configuration, same seed, another process: the same checkpoint, bit for bit."""

import json
import os
import subprocess
import sys

import pytest

TRAIN = """
import json, sys
from motrix_rl import registry
backend, root, changes, *seeds = sys.argv[1:]
for seed in seeds:
    override = {**json.loads(changes), "seed": int(seed)}
    trainer = registry.default.trainer("skrl", backend)(
        "cartpole", cfg_override=override, runs_root=root
    )
    run = trainer.train()
    manifest = json.loads((run.checkpoint_folder() / "manifest.json").read_text())
    print(manifest["hash"])
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""


def start(backend, root, changes, *seeds, hash_seed):
    """Train with one seed after the other in a process of its own."""
    command = [sys.executable, "-c", TRAIN, backend, str(root), json.dumps(changes)]
    return subprocess.Popen(
        [*command, *map(str, seeds)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outcome(process):
    """Return the hashes of a process's trainings, and the packages that it imported."""
    out, errors = process.communicate()
    assert process.returncode == 0, errors
    *hashes, modules = out.splitlines()
    return hashes, set(json.loads(modules))


def assert_reproducible(backend, root, changes):
    alone = start(backend, root, changes, 1, hash_seed="1")
    later = start(backend, root, changes, 2, 1, hash_seed="2")
    ((first,), modules), ((other, again), _) = outcome(alone), outcome(later)
    assert first == again, "an earlier training in the process, or its hash seed, shows"
    assert first != other
    return modules


def test_same_seed_same_checkpoint(backend, tmp_path, tiny):
    modules = assert_reproducible(backend, tmp_path, {**tiny, "num_envs": 16, "max_env_steps": 256})
    other = {"torch": {"jax", "jaxlib", "flax"}, "jax": {"torch"}}[backend]
    assert not modules & other, "one framework imports the other"


@pytest.mark.slow
def test_same_seed_same_checkpoint_of_the_preset(backend, tmp_path):
    assert_reproducible(backend, tmp_path, {"max_env_steps": 200_000})
