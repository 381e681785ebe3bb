"""What it costs that every policy is an RLModule: skrl's agent around one, and around plain models.

    uv run modules.py --backend torch jax --num-envs 512 2048

Two agents of one process take turns on the same observations: one trains PPO's own module, the
other the models that skrl's documentation would have one write, with skrl's scaler before them.
Networks, spaces and options are the same. Compared is processor time, of acting for a rollout and
of one update from it; the order changes from turn to turn.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from motrix_envs import registry as envs
from motrix_envs.benchmarking import Ratio, machine
from motrix_rl import registry
from motrix_rl.skrl.options import ppo_options
from training.tools.skrl_options import spaces_of

LIMIT = 1.03


def plain_torch(cfg: Any, env: Any) -> dict[str, Any]:
    """Return a Gaussian policy and a value function in torch."""
    from training.tools.skrl_torch import Policy, Value

    return {
        "policy": Policy(cfg.policy_hidden_layer_sizes, **spaces_of(env)),
        "value": Value(cfg.value_hidden_layer_sizes, **spaces_of(env)),
    }


def plain_jax(cfg: Any, env: Any) -> dict[str, Any]:
    """Return a Gaussian policy and a value function in Flax."""
    from flax import linen as nn
    from skrl.models.jax import DeterministicMixin, GaussianMixin, Model

    def mlp(widths: tuple[int, ...], outputs: int, x: Any) -> Any:
        for width in widths:
            x = nn.elu(nn.Dense(width)(x))
        return nn.Dense(outputs)(x)

    class Policy(GaussianMixin, Model):
        def __init__(self, **spaces: Any) -> None:
            Model.__init__(self, **spaces)
            GaussianMixin.__init__(self)

        @nn.compact
        def __call__(self, inputs: dict[str, Any], role: str = "") -> Any:
            log_std = self.param("log_std", nn.initializers.zeros, (self.num_actions,))
            widths = cfg.policy_hidden_layer_sizes
            return mlp(widths, self.num_actions, inputs["observations"]), {"log_std": log_std}

    class Value(DeterministicMixin, Model):
        def __init__(self, **spaces: Any) -> None:
            Model.__init__(self, **spaces)
            DeterministicMixin.__init__(self)

        @nn.compact
        def __call__(self, inputs: dict[str, Any], role: str = "") -> Any:
            return mlp(cfg.value_hidden_layer_sizes, 1, inputs["observations"]), {}

    models = {"policy": Policy(**spaces_of(env)), "value": Value(**spaces_of(env))}
    for role, model in models.items():
        model.init_state_dict(role=role)
    return models


def plain_agent(trainer: Any, env: Any) -> Any:
    """Return skrl's own agent around plain models."""
    cfg, parts = trainer.cfg, trainer.parts
    options = ppo_options(cfg, parts, env)
    options["observation_preprocessor"] = parts.scaler
    options["observation_preprocessor_kwargs"] = {
        "size": env.observation_space,
        "device": env.device,
    }
    return parts.agent.__mro__[2](
        models=(plain_torch if trainer.backend == "torch" else plain_jax)(cfg, env),
        memory=parts.memory(memory_size=cfg.rollouts, num_envs=env.num_envs, device=env.device),
        observation_space=env.observation_space,
        state_space=None,
        action_space=env.action_space,
        device=env.device,
        cfg=parts.cfg(**options),
    )


class Half:
    """One of the two agents, with a rollout of observations that never change."""

    def __init__(self, agent: Any, env: Any, backend: str) -> None:
        self.agent, self.env, self.backend = agent, env, backend
        agent.init()
        agent.enable_training_mode(True)
        generator = np.random.default_rng(0)
        shape = (agent.cfg.rollouts + 1, env.num_envs, env.observation_space.shape[0])
        self.seen = [env.to_device(x) for x in generator.normal(size=shape).astype(np.float32)]
        columns = generator.normal(size=(env.num_envs, 1)).astype(np.float32)
        self.rewards = env.to_device(columns)
        self.never = env.to_device(np.zeros((env.num_envs, 1), bool))

    def act(self) -> float:
        """Return processor seconds per rollout of acting; what follows is not measured."""
        seconds = 0.0
        base = (
            type(self.agent) if type(self.agent).__name__ == "PPO" else type(self.agent).__mro__[2]
        )
        for step in range(self.agent.cfg.rollouts):
            clock = {"timestep": step, "timesteps": 1}
            start = time.process_time()
            actions, _ = self._without_gradients(self.agent.act, self.seen[step], None, **clock)
            seconds += time.process_time() - start
            base.record_transition(
                self.agent,
                observations=self.seen[step],
                states=None,
                actions=actions,
                rewards=self.rewards,
                next_observations=self.seen[step + 1],
                next_states=None,
                terminated=self.never,
                truncated=self.never,
                infos={},
                **clock,
            )
        return seconds

    def update(self) -> float:
        """Return processor seconds of an update."""
        start = time.process_time()
        self.agent.update(timestep=0, timesteps=1)
        return time.process_time() - start

    def _without_gradients(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        if self.backend == "jax":
            return function(*args, **kwargs)
        import torch

        with torch.no_grad():
            return function(*args, **kwargs)


def compare(backend: str, num_envs: int, turns: int) -> dict[str, Any]:
    """Return the ratios of one backend and size."""
    trainer = registry.default.trainer("skrl", backend)(
        "cartpole", cfg_override={"num_envs": num_envs, "seed": 1}
    )
    env = envs.make("cartpole", num_envs=num_envs, seed=1)
    with trainer.seeded(1):
        wrapped = trainer.wrap(env, None)
        module = trainer.build_module(env, 1)
        ours = trainer.make_agent(module, wrapped, SimpleNamespace(record=lambda: None))
        halves = [Half(agent, wrapped, backend) for agent in (ours, plain_agent(trainer, wrapped))]
        times: dict[str, list[list[float]]] = {"act": [[], []], "update": [[], []]}
        for turn in range(turns + 3):
            for index in (0, 1) if turn % 2 else (1, 0):
                measured = halves[index].act(), halves[index].update()
                if turn >= 3:  # the first turns compile
                    for name, seconds in zip(times, measured, strict=True):
                        times[name][index].append(seconds)
    env.close()
    found = {"backend": backend, "num_envs": num_envs, "turns": turns}
    for name, (one, other) in times.items():
        ratio = Ratio.of(np.array(one), np.array(other))
        found[name] = {"ms": 1e3 * float(np.median(one)), **asdict(ratio)}
    return found


def main() -> None:
    """Measure, print a table, and write the figures to a file if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--backend", nargs="+", default=["torch", "jax"])
    parser.add_argument("--num-envs", type=int, nargs="+", default=[512, 2048])
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print(f"processor time around a module over plain models (at most {LIMIT})")
    results = []
    for backend in options.backend:
        for num_envs in options.num_envs:
            results.append(one := compare(backend, num_envs, options.turns))
            cells = [f"{backend:<6} {num_envs:>6}"]
            for name in ("act", "update"):
                part = one[name]
                spread = f"[{part['low']:.3f}, {part['high']:.3f}]"
                cells.append(f"  {name} {part['ms']:>8.1f} ms  {part['median']:.3f} {spread}")
            print(*cells)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "results": results}, indent=2))


if __name__ == "__main__":
    main()
