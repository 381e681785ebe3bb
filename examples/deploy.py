"""Run an exported policy with onnxruntime and NumPy alone.

    python examples/deploy.py policy.onnx                  say what it is, and how fast
    sensors | python examples/deploy.py policy.onnx -      a JSON list a line: observation, action
    python examples/deploy.py policy.onnx --env cartpole   in the real environment (motrix-envs)

Copy `Policy` to the robot: it is all that a control loop needs.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime


class Policy:
    """An exported policy and, if it is recurrent, its memory.

    Args:
        path: What `motrix export` wrote.
    """

    def __init__(self, path: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # a small network is faster without helpers
        self.session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        about = self.session.get_modelmeta().custom_metadata_map
        if "motrix" not in about:
            raise SystemExit(f"{path} was not written by `motrix export`")
        self.about = json.loads(about["motrix"])
        self.outputs = [port["name"] for port in self.about["outputs"]]
        self.memory = [port for port in self.about["inputs"] if "next" in port]
        if not len(self.about["inputs"]) == len(self.outputs) == 1 + len(self.memory):
            raise SystemExit(f"{path} has nested observations or actions; this example has none")
        self.obs = self.about["inputs"][0]
        self.reset(1)

    def reset(self, rows: int) -> None:
        """Forget everything: an episode begins in all rows."""
        self.rows = rows
        self.state = {
            port["name"]: np.broadcast_to(
                np.asarray(port["initial"], port["dtype"]), (rows, *port["shape"][1:])
            )
            for port in self.memory
        }

    def act(self, obs: np.ndarray) -> np.ndarray:
        """Return the actions (rows, ...) for observations (rows, ...)."""
        obs, wanted = np.asarray(obs, self.obs["dtype"]), (self.rows, *self.obs["shape"][1:])
        if obs.shape != wanted:
            raise ValueError(f"observations have shape {obs.shape}, the policy takes {wanted}")
        results = self.session.run(None, {self.obs["name"]: obs, **self.state})
        by_name = dict(zip(self.outputs, results, strict=True))
        self.state = {port["name"]: by_name[port["next"]] for port in self.memory}
        return results[0]


def describe(policy: Policy) -> None:
    """Print what the policy takes and gives, and what it relies on."""
    for kind in ("inputs", "outputs"):
        for port in policy.about[kind]:
            print(f"{kind[:-1]:7} {port['name']} {port['dtype']} {port['shape']}")
    for name, value in policy.about["policy"].items():
        print(f"{name}: {json.dumps(value)}")


def run_by_chance(policy: Policy, steps: int) -> None:
    """Act on random observations and print the time of an action."""
    rng, shape = np.random.default_rng(0), (1, *policy.obs["shape"][1:])
    seconds = []
    for _ in range(steps):
        obs = rng.standard_normal(shape).astype(policy.obs["dtype"])
        start = time.perf_counter()
        action = policy.act(obs)
        seconds.append(time.perf_counter() - start)
    print(f"last action: {action[0].tolist()}")
    print(f"{1e6 * np.median(seconds):.0f} microseconds per action")


def run_on_lines(policy: Policy) -> None:
    """Answer each line of the standard input, an observation, with an action."""
    for line in sys.stdin:
        try:
            action = policy.act(np.asarray([json.loads(line)]))
        except ValueError as error:  # no JSON, or an observation of another shape
            raise SystemExit(f"error: {line.strip()}: {error}") from None
        print(json.dumps(action[0].tolist()), flush=True)


def run_in_environment(policy: Policy, name: str, episodes: int) -> None:
    """Run one episode in each of several environments and print the mean return."""
    from motrix_envs import registry

    env = registry.make(name, num_envs=episodes, seed=1)
    state, running = env.init_state(), np.ones(episodes, bool)
    returns = np.zeros(episodes)
    policy.reset(episodes)
    while running.any():
        state = env.step(policy.act(state.obs))
        returns += state.reward * running
        running &= ~state.done
    env.close()
    print(f"return: {returns.mean():.1f} on average over {episodes} episodes")


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description="Run an exported policy.")
    parser.add_argument("file", help="what `motrix export` wrote")
    parser.add_argument("lines", nargs="?", choices=["-"], help="read observations from stdin")
    parser.add_argument("--env", help="drive this environment; needs motrix-envs")
    parser.add_argument("--episodes", type=int, default=16, help="how many, with --env")
    parser.add_argument("--steps", type=int, default=1000, help="how many, by chance")
    arguments = parser.parse_args()
    if not Path(arguments.file).is_file():
        parser.error(f"there is no file {arguments.file}")
    policy = Policy(arguments.file)
    if arguments.lines:
        run_on_lines(policy)
        return
    describe(policy)
    if arguments.env:
        run_in_environment(policy, arguments.env, arguments.episodes)
    else:
        run_by_chance(policy, arguments.steps)


if __name__ == "__main__":
    main()
